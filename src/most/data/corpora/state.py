"""The state of a prepared set: what it was begun with, whether it is done, and when too much of it was rejected.

`prepare.json` holds the arguments from the start and the counts once everything else lies there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from most.data.corpora.card import SplitCounts
from most.errors import MostError
from most.files import write_text


def is_complete(out: Path, settings: dict[str, Any]) -> bool:
    """Whether `out` holds the finished set of these settings.

    Raises:
        MostError: it holds something else, or a set begun with other settings.
    """
    path = out / "prepare.json"
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise MostError("--out", out, "holds files that are no prepared set; give an empty or a new folder")
        return False
    state = json.loads(path.read_text(encoding="utf-8"))
    for key, value in state["settings"].items():
        if value != settings.get(key):
            raise MostError(
                "--out", out, f"was begun with {key} = {value}, not {settings.get(key)}; use another folder"
            )
    return "counts" in state


def finished_counts(out: Path) -> dict[str, SplitCounts]:
    """The counts of a finished set (hours to four digits, speakers not by name)."""
    counts = json.loads((out / "prepare.json").read_text(encoding="utf-8"))["counts"]
    return {
        split: SplitCounts(
            items=c["items"], kept=c["kept"], seconds=c.get("hours", 0.0) * 3600, rejected=Counter(c["rejected"])
        )
        for split, c in counts.items()
    }


def write_state(out: Path, state: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "prepare.json", json.dumps(state, indent=1) + "\n")


def refuse_too_many(counts: Mapping[str, SplitCounts], max_rejected: float, out: Path, *, early: bool = False) -> None:
    """Raises MostError, with the commonest reasons, when too large a share of the items was rejected, or all."""
    reasons = sum((c.rejected for c in counts.values()), Counter())
    items, n = sum(c.items for c in counts.values()), reasons.total()
    if not items:
        raise MostError("source", str(out), "holds no item to prepare")
    if n <= max_rejected * items and n < items:
        return
    top = sorted(reasons, key=lambda r: (-reasons[r], r))[:3]
    common = ", ".join(f"{reason} ({reasons[reason]})" for reason in top)
    first = next(c.first[top[0]] for c in counts.values() if top[0] in c.first)
    of = f"{n} of the first {items} items" if early else f"{n} of {items} items"
    raise MostError(
        "--max-rejected", max_rejected,
        f"{of} were rejected: {common}, such as {first}; all are named in {out}/.journal. "
        "Mend the source and use a new folder, or allow more",
    )  # fmt: skip


def summary(counts: Mapping[str, SplitCounts], out: Path) -> str:
    items, kept = sum(c.items for c in counts.values()), sum(c.kept for c in counts.values())
    hours = sum(c.seconds for c in counts.values()) / 3600
    size = f"{hours:.2f} h" if hours else f"{sum(c.chars for c in counts.values())} characters"
    left = f"{items - kept} left out, see rejected.jsonl" if items > kept else "nothing left out"
    return f"{kept} of {items} items kept, {size}; {left}. Card: {out / 'README.md'}"
