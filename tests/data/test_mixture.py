"""Mixtures are exact, cover every example once an epoch, and depend on the index alone."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from most.data.mixture import Mixture
from most.errors import MostError

PAPER = {"asr": 0.4, "tts": 0.4, "text": 0.2}


def test_the_papers_mixture_is_exact():
    mixture = Mixture({"asr": 7, "tts": 11, "text": 3}, PAPER, seed=0)
    counts = Counter(mixture[i][0] for i in range(1000))
    assert counts == {"asr": 400, "tts": 400, "text": 200}


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))
def test_each_epoch_of_a_task_holds_each_example_once(a, b, c, seed):
    sizes = {"asr": a, "tts": b, "text": c}
    mixture = Mixture(sizes, PAPER, seed)
    seen = {task: [] for task in sizes}
    for i in range(200):
        task, n = mixture[i]
        seen[task].append(n)
    for task, order in seen.items():
        for epoch in range(len(order) // sizes[task]):
            assert sorted(order[epoch * sizes[task] : (epoch + 1) * sizes[task]]) == list(range(sizes[task]))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_no_task_strays_from_its_share(parts):
    weights = {str(k): p / sum(parts) for k, p in enumerate(parts)}
    mixture = Mixture(dict.fromkeys(weights, 10), weights, seed=1)
    counts = Counter()
    for i in range(3 * sum(parts)):
        counts[mixture[i][0]] += 1
        for task, weight in weights.items():
            assert abs(counts[task] - weight * (i + 1)) < len(parts)


def test_order_is_a_function_of_the_index_and_the_seed():
    sizes = {"asr": 50, "tts": 50, "text": 50}
    forward = [Mixture(sizes, PAPER, 3)[i] for i in range(300)]
    other = Mixture(sizes, PAPER, 3)
    assert [other[i] for i in reversed(range(300))] == forward[::-1]
    assert [Mixture(sizes, PAPER, 4)[i] for i in range(300)] != forward


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"asr": 0.5, "tts": 0.4}, "sums to 0.9"),
        ({"asr": 0.5, "dialogue": 0.5}, "has a weight but no examples"),
        ({"asr": 1.5, "tts": -0.5}, "negative"),
    ],
)
def test_bad_mixtures_are_refused(weights, message):
    with pytest.raises(MostError, match=message):
        Mixture({"asr": 5, "tts": 5}, weights, 0)
