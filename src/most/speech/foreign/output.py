"""What an import says about itself, and the folder that it writes whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from most.errors import MostError

_SHOWN = 8


def some(names: Sequence[str]) -> str:
    """The first few of a list that may be long, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import read, wrote and left out."""

    source: Path
    out: Path
    what: str
    used: tuple[str, ...]
    dropped: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        reasons: dict[str, list[str]] = {}
        for name, reason in self.dropped.items():
            reasons.setdefault(reason, []).append(name)
        lines = [f"read     {self.source}: {self.what}", *(f"used     {fact}" for fact in self.used)]
        lines += [f"dropped  {some(names)}: {reason}" for reason, names in reasons.items()]
        return "\n".join([*lines, f"wrote    {self.out}"])


def check_new(out: Path) -> None:
    """Raises MostError where `out` is there already."""
    if out.exists():
        raise MostError("out", out, "is there already; name a new folder")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write in; it becomes `out` once all is written, and goes away where that fails."""
    check_new(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
