"""Task mixtures, exact to the example: which example of which task is the i-th of a run is a pure function of i.

So a run resumes at the exact next example by its index alone, on any number of ranks and workers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from most.errors import MostError


class Mixture:
    """Weighted interleaving of tasks, each shuffled anew every epoch of its own.

    Over each period (at most the common denominator of the weights) every task appears exactly as often as its
    weight says, spread as evenly as can be.

    Args:
        sizes: examples per task.
        weights: share of each task; must sum to 1.
        seed: of the shuffles.

    Raises:
        MostError: a weight without examples, weights that do not sum to 1, or a negative weight.
    """

    def __init__(self, sizes: Mapping[str, int], weights: Mapping[str, float], seed: int) -> None:
        used = {task: Fraction(w).limit_denominator(10_000) for task, w in weights.items() if w}
        for task, weight in used.items():
            if weight < 0:
                raise MostError(f"mixture.{task}", float(weight), "must not be negative")
            if not sizes.get(task):
                raise MostError(
                    f"mixture.{task}", float(weight), "has a weight but no examples; add some or set it to 0"
                )
        if sum(used.values()) != 1:
            raise MostError("mixture", dict(weights), f"sums to {float(sum(used.values())):g}; weights must sum to 1")
        self.tasks = sorted(used)
        self.sizes = [sizes[t] for t in self.tasks]
        self.seed = seed
        self._pattern, self._before = _interleave([used[t] for t in self.tasks])
        self._shuffles: dict[tuple[int, int], np.ndarray] = {}

    def __getitem__(self, i: int) -> tuple[str, int]:
        """Task and example number of the i-th example of the run."""
        period, place = divmod(i, len(self._pattern))
        task = int(self._pattern[place])
        per_period = int(self._before[-1, task])
        n = period * per_period + int(self._before[place, task])
        epoch, k = divmod(n, self.sizes[task])
        return self.tasks[task], int(self._shuffle(task, epoch)[k])

    def _shuffle(self, task: int, epoch: int) -> np.ndarray:
        if (task, epoch) not in self._shuffles:
            for stale in [key for key in self._shuffles if key[0] == task and key[1] < epoch - 1]:
                del self._shuffles[stale]
            rng = np.random.default_rng([self.seed, task, epoch])
            self._shuffles[task, epoch] = rng.permutation(self.sizes[task])
        return self._shuffles[task, epoch]


def _interleave(weights: list[Fraction]) -> tuple[np.ndarray, np.ndarray]:
    """One period: the task at each place (P,), and how often each came before that place (P + 1, tasks)."""
    period = math.lcm(*(w.denominator for w in weights))
    counts = np.zeros(len(weights), dtype=np.int64)
    pattern = np.empty(period, dtype=np.int64)
    before = np.zeros((period + 1, len(weights)), dtype=np.int64)
    for place in range(period):
        due = [float(w * (place + 1) - int(c)) for w, c in zip(weights, counts, strict=True)]
        pattern[place] = int(np.argmax(due))
        counts[pattern[place]] += 1
        before[place + 1] = counts
    return pattern, before
