"""Task mixtures, exact to the example or to the token: the i-th example of a run is a function of i alone.

So a run resumes at the exact next example by its index, on any number of ranks and workers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from most.errors import MostError


class Mixture:
    """Weighted interleaving of tasks, each shuffled anew every epoch of its own.

    Over each period (at most the common denominator of the weights) every task appears exactly as often as its
    weight says, spread as evenly as can be.

    Args:
        sizes: examples per task.
        weights: share of each task, in examples; must sum to 1.
        seed: of the shuffles.

    Raises:
        MostError: a weight without examples, weights that do not sum to 1, or a negative weight.
    """

    def __init__(self, sizes: Mapping[str, int], weights: Mapping[str, float], seed: int) -> None:
        used = _checked(sizes, weights)
        self.tasks = sorted(used)
        self._order = _Shuffles([sizes[t] for t in self.tasks], seed)
        self._pattern, self._before = _interleave([used[t] for t in self.tasks])

    def __getitem__(self, i: int) -> tuple[str, int]:
        """Task and example number of the i-th example of the run."""
        period, place = divmod(i, len(self._pattern))
        task = int(self._pattern[place])
        n = period * int(self._before[-1, task]) + int(self._before[place, task])
        return self.tasks[task], self._order[task, n]


class TokenMixture:
    """The same with shares counted in tokens: the next example is of the task that lags furthest behind its share.

    At any point a task's tokens differ from its share by less than the longest example times the number of tasks. The
    order is worked out from the start, a block at a time, and kept as the state before each block; the i-th example
    needs all blocks before it once, about a second for a million examples.

    Args:
        lengths: of each task's examples, in tokens, each at least 1.
        weights: share of each task, in tokens; must sum to 1.
        seed: of the shuffles.

    Raises:
        MostError: as `Mixture`.
    """

    BLOCK = 512

    def __init__(self, lengths: Mapping[str, Sequence[int]], weights: Mapping[str, float], seed: int) -> None:
        used = _checked({task: len(rows) for task, rows in lengths.items()}, weights)
        self.tasks = sorted(used)
        self._weights = [float(used[t]) for t in self.tasks]
        self._lengths = [np.asarray(lengths[t], dtype=np.int64) for t in self.tasks]
        self._order = _Shuffles([len(rows) for rows in self._lengths], seed)
        self._states = [([0] * len(self.tasks), [0] * len(self.tasks))]
        self._block: tuple[int, list[tuple[str, int]]] = (-1, [])

    def __getitem__(self, i: int) -> tuple[str, int]:
        """Task and example number of the i-th example of the run."""
        block, place = divmod(i, self.BLOCK)
        for k in range(len(self._states) - 1, block):
            self._run(k)
        if self._block[0] != block:
            self._block = (block, self._run(block))
        return self._block[1][place]

    def _run(self, block: int) -> list[tuple[str, int]]:
        """The examples of a block; the state behind it is kept."""
        counts, tokens = (list(row) for row in self._states[block])
        total, out = sum(tokens), []
        for _ in range(self.BLOCK):
            task = max(range(len(tokens)), key=lambda t: (self._weights[t] * total - tokens[t], self._weights[t]))
            n = self._order[task, counts[task]]
            length = int(self._lengths[task][n])
            counts[task] += 1
            tokens[task] += length
            total += length
            out.append((self.tasks[task], n))
        if len(self._states) == block + 1:
            self._states.append((counts, tokens))
        return out


class _Shuffles:
    """Each task's examples in endless order, a new permutation each epoch: `[task, n]` is the n-th."""

    def __init__(self, sizes: Sequence[int], seed: int) -> None:
        self.sizes, self.seed = sizes, seed
        self._epochs: dict[tuple[int, int], np.ndarray] = {}

    def __getitem__(self, at: tuple[int, int]) -> int:
        task, n = at
        epoch, k = divmod(n, self.sizes[task])
        if (task, epoch) not in self._epochs:
            for stale in [key for key in self._epochs if key[0] == task and key[1] < epoch - 1]:
                del self._epochs[stale]
            rng = np.random.default_rng([self.seed, task, epoch])
            self._epochs[task, epoch] = rng.permutation(self.sizes[task])
        return int(self._epochs[task, epoch][k])


def _checked(sizes: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, Fraction]:
    """The weights in use, as fractions that sum to 1."""
    used = {task: Fraction(w).limit_denominator(10_000) for task, w in weights.items() if w}
    for task, weight in used.items():
        if weight < 0:
            raise MostError(f"mixture.{task}", float(weight), "must not be negative")
        if not sizes.get(task):
            raise MostError(f"mixture.{task}", float(weight), "has a weight but no examples; add some or set it to 0")
    if sum(used.values()) != 1:
        raise MostError("mixture", dict(weights), f"sums to {float(sum(used.values())):g}; weights must sum to 1")
    return used


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
