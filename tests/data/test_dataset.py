"""The order within an optimizer step: nothing lost, short before long, steps apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from most.data.dataset import StepOrder


class Lengths:
    def __init__(self, lengths):
        self.lengths = lengths

    def __len__(self):
        return len(self.lengths)

    def n_tokens(self, i):
        return self.lengths[i]


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 12))
def test_each_step_keeps_its_examples_short_to_long(lengths, step_size):
    order = list(StepOrder(Lengths(lengths), step_size))
    assert len(order) == len(lengths)
    for start in range(0, len(lengths), step_size):
        step = order[start : start + step_size]
        assert sorted(step) == list(range(start, min(start + step_size, len(lengths))))
        assert [lengths[i] for i in step] == sorted(lengths[i] for i in step)


@given(st.integers(0, 5))
def test_steps_that_are_passed_keep_their_indices_and_read_nothing(passed):
    class Watched(Lengths):
        def n_tokens(self, i):
            assert i >= 4 * passed
            return self.lengths[i]

    lengths = [9, 1, 5, 3] * 4
    whole, resumed = (list(StepOrder(kind(lengths), 4, n)) for kind, n in ((Lengths, 0), (Watched, passed)))
    assert sorted(resumed) == sorted(whole)
    assert resumed[4 * passed :] == whole[4 * passed :]
