"""Text instructions become dialogues to be spoken: the user's part is said, the answer is said or stays text.

Read are JSON lines with `instruction`, `input`, `output` (Alpaca and its kin) or `messages` (chats). What nobody would
say aloud (code, tables, links, long passages) is left out and counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from most.data.dialogue.dialogue import Dialogue, from_messages
from most.errors import MostError

_UNSPEAKABLE = {
    "code": re.compile(r"```|^\s*(?:def|class|import|#include|SELECT)\b|[{};]\s*$|</?\w+>", re.MULTILINE),
    "table or list": re.compile(r"^\s*(?:\||[-*•]\s|\d+[.)]\s)", re.MULTILINE),
    "link": re.compile(r"https?://|www\.|\S+@\S+\.\w"),
    "formula": re.compile(r"\\[a-zA-Z]+\{|\$[^$\s][^$]*\$|[=^_]{2,}|\w\s*[=^]\s*\w"),
}


@dataclass(frozen=True, kw_only=True)
class InstructionSettings:
    """What text instructions are, and which of them suit speech.

    Args:
        source, licence: of the file, for manifests and the data card; a row's own win.
        max_user_words, max_answer_words: longer turns are no speech one would sit through.
    """

    source: str
    licence: str
    max_user_words: int = 60
    max_answer_words: int = 120

    def __post_init__(self) -> None:
        for name in ("max_user_words", "max_answer_words"):
            if getattr(self, name) < 1:
                raise MostError(f"instructions.{name}", getattr(self, name), "must be at least 1")


def why_unspeakable(text: str, max_words: int) -> str | None:
    """Why nobody would say this aloud, or None."""
    if not re.search(r"[A-Za-z]", text):
        return "no words"
    if len(text.split()) > max_words:
        return "too long"
    return next((reason for reason, pattern in _UNSPEAKABLE.items() if pattern.search(text)), None)


def _messages(row: dict[str, Any]) -> list[dict[str, str]] | None:
    if isinstance(row.get("messages"), list):
        return row["messages"]
    instruction, answer = row.get("instruction"), row.get("output")
    if not isinstance(instruction, str) or not isinstance(answer, str):
        return None
    more = row.get("input")
    asked = instruction.strip() + (f"\n{more.strip()}" if isinstance(more, str) and more.strip() else "")
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def read_instructions(
    path: Path, settings: InstructionSettings, *, counts: Counter[str] | None = None, assistant_spoken: bool = True
) -> Iterator[Dialogue]:
    """Instructions that suit speech as dialogues; `counts` is told why the others do not.

    Raises:
        MostError: no such file, or a line that is not JSON or holds neither form of instruction.
    """
    if not path.is_file():
        raise MostError("dialogues", path, "no such file; give a JSONL file of instructions")
    counts = Counter() if counts is None else counts
    with path.open(encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as e:
                raise MostError("instructions", where, f"is not JSON ({e.msg}); mend or remove the line") from e
            messages = _messages(row) if isinstance(row, dict) else None
            if messages is None:
                raise MostError("instructions", where, "needs 'instruction' and 'output', or 'messages'")
            if reason := _reason(messages, settings, assistant_spoken):
                counts[reason] += 1
                continue
            try:
                yield from_messages(
                    str(row.get("id") or f"{path.stem}-{number:06d}"), messages,
                    source=row.get("source") or settings.source, licence=row.get("licence") or settings.licence,
                )  # fmt: skip
            except MostError:
                counts["no dialogue of user and assistant in turn"] += 1


def _reason(messages: list[dict[str, Any]], settings: InstructionSettings, assistant_spoken: bool) -> str | None:
    for message in messages:
        role, content = message.get("role"), message.get("content")
        text = content if isinstance(content, str) else ""
        if role == "user" and (reason := why_unspeakable(text, settings.max_user_words)):
            return f"user: {reason}"
        if role == "assistant" and assistant_spoken and (reason := why_unspeakable(text, settings.max_answer_words)):
            return f"assistant: {reason}"
    return None
