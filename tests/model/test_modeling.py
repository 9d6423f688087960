"""Training properties: losses by modality, gradients that stay in their group, checkpointing, packing, placeholders."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from most.errors import MostError
from most.model.packed import SDPA_PACKED
from most.model.partition import ExpertPartition

TEXT_IDS = torch.tensor([[3, 5, 7, 9, 4, 11], [8, 6, 10, 12, 5, 1]])
UNIT_IDS = torch.tensor([[52, 41, 45, 43, 42, 53], [40, 44, 46, 47, 51, 48]])


def step(model: Any, **inputs: Any) -> Any:
    model.zero_grad(set_to_none=True)
    out = model(**inputs)
    out.loss.backward()
    return out


def expert_gradients(model: Any) -> list[torch.Tensor]:
    """Largest absolute gradient of each expert (E,), for both weights of each MoE layer."""
    found = []
    for layer in model.get_decoder().layers:
        if hasattr(layer.mlp, "experts"):
            for p in (layer.mlp.experts.gate_up_proj, layer.mlp.experts.down_proj):
                found.append(p.grad.abs().amax(dim=(1, 2)))
    return found


@pytest.mark.parametrize(("ids", "own"), [(TEXT_IDS, slice(0, 4)), (UNIT_IDS, slice(4, 8))])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_batch_of_one_modality_trains_its_own_experts_only(tiny, ids, own, checkpointing: bool) -> None:
    model = tiny.most(balance_loss_alpha=0.1).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    out = step(model, input_ids=ids, labels=ids)
    foreign = slice(4, 8) if own.start == 0 else slice(0, 4)
    for g in expert_gradients(model):
        assert (g[foreign] == 0).all()
        assert (g[own] > 0).any()
    # What a rank without audio does not use still gets a gradient, or data parallelism would wait for it.
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    present, absent = ("text", "audio") if own.start == 0 else ("audio", "text")
    assert out[f"n_{present}_labels"] == 10
    assert out[f"n_{absent}_labels"] == 0
    assert math.isnan(out[f"{absent}_loss"])
    torch.testing.assert_close(out.loss.detach(), out[f"{present}_loss"] + out.balance_loss)


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_losses_by_the_modality_of_the_label(tiny, weight: float) -> None:
    model = tiny.most(text_loss_weight=weight)
    inputs = tiny.batch(model)
    labels = tiny.labels(model, inputs)
    with torch.no_grad():
        out = model(**inputs, labels=labels)
    log_p = out.logits.log_softmax(-1)
    sums, counts = [0.0, 0.0], [0, 0]
    for b in range(labels.shape[0]):
        for t in range(1, labels.shape[1]):
            if (y := int(labels[b, t])) != -100:
                m = int(40 <= y < 57)
                sums[m] -= float(log_p[b, t - 1, y])
                counts[m] += 1
    assert [int(out.n_text_labels), int(out.n_audio_labels)] == counts
    assert math.isclose(float(out.text_loss), sums[0] / counts[0], rel_tol=1e-5)
    assert math.isclose(float(out.audio_loss), sums[1] / counts[1], rel_tol=1e-5)
    total = (weight * sums[0] + sums[1]) / sum(counts) + float(out.balance_loss)
    assert math.isclose(float(out.loss), total, rel_tol=1e-5)


def test_accumulated_batches_add_up_to_one(tiny) -> None:
    model = tiny.most(balance_loss_alpha=0.0)
    inputs = tiny.batch(model)
    labels = tiny.labels(model, inputs)
    whole = model(**inputs, labels=labels).loss
    n = (labels[:, 1:] != -100).sum()
    halves = [
        model(input_ids=inputs["input_ids"][:2], attention_mask=inputs["attention_mask"][:2],
              waveforms=inputs["waveforms"][:1], waveform_lengths=inputs["waveform_lengths"][:1],
              labels=labels[:2], num_items_in_batch=n).loss,
        model(input_ids=inputs["input_ids"][2:], attention_mask=inputs["attention_mask"][2:],
              waveforms=inputs["waveforms"][1:], waveform_lengths=inputs["waveform_lengths"][1:],
              labels=labels[2:], num_items_in_batch=n).loss,
    ]  # fmt: skip
    torch.testing.assert_close(halves[0] + halves[1], whole)


def test_the_balance_loss_is_not_multiplied_by_accumulation(tiny) -> None:
    model = tiny.most(audio=False, balance_loss_alpha=1.0)
    one = model(input_ids=TEXT_IDS, labels=TEXT_IDS)
    n = torch.tensor(30)
    part = model(input_ids=TEXT_IDS, labels=TEXT_IDS, num_items_in_batch=n)
    torch.testing.assert_close(3 * part.loss, one.loss)


def test_no_label_at_all_is_no_crash(tiny) -> None:
    model = tiny.most().train()
    out = step(model, input_ids=TEXT_IDS, labels=torch.full_like(TEXT_IDS, -100))
    assert torch.isfinite(out.loss)
    assert out.n_text_labels + out.n_audio_labels == 0


def test_gradient_reaches_the_projection_and_not_the_encoder(tiny) -> None:
    model = tiny.most().train()
    inputs = tiny.batch(model)
    step(model, **inputs, labels=tiny.labels(model, inputs))
    assert all(p.grad.abs().sum() > 0 for p in model.audio_projection.parameters())
    assert all(p.grad is None and not p.requires_grad for p in model.audio_encoder.parameters())
    assert not model.audio_encoder.training


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_checkpointed_equals_plain(tiny, alpha: float) -> None:
    model = tiny.most(balance_loss_alpha=alpha).train()
    inputs = tiny.batch(model)
    inputs["labels"] = tiny.labels(model, inputs)
    plain = step(model, **inputs)
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.gradient_checkpointing_enable()
    assert all(layer.gradient_checkpointing for layer in model.get_decoder().layers)
    checkpointed = step(model, **inputs)
    assert torch.equal(plain.loss, checkpointed.loss)
    for name, p in model.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(p.grad, gradients[name], atol=1e-7, rtol=1e-6, msg=name)


def test_the_balance_loss_reaches_the_router_alone(tiny) -> None:
    routers = {}
    for alpha in (0.0, 1.0):
        model = tiny.most(balance_loss_alpha=alpha).train()
        inputs = tiny.batch(model)
        step(model, **inputs, labels=tiny.labels(model, inputs))
        routers[alpha] = model.get_decoder().layers[2].mlp.gate.weight.grad
    assert not torch.allclose(routers[0.0], routers[1.0])


def test_reentrant_checkpointing_is_refused_where_it_would_drop_the_balance_loss(tiny) -> None:
    model = tiny.most(balance_loss_alpha=0.1).train()
    model.gradient_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(MostError, match="use_reentrant=False"):
        model(input_ids=TEXT_IDS, labels=TEXT_IDS)


def test_a_padded_batch_equals_its_rows(tiny) -> None:
    model = tiny.most()
    inputs = tiny.batch(model)
    together = model(**inputs).logits
    clip = 0
    for b, mask in enumerate(inputs["attention_mask"].bool()):
        ids = inputs["input_ids"][b, mask][None]
        single = {"input_ids": ids}
        if (ids == model.vocab.wave).any():
            n = int(inputs["waveform_lengths"][clip])
            single |= {"waveforms": inputs["waveforms"][clip, :n][None], "waveform_lengths": torch.tensor([n])}
            clip += 1
        torch.testing.assert_close(together[b, mask], model(**single).logits[0], atol=1e-5, rtol=1e-5)
    assert clip == 2


@pytest.mark.parametrize("attention", ["sdpa", SDPA_PACKED])
def test_a_packed_row_equals_its_parts(tiny, attention: str) -> None:
    model = tiny.most(audio=False)
    model.language_model.set_attn_implementation(attention)
    packed = torch.cat([TEXT_IDS[0], UNIT_IDS[0]])[None]
    position_ids = torch.arange(6).repeat(2)[None]
    logits = model(packed, position_ids=position_ids, use_cache=False).logits[0]
    torch.testing.assert_close(logits[:6], model(TEXT_IDS[:1]).logits[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits[6:], model(UNIT_IDS[:1]).logits[0], atol=1e-5, rtol=1e-5)


def test_precomputed_features_equal_waveforms(tiny) -> None:
    model = tiny.most()
    inputs = tiny.batch(model)
    frames, n_frames = model.encode_audio(inputs["waveforms"], inputs["waveform_lengths"])
    audio = {"audio_features": frames, "audio_feature_lengths": n_frames}
    rest = {k: v for k, v in inputs.items() if not k.startswith("waveform")}
    assert torch.equal(model(**inputs).logits, model(**rest, **audio).logits)
    with pytest.raises(MostError, match="not both"):
        model(**inputs, **audio)


def test_placeholders_are_overwritten_in_row_major_order(tiny) -> None:
    model = tiny.most()
    inputs = tiny.batch(model)
    frames, n_frames = model.encode_audio(inputs["waveforms"], inputs["waveform_lengths"])
    embeds = model._embed(inputs["input_ids"], None, None, frames, n_frames)
    placeholders = inputs["input_ids"] == model.vocab.wave
    expected = []
    for clip, n in zip(frames, n_frames.tolist(), strict=True):
        for i in range(0, n, 2):
            pair = torch.cat([clip[i], clip[i + 1] if i + 1 < n else torch.zeros_like(clip[i])])
            expected.append(model.audio_projection(pair[None])[0])
    assert len(expected) == sum(model.num_positions(int(n)) for n in inputs["waveform_lengths"])
    torch.testing.assert_close(embeds[placeholders], torch.stack(expected))
    tokens = model.get_input_embeddings()(inputs["input_ids"])
    assert torch.equal(embeds[~placeholders], tokens[~placeholders])


def test_audio_that_does_not_match_its_placeholders_is_refused(tiny) -> None:
    model = tiny.most()
    inputs = tiny.batch(model)
    n = int((inputs["input_ids"] == model.vocab.wave).sum())
    short = {**inputs, "input_ids": inputs["input_ids"].clone()}
    short["input_ids"][0][short["input_ids"][0] == model.vocab.wave] = 5
    left = int((short["input_ids"] == model.vocab.wave).sum())
    with pytest.raises(MostError, match=rf"{left}: placeholders .* takes {n} positions"):
        model(**short)
    with pytest.raises(MostError, match="takes 0 positions"):
        model(input_ids=inputs["input_ids"])
    with pytest.raises(MostError, match="no audio encoder"):
        tiny.most(audio=False)(**inputs)
    with pytest.raises(MostError, match="logits_to_keep"):
        model(input_ids=TEXT_IDS, labels=TEXT_IDS, logits_to_keep=1)
    with pytest.raises(MostError, match="modality routing is on"):
        model(inputs_embeds=model.get_input_embeddings()(TEXT_IDS))


def test_modality_ids_may_be_given(tiny, picks) -> None:
    model = tiny.most(audio=False)
    given_to: list[torch.Tensor] = []
    picks(model, given_to)
    model(TEXT_IDS, modality_ids=torch.ones_like(TEXT_IDS))
    own = ExpertPartition.split_by_index(8).membership()[1]
    assert all(own[i].all() for i in given_to)
    with pytest.raises(MostError, match="must be 0"):
        model(TEXT_IDS, modality_ids=torch.full_like(TEXT_IDS, 2))


def test_masked_positions_do_not_count_for_the_balance_loss(tiny) -> None:
    model = tiny.most(audio=False)
    half = torch.zeros_like(TEXT_IDS)
    half[:, :3] = 1
    out = model(TEXT_IDS, labels=TEXT_IDS, token_mask=half)
    torch.testing.assert_close(out.balance_loss, model(TEXT_IDS[:, :3], labels=TEXT_IDS[:, :3]).balance_loss)


def test_audio_starts_at_the_scale_of_text(tiny) -> None:
    model = tiny.most()
    with torch.no_grad():
        rms = model.get_input_embeddings().weight[:40].square().mean().sqrt()
        audio = model.audio_projection(torch.randn(200, 32) * 30 + 4)
    assert 0.7 < float(audio.square().mean().sqrt() / rms) < 1.4


def test_a_few_steps_learn(tiny) -> None:
    model = tiny.most().train()
    inputs = tiny.batch(model)
    inputs["labels"] = tiny.labels(model, inputs)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(40):
        losses.append(step(model, **inputs).loss.item())
        optimizer.step()
    assert losses[-1] < 0.4 * losses[0]


def test_hidden_states_and_shapes(tiny) -> None:
    model = tiny.most()
    out = model(TEXT_IDS, output_hidden_states=True, output_router_logits=True, logits_to_keep=1)
    assert out.logits.shape == (2, 1, model.vocab.vocab_size)
    assert len(out.hidden_states) == 4
    assert [x.shape for x in out.router_logits] == [(12, 8)] * 2
    assert out.loss is None
    assert model(TEXT_IDS).router_logits is None
    assert isinstance(model(TEXT_IDS, return_dict=False), tuple)
    assert F.softmax(out.logits, -1).isfinite().all()
