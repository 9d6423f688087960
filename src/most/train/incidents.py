"""`incidents.jsonl`: what went wrong in a run, step by step, with the examples at fault."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from most.files import append_lines, read_lines, write_text

WORST = 16
"""Examples named with their loss; the ids of all are listed beside."""


class Incidents:
    """Appends to the file in a run's output."""

    def __init__(self, output: Path) -> None:
        self.path = output / "incidents.jsonl"

    def bad_step(
        self,
        step: int,
        action: str,
        reason: str,
        loss: float,
        grad_norm: float,
        examples: Sequence[tuple[str, float]],
    ) -> None:
        """A step that the guard stopped at or left out.

        Args:
            examples: id and mean loss of each example of the step. Those whose loss is no number come first, then the
                highest. In a packed row one bad example may spoil the others'.
        """
        worst = sorted(examples, key=lambda row: -row[1] if math.isfinite(row[1]) else -math.inf)[:WORST]
        self._append(
            {
                "step": step, "kind": "bad step", "action": action, "reason": reason,
                "loss": _plain(loss), "grad_norm": _plain(grad_norm),
                "worst": [{"id": i, "loss": _plain(x)} for i, x in worst], "ids": [i for i, _ in examples],
            }
        )  # fmt: skip

    def unsaved(self, step: int, reason: str) -> None:
        """A checkpoint that could not be written."""
        self._append({"step": step, "kind": "no checkpoint", "reason": reason})

    def forget_after(self, step: int) -> None:
        """Drop steps left out after the checkpoint from which a run goes on: they will be met again."""
        rows = read_lines(self.path)
        kept = [row for row in rows if row["step"] <= step or row.get("action") != "skip"]
        if len(kept) < len(rows):
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))

    def _append(self, row: dict[str, Any]) -> None:
        append_lines(self.path, [row])  # on a full disk this line may not fit; what happened was said aloud


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
