"""What is written beside the audio of a dialogue: who said what, when, over whom, and how well it was understood.

`dialogue.json` is renamed into place last, so it marks the dialogue as done; `rejected.json` stands in its place where
the dialogue was left out. Nothing in them depends on when, where or how often it was made.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from most.data.dialogue.dialogue import Dialogue
from most.data.dialogue.voice.recipe import digest
from most.data.dialogue.voice.speaker import Line
from most.data.dialogue.voice.timeline import Timeline
from most.errors import MostError
from most.manifest import AudioRef, Example, Turn

RECORD, REJECTED = "dialogue.json", "rejected.json"
RETRIED_KINDS = ("voice",)
"""Why dialogues were left out that may succeed another day; the next run tries them again."""


def folder_of(output: Path, dialogue_id: str) -> Path:
    """Where a dialogue lies: its id, or what file systems take of it and a digest."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", dialogue_id).strip(".")[:80]
    return output / "dialogues" / (name if name == dialogue_id else f"{name}-{digest(dialogue_id)[:8]}")


def seconds(value: float) -> float:
    """Rounded to a microsecond, which still names the sample."""
    return round(value, 6)


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def state_of(folder: Path, content: str) -> dict[str, Any] | None:
    """The record or the rejection that lies there and was made of this content; what is half made is removed.

    Raises:
        MostError: a record that is not JSON.
    """
    for name in (RECORD, REJECTED):
        path = folder / name
        if not path.is_file():
            continue
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as e:
            raise MostError("record", path, "is not JSON; remove the dialogue's folder to make it again") from e
        if row.get("digest") == content and row.get("kind") not in RETRIED_KINDS:
            return row
    if folder.exists():
        shutil.rmtree(folder)
    return None


def reject(folder: Path, dialogue: Dialogue, content: str, kind: str, reason: str) -> dict[str, Any]:
    """Leave a dialogue out: its audio goes, the reason stays."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    row = {"id": dialogue.id, "digest": content, "kind": kind, "reason": reason}
    write_json(folder / REJECTED, row)
    return row


def example_of(record: dict[str, Any], folder: Path) -> Example:
    """A record as a training example: the user is heard, the assistant's text is said in speech where it was spoken.

    An interrupted turn's text and audio end where it was cut.
    """
    turns = []
    for turn in record["turns"]:
        audio = AudioRef(path=folder / turn["audio"]) if turn["audio"] else None
        text = turn["text"] if turn["interrupted_at"] is None else turn["text"][: turn["interrupted_at"]].rstrip()
        heard = turn["role"] == "user" and audio is not None
        turns.append(
            Turn(role=turn["role"], text=None if heard else text, audio=audio, speaker=turn["speaker"] or "")
        )  # fmt: skip
    system = record["meta"].get("system")
    lead = (Turn(role="system", text=system),) if isinstance(system, str) and system else ()
    overlaps = len(record["overlaps"])
    meta = ({"topic": record["topic"]} if record["topic"] else {}) | _to_check(record)
    return Example(
        id=record["id"], task="dialogue", turns=(*lead, *turns), source=record["source"], licence=record["licence"],
        meta={**meta, "overlaps": overlaps} if overlaps else meta,
    )  # fmt: skip


def _to_check(record: dict[str, Any]) -> dict[str, Any]:
    """Of a dialogue whose last reply is checked (`most.evaluate.sets.dialogues`): by what, and what the user says."""
    if "expect" not in record["meta"]:
        return {}
    known = {k: record["meta"][k] for k in ("scene", "expect", "thread") if k in record["meta"]}
    return known | {"written": [t["text"] for t in record["turns"] if t["role"] == "user"]}


def record_of(
    dialogue: Dialogue, content: str, lines: Sequence[Line], timeline: Timeline,
    signs: Sequence[tuple[str, np.ndarray]], names: dict[str, Any], rate: int,
) -> dict[str, Any]:  # fmt: skip
    """Everything about a spoken dialogue, times in seconds."""
    numbers = [k for k, line in enumerate(lines) if line.placed is not None]
    turns = [_turn_row(line, name) for line, name in zip(lines, names["turns"], strict=True)]
    speakers = {line.turn.role: line.voice for line in lines if line.voice is not None}
    return {
        "id": dialogue.id, "digest": content, "source": dialogue.source, "licence": dialogue.licence,
        "topic": dialogue.topic, "meta": dialogue.meta, "sample_rate": rate, "seconds": seconds(timeline.seconds),
        "voices": {r: {"speaker": v.label, "licence": v.licence} for r, v in sorted(speakers.items())},
        "two_channels": names["two_channels"], "mixed": names["mixed"], "turns": turns,
        "back_channels": [
            {
                "role": p.role, "speaker": speakers[p.role].label, "text": signs[p.index][0],
                "start": seconds(p.start), "end": seconds(p.end),
            }
            for p in timeline.back_channels
        ],
        "overlaps": [
            {**asdict(o), "start": seconds(o.start), "end": seconds(o.end), "turn": numbers[o.turn]}
            for o in timeline.overlaps
        ],
    }  # fmt: skip


def _turn_row(line: Line, name: str | None) -> dict[str, Any]:
    turn, placed = line.turn, line.placed
    broken_into = None if placed is None else placed.overlapped_from
    verdict = None if line.passed is None else line.passed.verdict
    return {
        "role": turn.role, "speaker": line.voice.label if line.voice else None, "text": turn.text,
        "spoken": list(turn.spoken), "audio": name,
        "start": None if placed is None else seconds(placed.start),
        "end": None if placed is None else seconds(placed.end),
        "chunks": [] if placed is None else [[seconds(a), seconds(b)] for a, b in placed.chunks],
        "interrupts": turn.interrupts, "interrupted_at": turn.interrupted_at,
        "interrupted_at_seconds": None if broken_into is None else seconds(broken_into),
        "heard": verdict.heard if verdict else None, "wer": verdict.wer if verdict else None,
        "word_errors": verdict.errors if verdict else 0, "words": verdict.words if verdict else 0,
        "takes": line.passed.takes if line.passed else 0, "augmentation": line.changes,
    }  # fmt: skip
