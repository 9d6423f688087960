"""A figure with all it rests on: value, interval, items, failures. What every family of evaluation gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from most.errors import MostError

N_BOOTSTRAP = 1000


@dataclass(frozen=True, kw_only=True)
class Score:
    """One metric over one set.

    Args:
        metric: `wer`, `cer`, `accuracy`, `exact`, `contained`, `alias`, `perplexity`, ...; a part of the set follows
            after a slash.
        value, low, high: the figure and its bootstrap 95 % interval; a share from 0 to 1 where `unit` is `%`.
        n_items: all items, the failed and the empty ones too: they count as errors.
        n_failed: items that raised an error; n_empty: items that came to an end without an answer.
        unit: `%`, or what the value is counted in (`Hz`), or nothing.
        better: which way is better; None for a figure that only describes.
    """

    metric: str
    value: float
    low: float
    high: float
    n_items: int
    n_failed: int = 0
    n_empty: int = 0
    unit: str = "%"
    better: Literal["lower", "higher"] | None = "higher"

    def __str__(self) -> str:
        scale, places = (100, 1) if self.unit == "%" else (1, 2)
        value, low, high = (f"{scale * x:.{places}f}" for x in (self.value, self.low, self.high))
        unit = f" {self.unit}" if self.unit else ""
        return f"{value}{unit} ({low} to {high}; {self.n_items} items, {self.n_failed} failed, {self.n_empty} empty)"


def mean_interval(
    values: Sequence[float] | np.ndarray, *, groups: Sequence[str] | None = None, seed: int = 0
) -> tuple[float, float, float]:
    """Mean and its bootstrap 95 % interval over items; draws are fixed by `seed`, so the interval is too.

    Args:
        groups: what is drawn with replacement where items are not independent (the voices of one word pair).

    Raises:
        MostError: no values.
    """
    return ratio_interval(values, np.ones(len(values)), groups=groups, seed=seed)


def ratio_interval(
    above: Sequence[float] | np.ndarray,
    below: Sequence[float] | np.ndarray,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    n_bootstrap: int = N_BOOTSTRAP,
) -> tuple[float, float, float]:
    """Sum of `above` over sum of `below` (errors over words, loss over tokens) and its bootstrap 95 % interval.

    Raises:
        MostError: no items, unequal counts, or nothing below the line.
    """
    top, bottom = np.asarray(above, dtype=float), np.asarray(below, dtype=float)
    if not len(top) or len(top) != len(bottom) or not bottom.sum():
        raise MostError("values", f"{len(top)} over {len(bottom)}", "give as many of both, with something to divide by")
    if groups is not None:
        names = {g: k for k, g in enumerate(dict.fromkeys(groups))}
        index = np.array([names[g] for g in groups])
        top, bottom = (np.bincount(index, weights=x, minlength=len(names)) for x in (top, bottom))
    draws = np.random.default_rng(seed).integers(len(top), size=(n_bootstrap, len(top)))
    rates = top[draws].sum(axis=1) / np.maximum(bottom[draws].sum(axis=1), 1e-12)
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(top.sum() / bottom.sum()), float(low), float(high)
