"""Spoken dialogues whose last reply can be checked: a manifest of `speak`, whose examples say what is expected.

`meta` of such an example holds `expect` (phrases of which a right reply holds one), `written` (what the user says, turn
by turn), and perhaps `scene` and `thread` (`most.data.facts.expect`). Other examples are left out and counted.
In reports the set is called by the option `name`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from most.errors import MostError
from most.evaluate.sets.base import SetInfo, SetSettings, manifest_info
from most.evaluate.sets.questions import Question
from most.manifest import Example, Turn, read_examples


def read_dialogues(settings: SetSettings) -> tuple[SetInfo, Iterator[Question]]:
    """The set's description, and each dialogue up to its last turn of the user's, with what the reply must hold.

    Raises:
        MostError: no such manifest, none of its examples says what is expected, or one that does is no dialogue or does
            not say what the user says.
    """
    path = settings.folder
    examples = read_examples(path)
    checked = [e for e in examples if e.meta.get("expect")]
    if not checked:
        raise MostError(
            "meta.expect", path, "is in no example; make the dialogues (manners) and the manifest (speak) anew"
        )
    return _info(settings, examples, len(checked)), (_question(e, path) for e in checked)


def _info(settings: SetSettings, examples: Sequence[Example], n_checked: int) -> SetInfo:
    info = manifest_info(settings.folder, examples)
    part = f"the {n_checked} of {len(examples)} dialogues whose last reply can be checked by its words"
    return replace(info, name=settings.options.get("name") or info.name, source=f"{info.source}; {part}")


def _question(example: Example, path: Path) -> Question:
    turns, meta = _written(example, path), example.meta
    if [t.role for t in turns[-2:]] != ["user", "assistant"]:
        raise MostError("set.path", f"{path}: {example.id}", "must end with a turn of the user's and its reply")
    *history, asked, _ = turns
    return Question(
        id=example.id, question=asked.text or "", answers=tuple(meta["expect"]), audio=asked.audio,
        history=tuple(history), scene=meta.get("scene", ""), thread=meta.get("thread", ""),
    )  # fmt: skip


def _written(example: Example, path: Path) -> list[Turn]:
    """The turns, each with its words: a manifest for training has the user's audio alone."""
    words = iter(example.meta.get("written", ()))
    out = []
    for turn in example.turns:
        text = next(words, None) if turn.role == "user" else turn.text
        text = turn.text if text is None else text
        if text is None:
            raise MostError(
                "meta.written", f"{path}: {example.id}",
                "does not say what is said in each turn; make the manifest again with the step speak",
            )  # fmt: skip
        out.append(replace(turn, text=text))
    return out
