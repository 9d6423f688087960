"""Paired comparison: known differences are found, equals are not told apart, what cannot be paired is refused."""

import numpy as np
import pytest

from most.ablate.compare import difference, holm, value_of
from most.errors import MostError


def _cells(mean: float, *, seeds: int = 3, n: int = 60, noise: float = 0.05, draw: int = 0) -> dict:
    """Losses of `n` examples of unlike difficulty; what is common to all variants is drawn first."""
    hard = np.random.default_rng(99).gamma(2.0, 1.0, n)
    own = np.random.default_rng(draw)
    return {
        s: {f"e{k}": (float(10 * (hard[k] + mean + own.normal(0, noise))), 10.0) for k in range(n)}
        for s in range(seeds)
    }


def test_the_value_is_the_mean_over_seeds_of_sum_over_sum() -> None:
    cells = {0: {"a": (1.0, 2.0), "b": (3.0, 2.0)}, 1: {"a": (2.0, 2.0), "b": (6.0, 2.0)}}
    value = value_of(cells)
    assert value.by_seed == (1.0, 2.0)
    assert value.value == 1.5
    assert value.low <= 1.5 <= value.high


def test_a_small_difference_is_found_although_examples_differ_much() -> None:
    """Examples spread 1.4 nats, variants differ by 0.05: only pairing shows it."""
    better, worse = _cells(-0.05, draw=1), _cells(0.0, draw=2)
    d = difference(better, worse)
    assert d.difference == pytest.approx(-0.05, abs=0.02)
    assert d.high < 0
    assert d.p < 0.01
    assert d.agree == 3
    back = difference(worse, better)
    assert back.difference == pytest.approx(-d.difference)
    assert (back.low, back.high) == pytest.approx((-d.high, -d.low))
    assert back.p == pytest.approx(d.p)


def test_intervals_and_p_values_keep_their_level() -> None:
    """Of 60 comparisons of equals about a twentieth may look different, by either measure."""
    outside, small = 0, 0
    for k in range(60):
        d = difference(_cells(0.0, draw=2 * k, n=40), _cells(0.0, draw=2 * k + 1, n=40))
        outside += not d.low <= 0 <= d.high
        small += d.p < 0.05
    assert small <= 9
    assert outside <= 14  # seeds are three: a bootstrap over them is known to be narrow


def test_the_p_value_is_that_of_all_swaps() -> None:
    """Six examples have 64 swaps: the exact test is counted by hand."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(0.4, 0.5, 6), np.zeros(6)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1).T
    exact = float((np.abs(signs @ a) >= abs(a.sum()) - 1e-9).mean())
    first = {0: {f"e{k}": (float(x), 1.0) for k, x in enumerate(a)}}
    second = {0: {f"e{k}": (float(x), 1.0) for k, x in enumerate(b)}}
    assert difference(first, second).p == pytest.approx(exact, abs=0.02)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


def test_other_examples_or_seeds_are_refused() -> None:
    with pytest.raises(MostError, match=r"e5.*same examples"):
        difference(_cells(0, n=5), _cells(0, n=6))
    with pytest.raises(MostError, match="no seed in common"):
        difference({0: {"a": (1.0, 1.0)}}, {1: {"a": (1.0, 1.0)}})
