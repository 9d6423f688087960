"""Likelihoods against a plain forward of one sequence and torch's cross-entropy; nothing depends on the batch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from most.errors import MostError
from most.evaluate.likelihood import Likelihood, text_likelihoods, unit_likelihoods
from most.model.load import load_most

TEXTS = [
    ("", "one two three"), ("after three", " comes four"), ("Say:", " six"), ("Transcribe the", " speech. one two"),
    ("after", " one"),
]  # fmt: skip


@pytest.fixture(scope="module")
def most(tiny_most):
    return load_most(tiny_most)


@pytest.fixture(scope="module")
def units():
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 20, size=c), rng.integers(0, 20, size=n)) for c, n in ((0, 9), (4, 3), (0, 1), (7, 12))]


def plain(model, ids: list[int], start: int) -> float:
    """The library's way: one unpadded sequence, one call, one loss."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    return -float(cross_entropy(logits[start - 1 : -1], torch.tensor(ids[start:]), reduction="sum"))


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_units_are_scored_as_they_are_learned(most, units, batch_size):
    model, processor = most
    v, bos = processor.vocab, processor.tokenizer.bos_token_id
    found = unit_likelihoods(model, processor, units, batch_size=batch_size)
    assert [x.n_tokens for x in found] == [9, 3, 1, 12]
    for (context, continuation), x in zip(units, found, strict=True):
        ids = [bos, v.audio_begin, *(int(u) + v.unit_start for u in (*context, *continuation))]
        assert x.total == pytest.approx(plain(model, ids, 2 + len(context)), abs=1e-4)
        assert x.mean == x.total / x.n_tokens


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_texts_of_a_most_and_of_a_plain_model(most, tiny_most, batch_size):
    backbone = tiny_most.parent / "backbone"
    plain_model, plain_tokenizer = (
        AutoModelForCausalLM.from_pretrained(backbone),
        AutoTokenizer.from_pretrained(backbone),
    )
    for model, tokenizer in ((most[0], most[1].tokenizer), (plain_model.eval(), plain_tokenizer)):
        for pair, x in zip(TEXTS, text_likelihoods(model, tokenizer, TEXTS, batch_size=batch_size), strict=True):
            context, whole = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (pair[0], "".join(pair)))
            ids = [tokenizer.bos_token_id, *whole]
            assert whole[: len(context)] == context  # none of these borders merges
            assert x.total == pytest.approx(plain(model, ids, 1 + len(context)), abs=1e-4)
            assert x.n_tokens == len(whole) - len(context)


def test_likelihoods_of_all_continuations_sum_to_one(most):
    model, processor = most
    rest = [(np.array([3, 5]), np.array([u])) for u in range(processor.n_units)]
    share = sum(np.exp(x.total) for x in unit_likelihoods(model, processor, rest, batch_size=7))
    assert 0 < share < 1  # the softmax is over the whole vocabulary, so some falls to text and markers
    v, bos = processor.vocab, processor.tokenizer.bos_token_id
    with torch.no_grad():
        logits = model(torch.tensor([[bos, v.audio_begin, v.unit_id(3), v.unit_id(5)]])).logits[0, -1]
    assert share == pytest.approx(float(logits.softmax(-1)[v.unit_start : v.audio_begin].sum()), abs=1e-5)


def test_a_token_across_the_border_counts_to_the_continuation(most, tokenizer):
    model, processor = most
    whole = processor.tokenizer("after three", add_special_tokens=False)["input_ids"]
    merged = text_likelihoods(model, processor.tokenizer, [("after ", "three")], batch_size=1)[0]
    apart = processor.tokenizer("after ", add_special_tokens=False)["input_ids"]
    assert whole[: len(apart)] != apart  # the space belongs to the next word's first token
    assert merged == text_likelihoods(model, processor.tokenizer, [("after", " three")], batch_size=1)[0]


@pytest.fixture(scope="module")
def short_model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=8, initializer_range=0.5,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def test_a_text_longer_than_the_model_reads_is_scored_in_stretches(short_model, tokenizer):
    text = "one two three after three comes four Say: four five six Transcribe the speech."
    ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    whole, rest = divmod(len(ids) - 1, 8)
    expected = sum(plain(short_model, ids[8 * k : 8 * k + 9], 1) for k in range(whole))
    expected += plain(short_model, ids[-9:], 9 - rest)
    assert whole > 1
    assert rest
    for batch_size in (1, 3, 8):
        found = text_likelihoods(short_model, tokenizer, [("", text), ("", "one")], batch_size=batch_size)[0]
        assert found.total == pytest.approx(expected, abs=1e-4)
        assert found.n_tokens == len(ids) - 1


def test_a_context_longer_than_the_model_reads_loses_its_beginning(short_model, tokenizer):
    context = "one two three after three comes four"
    found = text_likelihoods(short_model, tokenizer, [(context, " one two")], batch_size=1)[0]
    ids = tokenizer(context + " one two", add_special_tokens=False)["input_ids"][-9:]
    assert found.total == pytest.approx(plain(short_model, ids, 9 - found.n_tokens), abs=1e-4)


def test_without_bos_an_empty_context_is_the_eos_token(most, tokenizer):
    bare = copy.deepcopy(most[1].tokenizer)
    bare.bos_token = None
    found = text_likelihoods(most[0], bare, [("", "one two"), ("one", " two")], batch_size=2)
    ids = bare("one two", add_special_tokens=False)["input_ids"]
    assert found[0].total == pytest.approx(plain(most[0], [bare.eos_token_id, *ids], 1), abs=1e-4)
    assert found[1].total == pytest.approx(plain(most[0], ids, len(ids) - found[1].n_tokens), abs=1e-4)
    bare.eos_token = None
    with pytest.raises(MostError, match="neither bos nor eos"):
        text_likelihoods(most[0], bare, [("", "one")], batch_size=1)


def test_refusals(most):
    model, processor = most
    none = np.zeros(0, dtype=np.int64)
    with pytest.raises(MostError, match="empty"):
        text_likelihoods(model, processor.tokenizer, [("one", "")], batch_size=1)
    with pytest.raises(MostError, match="no unit to score"):
        unit_likelihoods(model, processor, [(np.array([1]), none)], batch_size=1)
    with pytest.raises(MostError, match=r"0\.\.19"):
        unit_likelihoods(model, processor, [(none, np.array([20]))], batch_size=1)
    assert text_likelihoods(model, processor.tokenizer, [], batch_size=1) == []


def test_mean():
    assert Likelihood(total=-6.0, n_tokens=4).mean == -1.5


def test_a_broken_model_is_named(short_model, tokenizer):
    broken = copy.deepcopy(short_model)
    broken.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(MostError, match="not finite"):
        text_likelihoods(broken, tokenizer, [("", "one")], batch_size=1)
