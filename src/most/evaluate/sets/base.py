"""What every test set says of itself, and how a recipe names one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from most.data.stand_ins.info import SET_FILE, SetInfo, read_info, write_info

__all__ = ["SET_FILE", "SetInfo", "SetSettings", "manifest_info", "read_info", "write_info"]


@dataclass(frozen=True, kw_only=True)
class SetSettings:
    """A set as a recipe names it.

    Args:
        kind: the layout, one of those that the family reads.
        path: folder or file, or a hub id where the layout has one.
        options: further settings of that layout.
    """

    kind: str
    path: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return Path(self.path)


def manifest_info(path: Path, rows: Iterable[Any]) -> SetInfo:
    """What the folder of a manifest says of itself, or else the sources and licences that its rows name."""
    if (path.parent / SET_FILE).is_file():
        return read_info(path.parent)
    rows = list(rows)
    sources, licences = (
        ", ".join(sorted({str(getattr(r, key)) for r in rows if getattr(r, key, "")})) for key in ("source", "licence")
    )
    source = f"{path.name} ({sources})" if sources else path.name
    return SetInfo(name=f"{path.parent.name}/{path.stem}", source=source, licence=licences)
