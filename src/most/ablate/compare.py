"""Paired comparison of two variants: the same examples, the same seeds, item by item.

A measure is a sum over a sum (nats over tokens, errors over words) for each seed; its value is the mean over seeds.
The interval of a difference comes from drawing seeds and examples again, for the two variants alike (a bootstrap); the
p-value from swapping the two variants' results example by example (a paired permutation test).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from most.errors import MostError

N_DRAWS = 4000
LEVEL = 0.05

Cells = Mapping[int, Mapping[str, tuple[float, float]]]
"""seed -> example -> what is counted, and what it is divided by. Lower is better in every measure."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """A variant's measure: mean over seeds, its 95 % interval over seeds and examples, and each seed's own."""

    value: float
    low: float
    high: float
    by_seed: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """First variant minus second; negative where the first is better.

    Args:
        agree: seeds in which the sign is that of the difference.
        p: of the permutation test over examples, two-sided; not adjusted.
    """

    difference: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    agree: int
    p: float


def value_of(cells: Cells, *, seed: int = 0) -> Value:
    """Raises MostError where seeds were measured on different examples."""
    above, below = _arrays(cells, _examples([cells]))
    ratios, draws = above.sum(1) / below.sum(1), _drawn(above, below, seed)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Value(value=float(ratios.mean()), low=float(low), high=float(high), by_seed=tuple(map(float, ratios)))


def difference(first: Cells, second: Cells, *, seed: int = 0) -> Difference:
    """Compare two variants over the seeds that both have.

    Raises:
        MostError: no common seed, or other examples in one than in the other.
    """
    seeds = [s for s in first if s in second]
    if not seeds:
        raise MostError("seeds", [sorted(first), sorted(second)], "the two variants have no seed in common")
    pair = [{s: cells[s] for s in seeds} for cells in (first, second)]
    examples = _examples(pair)
    (a, n_a), (b, n_b) = (_arrays(cells, examples) for cells in pair)
    by_seed = a.sum(1) / n_a.sum(1) - b.sum(1) / n_b.sum(1)
    shares = a / n_a.sum(1)[:, None], b / n_b.sum(1)[:, None]
    low, high = np.percentile(_drawn(a, n_a, seed) - _drawn(b, n_b, seed), [2.5, 97.5])
    value = float(by_seed.mean())
    return Difference(
        difference=value, low=float(low), high=float(high), by_seed=tuple(map(float, by_seed)),
        agree=int((np.sign(by_seed) == np.sign(value)).sum()), p=_swapped(*shares, seed),
    )  # fmt: skip


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several (Holm 1979), in the given order."""
    order = np.argsort(p_values, kind="stable")
    out, worst = np.ones(len(p_values)), 0.0
    for rank, k in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[k]))
        out[k] = worst
    return [float(p) for p in out]


def _examples(many: Sequence[Cells]) -> list[str]:
    every = [set(rows) for cells in many for rows in cells.values()]
    for names in every[1:]:
        if names != every[0]:
            odd = sorted(names ^ every[0])[0]
            raise MostError("examples", odd, "was not measured in every cell; measure all cells on the same examples")
    return sorted(every[0])


def _arrays(cells: Cells, examples: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Above and below the line, (seeds, examples) each."""
    both = np.array([[rows[e] for e in examples] for rows in cells.values()], dtype=float)
    return both[..., 0], both[..., 1]


def _drawn(above: np.ndarray, below: np.ndarray, seed: int) -> np.ndarray:
    """The value of (seeds, examples) in draws of both; equal shapes and seeds give the same draws."""
    rng = np.random.default_rng(seed)
    n_seeds, n = above.shape
    weights = rng.multinomial(n, np.full(n, 1 / n), size=N_DRAWS)
    which = rng.integers(n_seeds, size=(N_DRAWS, n_seeds))
    ratios = (weights @ above.T) / np.maximum(weights @ below.T, 1e-12)
    return np.take_along_axis(ratios, which, axis=1).mean(axis=1)


def _swapped(a: np.ndarray, b: np.ndarray, seed: int) -> float:
    """Share of random swaps whose difference is as large; (seeds, examples), an example is swapped in all its seeds."""
    each = (a - b).mean(axis=0)
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(N_DRAWS, len(each)))
    as_large = np.abs(signs @ each) >= abs(each.sum()) * (1 - 1e-9)
    return float((1 + as_large.sum()) / (1 + N_DRAWS))
