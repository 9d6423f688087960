"""Packing: every example in one row, little padding, and a model that cannot tell."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from most.data.dataset import Collator
from most.data.packing import MAX_WASTE, pack, padding
from most.model.load import load_most
from most.train.recipe import DataSettings, TrainRecipe
from most.train.run import build_dataset


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_each_sequence_is_in_one_row_and_packing_never_pads_more(lengths):
    rows = pack(lengths)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(rows)
    assert padding(rows, lengths) <= padding([[i] for i in range(len(lengths))], lengths) + 1e-12


def test_equal_lengths_keep_a_row_each_and_unequal_ones_share():
    assert pack([7] * 5) == [[0], [1], [2], [3], [4]]
    rows = pack([100, 50, 50, 30, 70, 96])
    assert len(rows) == 4
    assert padding(rows, [100, 50, 50, 30, 70, 96]) <= MAX_WASTE
    assert pack([9, 1]) == [[0, 1]]


@pytest.fixture(scope="module")
def setting(tiny_most, tiny_corpus, tiny_arrays):
    model, processor = load_most(tiny_most)
    data = DataSettings(manifests=(tiny_corpus / "train.jsonl",), arrays=tiny_arrays)
    recipe = TrainRecipe(
        model=tiny_most, output=tiny_most, data=data, steps=4, batch_size=10, learning_rate=1e-3, seed=3
    )
    dataset = build_dataset(recipe, processor)
    return model, [dataset[i] for i in range(12)], processor.tokenizer.pad_token_id


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_losses_and_gradients_are_the_unpacked_ones(setting, attention):
    model, items, pad = setting
    model.set_attn_implementation({"text_config": attention})
    model.train()
    found = []
    for packing in (False, True):
        batch = Collator(pad, packing=packing)(items)
        model.zero_grad()
        out = model(**batch)
        out.loss.backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        found.append((batch, out, gradients))
    (wide, a, ga), (packed, b, gb) = found
    assert packed["input_ids"].shape[0] < wide["input_ids"].shape[0]
    assert packed["input_ids"].numel() < wide["input_ids"].numel()
    for name in ("loss", "text_loss", "audio_loss", "balance_loss"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), atol=1e-6, rtol=1e-5)
    assert (a.n_text_labels, a.n_audio_labels) == (b.n_text_labels, b.n_audio_labels)
    assert ga.keys() == gb.keys()
    for name, gradient in ga.items():
        torch.testing.assert_close(gradient, gb[name], atol=1e-6, rtol=1e-4, msg=name)


def test_the_packed_loss_is_the_sum_of_the_single_ones(setting):
    model, items, pad = setting
    model.eval()
    with torch.no_grad():
        packed = model(**Collator(pad, packing=True)(items), num_items_in_batch=1)
        single = [model(**Collator(pad)([item]), num_items_in_batch=1) for item in items]
    total = sum(s.loss - s.balance_loss * (s.n_text_labels + s.n_audio_labels) for s in single)
    labels = packed.n_text_labels + packed.n_audio_labels
    torch.testing.assert_close(packed.loss - packed.balance_loss * labels, total, atol=1e-4, rtol=1e-5)


def test_what_one_example_says_does_not_reach_its_neighbour(setting):
    model, items, pad = setting
    model.eval()
    text = [i for i in items if i.task == "text"][:2]
    batch = Collator(pad, packing=True)(text)
    # Force one row, whatever is best for these two.
    lengths = [len(i.encoded) for i in text]
    ids = torch.cat([torch.from_numpy(i.encoded.ids) for i in text])[None]
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    assert batch["input_ids"].numel() <= 2 * max(lengths)
    with torch.no_grad():
        before = model(input_ids=ids, position_ids=positions).logits
        changed = ids.clone()
        changed[0, : lengths[0]] = changed[0, : lengths[0]].flip(0)
        after = model(input_ids=changed, position_ids=positions).logits
        alone = model(input_ids=ids[:, lengths[0] :]).logits
    torch.testing.assert_close(before[:, lengths[0] :], after[:, lengths[0] :])
    torch.testing.assert_close(before[:, lengths[0] :], alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(before[:, : lengths[0]], after[:, : lengths[0]])
