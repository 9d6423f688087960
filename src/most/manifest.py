"""Manifests: JSON lines that name audio and text. Audio is referenced, never inlined.

Two kinds: utterances (one recording, its transcript, its speaker; what units and vocoders are trained on) and
examples (turns of a training example; what the model is trained on). Paths are relative to the manifest's folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from most.errors import MostError, nearest

TASKS = ("asr", "tts", "text", "dialogue")
ROLES = ("system", "user", "assistant", "document")
Task = Literal["asr", "tts", "text", "dialogue"]
Role = Literal["system", "user", "assistant", "document"]


@dataclass(frozen=True, kw_only=True)
class AudioRef:
    """A stretch of an audio file: `start` and `duration` in seconds; no duration means to the end."""

    path: Path
    start: float = 0.0
    duration: float | None = None

    def __post_init__(self) -> None:
        if not self.start >= 0:
            raise MostError("audio.start", self.start, "must be >= 0 seconds")
        if self.duration is not None and not self.duration > 0:
            raise MostError("audio.duration", self.duration, "must be > 0 seconds, or left out for the whole file")


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One recording: where it is, who speaks, what is said (if known)."""

    id: str
    audio: AudioRef
    speaker: str = ""
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn of an example: text, audio or both. A `document` turn is plain text outside any dialogue."""

    role: Role
    text: str | None = None
    audio: AudioRef | None = None
    speaker: str = ""

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise MostError("turn.role", self.role, nearest(str(self.role), ROLES))
        if self.text is None and self.audio is None:
            raise MostError("turn", self.role, "has neither text nor audio; give it one of them")


@dataclass(frozen=True, kw_only=True)
class Example:
    """One training example."""

    id: str
    task: Task
    turns: tuple[Turn, ...]
    source: str = ""
    licence: str = ""
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise MostError("task", self.task, nearest(str(self.task), TASKS))
        if not self.turns:
            raise MostError("turns", self.id, "an example needs at least one turn")


def json_rows(path: Path, field: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line of a JSONL file; empty lines are passed over.

    Args:
        field: what errors call the file.

    Raises:
        MostError: a line that is no JSON object; names file and line.
    """
    with path.open(encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as e:
                raise MostError(field, f"{path}:{number}", f"is not JSON ({e.msg}); mend or remove the line") from e
            if not isinstance(row, dict):
                raise MostError(field, f"{path}:{number}", "must be a JSON object a line")
            yield number, row


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not path.is_file():
        raise MostError("manifest", path, "no such file; give the path of a JSONL manifest")
    yield from json_rows(path, "manifest")


def _ref(row: Any, folder: Path, where: str) -> AudioRef:
    if isinstance(row, str):
        return AudioRef(path=folder / row)
    if not isinstance(row, dict) or "path" not in row:
        raise MostError("audio", f"{where}", "must be a path or an object with path, start and duration")
    unknown = set(row) - {"path", "start", "duration"}
    if unknown:
        raise MostError(
            "audio", f"{where}: {sorted(unknown)[0]}", nearest(sorted(unknown)[0], ("path", "start", "duration"))
        )
    return AudioRef(path=folder / row["path"], start=row.get("start", 0.0), duration=row.get("duration"))


def read_utterances(path: str | os.PathLike[str]) -> list[Utterance]:
    """Read an utterance manifest: a line holds `audio` (path or object), `speaker`, `text`, optionally `id`.

    Raises:
        MostError: no such file, not JSON, a line without `audio`, or an id used twice.
    """
    path = Path(path)
    rows: list[Utterance] = []
    seen: dict[str, int] = {}
    for number, row in _lines(path):
        where = f"{path}:{number}"
        if "audio" not in row:
            raise MostError("manifest", where, "has no field 'audio'; each utterance names its audio file")
        ref = _ref(row["audio"], path.parent, where)
        uid = str(
            row.get("id") or (row["audio"] if isinstance(row["audio"], str) else f"{row['audio']['path']}@{ref.start}")
        )
        if uid in seen:
            raise MostError("id", f"{where}: {uid}", f"was used on line {seen[uid]} already; ids must be unique")
        seen[uid] = number
        rows.append(Utterance(id=uid, audio=ref, speaker=str(row.get("speaker", "")), text=row.get("text")))
    if not rows:
        raise MostError("manifest", path, "holds no utterance")
    return rows


def read_examples(path: str | os.PathLike[str]) -> list[Example]:
    """Read an example manifest.

    Raises:
        MostError: no such file, not JSON, or a field missing, unknown or of the wrong kind; the line is named.
    """
    path = Path(path)
    known = {"id", "task", "turns", "source", "licence", "meta"}
    out: list[Example] = []
    for number, row in _lines(path):
        where = f"{path}:{number}"
        if unknown := sorted(set(row) - known):
            raise MostError("manifest", f"{where}: {unknown[0]}", f"unknown field; {nearest(unknown[0], known)}")
        if missing := sorted({"id", "task", "turns"} - set(row)):
            raise MostError("manifest", where, f"has no field {missing[0]!r}")
        turns = []
        for turn in row["turns"]:
            if unknown := sorted(set(turn) - {"role", "text", "audio", "speaker"}):
                raise MostError(
                    "turn", f"{where}: {unknown[0]}", nearest(unknown[0], ("role", "text", "audio", "speaker"))
                )
            audio = _ref(turn["audio"], path.parent, where) if turn.get("audio") is not None else None
            turns.append(
                Turn(role=turn.get("role", ""), text=turn.get("text"), audio=audio, speaker=turn.get("speaker", ""))
            )
        out.append(
            Example(
                id=str(row["id"]), task=row["task"], turns=tuple(turns), source=row.get("source", ""),
                licence=row.get("licence", ""), meta=row.get("meta", {}),
            )
        )  # fmt: skip
    if not out:
        raise MostError("manifest", path, "holds no example")
    return out


def _ref_row(ref: AudioRef, folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"path": os.path.relpath(ref.path, folder)}
    if ref.start:
        row["start"] = round(ref.start, 6)
    if ref.duration is not None:
        row["duration"] = round(ref.duration, 6)
    return row


def write_jsonl(path: str | os.PathLike[str], rows: Iterable[Utterance | Example]) -> int:
    """Write a manifest whole or not at all (temporary file, then rename). Returns the number of lines."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    n = 0
    with part.open("w", encoding="utf-8") as f:
        for row in rows:
            n += 1
            if isinstance(row, Utterance):
                out: dict[str, Any] = {"id": row.id, "audio": _ref_row(row.audio, path.parent)}
                out |= {"speaker": row.speaker} if row.speaker else {}
                out |= {"text": row.text} if row.text is not None else {}
            else:
                turns = []
                for t in row.turns:
                    turn: dict[str, Any] = {"role": t.role}
                    turn |= {"text": t.text} if t.text is not None else {}
                    turn |= {"audio": _ref_row(t.audio, path.parent)} if t.audio is not None else {}
                    turn |= {"speaker": t.speaker} if t.speaker else {}
                    turns.append(turn)
                out = {"id": row.id, "task": row.task, "turns": turns, "source": row.source, "licence": row.licence}
                out |= {"meta": row.meta} if row.meta else {}
            f.write(json.dumps(out, ensure_ascii=False) + "\n")
    os.replace(part, path)
    return n
