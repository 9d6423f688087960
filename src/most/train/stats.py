"""Sums of a run's losses and sizes between two log lines: by modality, by task, over all ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch

from most.train.step_view import StepView

_Sums = tuple[tuple[str, ...], torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]
"""Of a micro-batch: tasks, sums of loss and numbers of labels of its examples, other figures."""


class BatchStats:
    """Collects micro-batches without waiting for the device; `totals` and `means` read them."""

    def __init__(self) -> None:
        self._views: list[_Sums] = []
        self._open: list[_Sums] = []
        """Of the step under way."""
        self._steps: Counter[str] = Counter()

    def add(self, view: StepView) -> None:
        sums, counts = view.example_losses
        by_modality, n_by_modality = view.modality_losses
        figures = {
            "text_loss": by_modality[0], "text_tokens": n_by_modality[0],
            "audio_loss": by_modality[1], "audio_tokens": n_by_modality[1],
            "positions": torch.tensor(view.labels.numel()), "tokens": view.token_mask.sum(),
        }  # fmt: skip
        if view.balance_loss is not None:
            figures |= {"balance_loss": view.balance_loss, "balance_count": torch.tensor(1)}
        if view.ctc_loss is not None:
            figures |= {"ctc_loss": view.ctc_loss, "ctc_count": torch.tensor(1)}
        self._open.append((view.tasks, sums, counts, figures))

    def add_step(self, loss: float, taken: bool) -> None:
        """The loss of the step whose micro-batches were added; a step left out is counted, and is in no mean."""
        self._views += self._open if taken else []
        self._open.clear()
        self._steps["taken" if taken else "skipped"] += 1
        if taken:
            self._steps["loss"] += loss  # type: ignore[assignment]

    def totals(self) -> dict[str, float]:
        """Sums of this rank, which add up over ranks: `text_loss`, `text_tokens`, `task/NAME`, `tokens/NAME`, ..."""
        out: Counter[str] = Counter()
        for tasks, sums, counts, figures in self._views:
            for task, loss, n in zip(tasks, sums.tolist(), counts.tolist(), strict=True):
                out[f"task/{task}"] += loss
                out[f"tokens/{task}"] += n
                out[f"examples/{task}"] += 1
            for name, value in figures.items():
                out[name] += float(value)  # type: ignore[assignment]
        return dict(out)

    def means(self, totals: Mapping[str, float]) -> dict[str, float]:
        """What a log line says, from the totals of all ranks."""
        out: dict[str, float] = {}
        if self._steps["taken"]:
            out["loss"] = self._steps["loss"] / self._steps["taken"]
        for name in ("text", "audio"):
            if totals.get(f"{name}_tokens"):
                out[f"{name}_loss"] = totals[f"{name}_loss"] / totals[f"{name}_tokens"]
        for name in sorted(n.removeprefix("task/") for n in totals if n.startswith("task/")):
            if totals[f"tokens/{name}"]:
                out[f"loss/{name}"] = totals[f"task/{name}"] / totals[f"tokens/{name}"]
        for name in ("balance", "ctc"):
            if totals.get(f"{name}_count"):
                out[f"{name}_loss"] = totals[f"{name}_loss"] / totals[f"{name}_count"]
        if totals.get("positions"):
            out["padding"] = 1 - totals["tokens"] / totals["positions"]
            out["tokens"] = totals["tokens"]
        if self._steps["skipped"]:
            out["skipped_steps"] = self._steps["skipped"]
        return out

    def clear(self) -> None:
        self._views.clear()
        self._open.clear()
        self._steps.clear()

    def __bool__(self) -> bool:
        return bool(self._views or self._steps)


def added(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Totals of several ranks."""
    out: Counter[str] = Counter()
    for row in rows:
        out.update(row)
    return dict(out)
