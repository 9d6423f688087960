"""What a test set says of itself: `set.json`, which a builder writes last and evaluation carries into its report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from most.errors import MostError
from most.files import write_text

SET_FILE = "set.json"
"""In the folder of a set that a builder of ours made."""


@dataclass(frozen=True, kw_only=True)
class SetInfo:
    """What a report must say of a set.

    Args:
        stand_in_for: the published set that it takes the place of; None for a published set itself.
        source: where it comes from: a paper, an address, the command that built it.
    """

    name: str
    source: str
    licence: str = ""
    stand_in_for: str | None = None


def read_info(folder: Path) -> SetInfo:
    """`set.json` of a set that a builder made.

    Raises:
        MostError: no such file, or one that is not of this form.
    """
    path = folder / SET_FILE
    if not path.is_file():
        raise MostError("set.path", folder, f"holds no {SET_FILE}; build the set first (docs/evaluation.md)")
    try:
        return SetInfo(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, json.JSONDecodeError) as e:
        raise MostError("set.path", path, f"is not the description of a set ({e}); build the set again") from e


def write_info(folder: Path, info: SetInfo) -> None:
    """Write `set.json`, whole or not at all; the last thing that a builder does."""
    row = {"name": info.name, "source": info.source, "licence": info.licence, "stand_in_for": info.stand_in_for}
    write_text(folder / SET_FILE, json.dumps(row, indent=1, ensure_ascii=False) + "\n")
