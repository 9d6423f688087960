"""The order within an optimizer step: nothing lost, short before long, steps apart."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from most.data.dataset import Item, StepOrder
from most.sequence import Encoded


class Lengths:
    def __init__(self, lengths):
        self.lengths = lengths

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, i):
        ids = np.zeros(self.lengths[i], dtype=np.int64)
        return Item(str(i), "text", Encoded(ids, ids, ()), ())


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 12))
def test_each_step_keeps_its_examples_short_to_long(lengths, step_size):
    order = list(StepOrder(Lengths(lengths), step_size))
    assert len(order) == len(lengths)
    for start in range(0, len(lengths), step_size):
        step = order[start : start + step_size]
        assert sorted(step) == list(range(start, min(start + step_size, len(lengths))))
        assert [lengths[i] for i in step] == sorted(lengths[i] for i in step)
