"""Mixtures are exact, cover every example once an epoch, and depend on the index alone."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from most.data.mixture import Mixture, TokenMixture
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


LENGTHS = st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(1, 90), min_size=1, max_size=6), min_size=1)


@given(LENGTHS, st.integers(0, 3), st.data())
def test_tokens_keep_to_their_shares_at_any_point(lengths, seed, data):
    parts = {task: data.draw(st.integers(1, 9), label=task) for task in lengths}
    weights = {task: part / sum(parts.values()) for task, part in parts.items()}
    mixture = TokenMixture(lengths, weights, seed)
    longest = max(max(rows) for rows in lengths.values())
    tokens, seen = Counter(), {task: [] for task in lengths}
    for i in range(120):
        task, n = mixture[i]
        tokens[task] += lengths[task][n]
        seen[task].append(n)
        for t, weight in weights.items():
            assert abs(tokens[t] - weight * tokens.total()) <= longest * len(lengths)
    for task, order in seen.items():
        size = len(lengths[task])
        for epoch in range(len(order) // size):
            assert sorted(order[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_token_order_is_a_function_of_the_index_and_the_seed(monkeypatch):
    monkeypatch.setattr(TokenMixture, "BLOCK", 16)
    lengths = {"asr": [5, 9, 30], "tts": [80, 7], "text": [11, 12, 13, 14]}
    forward = [TokenMixture(lengths, PAPER, 3)[i] for i in range(100)]
    other = TokenMixture(lengths, PAPER, 3)
    assert [other[i] for i in reversed(range(100))] == forward[::-1]
    assert [TokenMixture(lengths, PAPER, 4)[i] for i in range(100)] != forward


def test_tokens_and_examples_differ_where_lengths_do():
    lengths = {"asr": [10] * 5, "tts": [90] * 5}
    mixture = TokenMixture(lengths, {"asr": 0.5, "tts": 0.5}, 0)
    counts = Counter(mixture[i][0] for i in range(1000))
    assert counts == {"asr": 900, "tts": 100}
    with pytest.raises(MostError, match="has a weight but no examples"):
        TokenMixture({"asr": [1], "tts": []}, {"asr": 0.5, "tts": 0.5}, 0)
