"""Who goes to which expert while a model trains: counted over whole optimizer steps, kept as arrays over time.

`<output>/routing/` holds `steps.npy` (R,), `counts.npy` (R, layers, 2, experts) and `own_mass.npy` (R, layers, 2), a
row for each step that was counted, and `groups.npy` (layers, experts): 0 text, 1 audio, 2 both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from most.files import is_disk_full
from most.model.balance import routing_stats
from most.model.install import routers
from most.train.step_view import StepView
from most.train.watch.growing import GrowingArray

FOLDER = "routing"


@dataclass(frozen=True)
class RoutingRow:
    """One counted step.

    Args:
        counts: (layers, 2, experts), picks by modality.
        own_mass: (layers, 2), mean score that a token's own group holds before top-k; nan where there was no token.
    """

    counts: np.ndarray
    own_mass: np.ndarray


class RoutingCounter:
    """Adds up the micro-batches of a step, then the ranks."""

    def __init__(self, language_model: Any) -> None:
        self.installed = routers(language_model)
        self._sums: list[torch.Tensor] = []

    @property
    def groups(self) -> np.ndarray:
        """(layers, experts): 0 text, 1 audio, 2 both."""
        return np.stack(
            [
                r.partition.membership()[1].long().numpy() if r.routing else np.full(r.partition.num_experts, 2)
                for r in self.installed
            ]
        )

    def add(self, view: StepView) -> None:
        """Waits for nothing: sums stay on the device."""
        if not view.router_logits:
            return
        stats = routing_stats(
            view.router_logits, view.modality_ids, view.token_mask,
            [r.partition if r.routing else None for r in self.installed], self.installed[0].rule,
            [r.selection_bias for r in self.installed],
        )  # fmt: skip
        tokens = torch.stack([(view.token_mask & (view.modality_ids == m)).sum() for m in (0, 1)]).double()
        rows = [
            torch.cat([s.counts.double(), (s.own_mass.nan_to_num(0.0) * tokens)[:, None], tokens[:, None]], dim=1)
            for s in stats
        ]
        self._sums.append(torch.stack(rows))

    def close(self) -> RoutingRow | None:
        """The step's row over all ranks; None when nothing was counted."""
        if not self._sums:
            return None
        total = torch.stack(self._sums).sum(dim=0)
        self._sums.clear()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(total)
        array = total.cpu().numpy()
        with np.errstate(invalid="ignore", divide="ignore"):
            return RoutingRow(array[..., :-2].round().astype(np.int64), array[..., -2] / array[..., -1])


class RoutingLog:
    """The folder of a run. Rows after the checkpoint from which a run goes on are dropped first."""

    def __init__(self, folder: Path, groups: np.ndarray, last_step: int) -> None:
        layers, experts = groups.shape
        self.steps = GrowingArray(folder / "steps.npy", (), np.int64)
        self.counts = GrowingArray(folder / "counts.npy", (layers, 2, experts), np.int32)
        self.own_mass = GrowingArray(folder / "own_mass.npy", (layers, 2), np.float32)
        np.save(folder / "groups.npy", groups.astype(np.int8), allow_pickle=False)
        whole = min(a.n_rows for a in (self.steps, self.counts, self.own_mass))
        known = np.load(folder / "steps.npy", allow_pickle=False)[:whole]
        for array in (self.steps, self.counts, self.own_mass):
            array.keep(int(np.searchsorted(known, last_step, side="right")))

    def append(self, step: int, row: RoutingRow) -> None:
        """A row that a full disk does not take is left out."""
        before = self.steps.n_rows
        try:
            self.counts.append(row.counts)
            self.own_mass.append(row.own_mass)
            self.steps.append(np.array(step))
        except OSError as e:
            if not is_disk_full(e):
                raise
            for array in (self.counts, self.own_mass, self.steps):
                array.keep(before)


@dataclass(frozen=True)
class RoutingHistory:
    """What `RoutingLog` wrote: steps (R,), counts (R, layers, 2, experts), own_mass (R, layers, 2), groups."""

    steps: np.ndarray
    counts: np.ndarray
    own_mass: np.ndarray
    groups: np.ndarray


def read_routing(output: Path) -> RoutingHistory | None:
    """Of a run, finished or not; None when nothing was counted."""
    folder = output / FOLDER
    names = ("steps", "counts", "own_mass", "groups")
    if not all((folder / f"{name}.npy").is_file() for name in names):
        return None
    arrays = [np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names]
    n = min(map(len, arrays[:3]))
    steps, counts, own_mass, groups = arrays
    return RoutingHistory(steps[:n], counts[:n], own_mass[:n], np.asarray(groups)) if n else None


def evenness(counts: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Entropy of picks over that of even picks within the group: counts (..., layers, 2, experts) -> (..., layers, 2).

    1: all experts of the group alike; 0: one expert takes all; nan: no token.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        p = counts / counts.sum(axis=-1, keepdims=True)
        entropy = -np.where(p > 0, p * np.log(p), np.where(np.isnan(p), np.nan, 0.0)).sum(axis=-1)
    sizes = np.stack([np.isin(groups, (m, 2)).sum(axis=-1) for m in (0, 1)], axis=-1)
    return entropy / np.maximum(np.log(np.maximum(sizes, 1)), 1e-12)


def dead(counts: np.ndarray) -> np.ndarray:
    """Experts that no token reached: counts (..., layers, 2, experts) -> (..., layers)."""
    return (counts.sum(axis=-2) == 0).sum(axis=-1)


def summary(row: RoutingRow, groups: np.ndarray) -> dict[str, float]:
    """A row in a few figures, for log lines: means over layers, and how many experts are dead in all of them."""
    out: dict[str, float] = {}
    even = evenness(row.counts, groups)
    for m, who in enumerate(("text", "audio")):
        for name, values in (("evenness", even[:, m]), ("own_mass", row.own_mass[:, m])):
            if math.isfinite(mean := float(np.mean(values))):
                out[f"routing/{name}_{who}"] = mean
    out["routing/dead_experts"] = int(dead(row.counts).sum())
    return out
