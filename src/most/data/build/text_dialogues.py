"""Dialogues in writing, as training examples: what is said, without any speech."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from most.data.dialogue.dialogue import read_dialogues
from most.manifest import Example, Turn, write_jsonl

TextTask = Literal["dialogue", "text"]


def write_text_dialogues(dialogues: Path, out: Path, tasks: Sequence[TextTask], *, spoken: bool) -> int:
    """Write the examples of a file of dialogues to `out`. Returns their number.

    Args:
        tasks: `dialogue` for a chat, `text` for one document of all its turns, a line each.
        spoken: as said (`speakable` filled it), not as written.
    """

    def examples() -> Iterator[Example]:
        for d in read_dialogues(dialogues):
            texts = [" ".join(t.spoken) if spoken and t.spoken else t.said for t in d.turns]
            for task in tasks:
                if task == "text":
                    turns = (Turn(role="document", text="\n".join(texts)),)
                else:
                    turns = tuple(Turn(role=t.role, text=text) for t, text in zip(d.turns, texts, strict=True))
                    system = d.meta.get("system")
                    turns = (Turn(role="system", text=system), *turns) if system else turns
                yield Example(id=f"{task}-{d.id}", task=task, turns=turns, source=d.source, licence=d.licence)

    return write_jsonl(out, examples())
