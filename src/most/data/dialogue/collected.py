"""What every step over a file of dialogues writes: those kept, those left out with reasons, and the counts of both."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from most.data.dialogue.dialogue import Dialogue, write_dialogues


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A dialogue, or a row that is none, which is left out, and why."""

    id: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What was written: where, how many dialogues, and how many were left out for each reason."""

    path: Path
    kept: int
    left_out: int
    reasons: dict[str, int] = field(default_factory=dict)


def rejected_file(out: Path) -> Path:
    """Where what is left out of `out` is listed: `chats.jsonl` has `chats.rejected.jsonl`."""
    return out.with_name(f"{out.stem}.rejected.jsonl")


def write_collected(out: str | os.PathLike[str], results: Iterable[Dialogue | Rejection]) -> Collected:
    """Write the dialogues to `out` and the rejections beside it, whole or not at all; nothing is kept in memory."""
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    listed = rejected_file(out)
    part = listed.with_name(listed.name + ".part")
    counts: Counter[str] = Counter()
    left_out = 0
    try:
        with part.open("w", encoding="utf-8") as f:

            def kept() -> Iterator[Dialogue]:
                nonlocal left_out
                for result in results:
                    if isinstance(result, Dialogue):
                        yield result
                        continue
                    left_out += 1
                    counts.update(result.reasons)
                    row = {"id": result.id, "reasons": list(result.reasons)}
                    f.write(json.dumps(row, ensure_ascii=False) + "\n")

            n = write_dialogues(out, kept())
        os.replace(part, listed)
    finally:
        part.unlink(missing_ok=True)
    return Collected(path=out, kept=n, left_out=left_out, reasons=dict(counts.most_common()))
