"""A dialogue to be spoken, as JSON lines: what the text half writes and the audio half reads.

Unlike `most.manifest.Example` it refers to no audio: it says what is to be said, by whom, and where speech breaks off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from most.errors import MostError, nearest
from most.manifest import json_rows

DialogueRole = Literal["user", "assistant"]
ROLES: tuple[str, ...] = get_args(DialogueRole)
_DIALOGUE_KEYS = ("id", "turns", "source", "licence", "topic", "meta")
_TURN_KEYS = ("role", "text", "spoken", "interrupted_at", "interrupts")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn of a dialogue.

    Args:
        text: as written.
        spoken: the chunks as said, whole sentences; empty until `most data dialogues speakable` filled it.
        interrupted_at: characters of `text` said before it was cut; only of an assistant's turn that stops
            mid-sentence. `text` may go on behind it (what was never said) or end there.
        interrupts: the user's turn that breaks in.
    """

    role: DialogueRole
    text: str
    spoken: tuple[str, ...] = ()
    interrupted_at: int | None = None
    interrupts: bool = False

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise MostError("turn.role", self.role, nearest(str(self.role), ROLES))
        if not isinstance(self.text, str) or not self.text.strip():
            raise MostError("turn.text", self.text, "is empty; leave the turn or the dialogue out")
        if not isinstance(self.spoken, tuple) or not all(isinstance(s, str) and s.strip() for s in self.spoken):
            raise MostError("turn.spoken", self.spoken, "must be a sequence of texts, none empty")
        if self.interrupts and self.role != "user":
            raise MostError("turn.interrupts", self.role, "only a user's turn breaks in")
        if self.interrupted_at is not None:
            if self.role != "assistant":
                raise MostError("turn.interrupted_at", self.role, "only an assistant's turn is interrupted")
            if isinstance(self.interrupted_at, bool) or not 0 < self.interrupted_at <= len(self.text):
                raise MostError(
                    "turn.interrupted_at", self.interrupted_at, f"must lie in 1..{len(self.text)}, the text's length"
                )

    @property
    def said(self) -> str:
        """The part of `text` that is said: all of it, or what comes before the interruption."""
        return self.text if self.interrupted_at is None else self.text[: self.interrupted_at]


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """Turns of user and assistant alternately, the user first; a turn that breaks in follows an interrupted one."""

    id: str
    turns: tuple[Turn, ...]
    source: str
    licence: str
    topic: str = ""
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise MostError("dialogue.id", self.id, "must be a text that is not empty")
        if not self.turns:
            raise MostError("dialogue.turns", self.id, "a dialogue needs at least one turn")
        for k, turn in enumerate(self.turns):
            if turn.role != ROLES[k % 2]:
                raise MostError(
                    "dialogue.turns", f"{self.id}, turn {k}: {turn.role}",
                    "user and assistant must alternate, the user first; merge neighbouring turns of one role",
                )  # fmt: skip
            if turn.interrupts != (k > 0 and self.turns[k - 1].interrupted_at is not None):
                raise MostError(
                    "turn.interrupts", f"{self.id}, turn {k}",
                    "a user's turn interrupts exactly when the assistant's turn before it has interrupted_at",
                )  # fmt: skip
        if self.turns[-1].interrupted_at is not None:
            raise MostError("turn.interrupted_at", self.id, "the last turn cannot be interrupted: nobody breaks in")


def from_messages(
    id: str, messages: Iterable[dict[str, Any]], *, source: str, licence: str, topic: str = "",
    meta: dict[str, Any] | None = None,
) -> Dialogue:  # fmt: skip
    """A dialogue from chat messages (`role`, `content`); a leading system message is put into `meta["system"]`.

    Raises:
        MostError: roles that do not alternate from the user on, other roles, or an empty turn.
    """
    meta = dict(meta or {})
    turns = []
    for k, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if k == 0 and role == "system":
            meta |= {"system": content} if content else {}
            continue
        text = content.strip() if isinstance(content, str) else ""
        turns.append(Turn(role=role, text=text))  # type: ignore[arg-type]
    return Dialogue(id=id, turns=tuple(turns), source=source, licence=licence, topic=topic, meta=meta)


def dialogue_row(dialogue: Dialogue) -> dict[str, Any]:
    """The dialogue as plain JSON values; what is at its default is left out."""
    turns = []
    for t in dialogue.turns:
        turn: dict[str, Any] = {"role": t.role, "text": t.text}
        turn |= {"spoken": list(t.spoken)} if t.spoken else {}
        turn |= {"interrupted_at": t.interrupted_at} if t.interrupted_at is not None else {}
        turn |= {"interrupts": True} if t.interrupts else {}
        turns.append(turn)
    row: dict[str, Any] = {"id": dialogue.id, "turns": turns, "source": dialogue.source, "licence": dialogue.licence}
    row |= {"topic": dialogue.topic} if dialogue.topic else {}
    return row | ({"meta": dialogue.meta} if dialogue.meta else {})


def dialogue_from_row(row: Any) -> Dialogue:
    """The inverse of `dialogue_row`.

    Raises:
        MostError: a key missing, unknown or of the wrong kind, or turns that are no dialogue.
    """
    if not isinstance(row, dict):
        raise MostError("dialogue", row, "must be a JSON object")
    if unknown := sorted(set(row) - set(_DIALOGUE_KEYS)):
        raise MostError("dialogue", unknown[0], f"unknown field; {nearest(unknown[0], _DIALOGUE_KEYS)}")
    if missing := [k for k in _DIALOGUE_KEYS[:4] if k not in row]:
        raise MostError("dialogue", row.get("id", ""), f"has no field {missing[0]!r}")
    if not isinstance(row["turns"], list):
        raise MostError("dialogue.turns", row["turns"], "must be a list")
    turns = []
    for turn in row["turns"]:
        if not isinstance(turn, dict):
            raise MostError("turn", turn, "must be a JSON object")
        if unknown := sorted(set(turn) - set(_TURN_KEYS)):
            raise MostError("turn", unknown[0], f"unknown field; {nearest(unknown[0], _TURN_KEYS)}")
        spoken = turn.get("spoken", [])
        turns.append(
            Turn(
                role=turn.get("role", ""), text=turn.get("text", ""),
                spoken=tuple(spoken) if isinstance(spoken, list) else spoken,
                interrupted_at=turn.get("interrupted_at"), interrupts=turn.get("interrupts", False),
            )
        )  # fmt: skip
    return Dialogue(
        id=row["id"], turns=tuple(turns), source=row["source"], licence=row["licence"],
        topic=row.get("topic", ""), meta=row.get("meta", {}),
    )  # fmt: skip


def read_dialogues(path: str | os.PathLike[str]) -> Iterator[Dialogue]:
    """Read dialogues one by one.

    Raises:
        MostError: no such file, not JSON, an id used twice, or a row that is no dialogue; names file and line.
    """
    path = Path(path)
    if not path.is_file():
        raise MostError("dialogues", path, "no such file; give the path of a JSONL file of dialogues")
    return _read(path)


def _read(path: Path) -> Iterator[Dialogue]:
    seen: dict[str, int] = {}
    for number, row in json_rows(path, "dialogues"):
        try:
            dialogue = dialogue_from_row(row)
        except MostError as e:
            raise MostError("dialogues", f"{path}:{number}", str(e)) from e
        if dialogue.id in seen:
            raise MostError("id", f"{path}:{number}: {dialogue.id}", f"was used on line {seen[dialogue.id]} already")
        seen[dialogue.id] = number
        yield dialogue


def write_dialogues(path: str | os.PathLike[str], dialogues: Iterable[Dialogue]) -> int:
    """Write JSON lines whole or not at all (temporary file, then rename). Returns their number."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    n = 0
    try:
        with part.open("w", encoding="utf-8") as f:
            for dialogue in dialogues:
                f.write(json.dumps(dialogue_row(dialogue), ensure_ascii=False) + "\n")
                n += 1
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return n
