"""What the bias report reads: dialogues, and the records of those that were spoken."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from most.data.dialogue.dialogue import Dialogue, dialogue_from_row, read_dialogues
from most.errors import MostError

_RECORD_KEYS = ("id", "source", "licence", "topic", "meta")
_TURN_KEYS = ("role", "text", "spoken", "interrupted_at", "interrupts")


@dataclass(frozen=True, kw_only=True)
class Speech:
    """A turn as it was spoken: by whom, with which voice, how long, how many words."""

    role: str
    voice: str
    seconds: float
    words: int


@dataclass(frozen=True, kw_only=True)
class Item:
    """A dialogue and, where there is audio, its speech."""

    dialogue: Dialogue
    speech: tuple[Speech, ...] = ()


def read_items(path: str | os.PathLike[str]) -> Iterator[Item]:
    """Dialogues of a JSONL file, or of a folder: the records of spoken dialogues below it, else the JSONL files in it.

    Raises:
        MostError: nothing there, or a file that holds no dialogues.
    """
    path = Path(path)
    if path.is_file():
        yield from (Item(dialogue=d) for d in read_dialogues(path))
        return
    records = sorted(path.glob("dialogues/*/dialogue.json")) or sorted(path.glob("*/dialogue.json"))
    if records:
        yield from (_spoken(record) for record in records)
        return
    files = [p for p in sorted(path.glob("*.jsonl")) if not p.name.endswith((".rejected.jsonl", ".journal.jsonl"))]
    if not files:
        raise MostError("dialogues", path, "is neither a JSONL file nor a folder with dialogues in it")
    for file in files:
        yield from (Item(dialogue=d) for d in read_dialogues(file))


def _spoken(path: Path) -> Item:
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        turns = [{k: v for k, v in turn.items() if k in _TURN_KEYS} for turn in row["turns"]]
        dialogue = dialogue_from_row({**{k: row[k] for k in _RECORD_KEYS if k in row}, "turns": turns})
        speech = tuple(
            Speech(
                role=turn["role"], voice=str(turn["speaker"]), seconds=float(turn["end"] - turn["start"]),
                words=len(" ".join(turn["spoken"]).split()),
            )
            for turn in row["turns"]
            if turn.get("speaker") and turn.get("end") is not None
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as e:
        raise MostError("record", path, f"is no record of a spoken dialogue ({type(e).__name__}: {e})") from e
    return Item(dialogue=dialogue, speech=speech)
