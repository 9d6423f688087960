"""Building from a backbone: the text model is untouched, new rows start at the mean, room is made if needed."""

import copy

import pytest
import torch

from most.errors import MostError
from most.model.build import build_from_backbone


@pytest.mark.parametrize(("vocab_size", "rows"), [(40, 64), (45, 64), (57, 64), (80, 80), (130, 130)])
@pytest.mark.parametrize("tied", [False, True])
def test_room_is_made_and_text_rows_stay(tiny, vocab_size: int, rows: int, tied: bool) -> None:
    lm = tiny.lm(vocab_size=vocab_size, tie_word_embeddings=tied)
    old = copy.deepcopy(lm)
    model = build_from_backbone(lm, tokenizer_size=40, n_units=12, modality_routing=False)
    # An embedding with room enough keeps its size; else it grows to a multiple of 64.
    expected = vocab_size if vocab_size >= 57 else rows
    assert model.vocab.vocab_size == expected
    for e, o in (
        (model.get_input_embeddings(), old.get_input_embeddings()),
        (model.get_output_embeddings(), old.get_output_embeddings()),
    ):
        assert e.weight.shape[0] == expected
        assert torch.equal(e.weight[:40], o.weight[:40])
        mean, spread = o.weight[:40].mean(0), o.weight[:40].std(0)
        assert ((e.weight[40 : 57 if vocab_size >= 57 else None] - mean).abs() < spread).all()
        if vocab_size > 57:
            assert torch.equal(e.weight[57:], o.weight[57:])
        assert len({tuple(r) for r in e.weight[40:].tolist()}) == expected - 40
    ids = torch.arange(3, 20)[None]
    torch.testing.assert_close(model(ids).logits[..., :40], old(ids).logits[..., :40])


def test_it_is_deterministic_and_adopts_what_it_is_given(tiny) -> None:
    lm = tiny.lm()
    a = tiny.most(lm)
    torch.manual_seed(99)
    b = tiny.most(lm)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    own = tiny.lm()
    assert build_from_backbone(own, tokenizer_size=40, n_units=12).language_model is own


def test_settings_reach_the_config(tiny) -> None:
    model = tiny.most(audio_layer=1, audio_stack=3, balance_loss_alpha=0.5)
    assert (model.config.audio_layer, model.config.audio_stack, model.config.balance_loss_alpha) == (1, 3, 0.5)
    assert model.audio_projection.linear.in_features == 48


@pytest.mark.parametrize("size", [0, 65])
def test_a_foreign_tokenizer_is_refused(tiny, size: int) -> None:
    with pytest.raises(MostError, match="has 64 rows"):
        build_from_backbone(tiny.lm(), tokenizer_size=size, n_units=12)


def test_bfloat16_backbone(tiny) -> None:
    model = tiny.most(tiny.lm().to(torch.bfloat16))
    assert model.audio_projection.linear.weight.dtype == torch.bfloat16
    assert torch.isfinite(model(**tiny.batch(model)).logits).all()
