"""Generation: the cache, padding, beams and repeats change nothing; audio goes in once; only legal tokens come out."""

from typing import Any

import pytest
import torch

from most.model.legal import LegalTokens

NEW = 8


def generate(model: Any, inputs: dict[str, Any], **kwargs: Any) -> torch.Tensor:
    settings = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, **kwargs}
    return model.generate(**inputs, **settings)[:, inputs["input_ids"].shape[1] :]


def prompts(tiny, model: Any) -> dict[str, Any]:
    """Two rows that end in text, the middle one inside speech; clips in the outer rows."""
    inputs = tiny.batch(model)
    inputs["input_ids"][1, -1] = model.vocab.audio_begin
    return inputs


@pytest.mark.parametrize("mode", ["text", "any"])
def test_cached_equals_uncached(tiny, mode: str) -> None:
    model = tiny.most()
    inputs = prompts(tiny, model)
    cached = generate(model, inputs, mode=mode)
    assert torch.equal(cached, generate(model, inputs, mode=mode, use_cache=False))
    assert torch.equal(cached, generate(model, inputs, mode=mode, cache_implementation="static"))
    sequence = torch.cat([inputs["input_ids"], cached], dim=1)
    mask = torch.nn.functional.pad(inputs["attention_mask"], (0, NEW), value=1)
    logits = model(**{**inputs, "input_ids": sequence, "attention_mask": mask}).logits
    for t in range(NEW):
        at = inputs["input_ids"].shape[1] + t
        legal = LegalTokens(model.vocab, mode, eos_token_id=tiny.eos, prompt_length=inputs["input_ids"].shape[1])
        scores = legal(sequence[:, :at], logits[:, at - 1].detach())
        scores[:, tiny.eos] = -torch.inf  # min_new_tokens
        assert torch.equal(scores.argmax(-1), cached[:, t])


def test_a_left_padded_batch_equals_its_rows(tiny) -> None:
    model = tiny.most()
    inputs = prompts(tiny, model)
    together = generate(model, inputs)
    clip = 0
    for b, mask in enumerate(inputs["attention_mask"].bool()):
        single = {"input_ids": inputs["input_ids"][b, mask][None], "attention_mask": torch.ones(1, int(mask.sum()))}
        if (single["input_ids"] == model.vocab.wave).any():
            n = int(inputs["waveform_lengths"][clip])
            single |= {"waveforms": inputs["waveforms"][clip, :n][None]}
            clip += 1
        alone = generate(model, single)
        assert torch.equal(together[b], alone[0])


def test_new_tokens_are_routed_by_their_own_modality(tiny) -> None:
    model = tiny.most()
    inputs = prompts(tiny, model)
    seen: list[torch.Tensor] = []
    for layer in model.get_decoder().layers[1:2]:
        layer.register_forward_pre_hook(lambda _m, _a, kw: seen.append(kw["modality_ids"]), with_kwargs=True)
    out = generate(model, inputs)
    assert seen[0].shape == inputs["input_ids"].shape
    assert torch.equal(torch.cat(seen[1:], dim=1), model.vocab.modality_of(out)[:, :-1])
    assert out[1].max() >= model.vocab.text_size


def test_audio_is_encoded_once(tiny) -> None:
    model = tiny.most()
    inputs = prompts(tiny, model)
    calls: list[int] = []
    model.audio_encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    generate(model, inputs)
    assert len(calls) == 1


@pytest.mark.parametrize("kwargs", [{"num_beams": 3, "num_return_sequences": 2}, {"do_sample": True, "top_k": 1}])
def test_repeats_keep_clips_with_their_rows(tiny, kwargs: dict) -> None:
    """Two clips in one row: repeated clip by clip they would be swapped."""
    model = tiny.most()
    v = model.vocab
    n = [model.num_positions(s) for s in (1920, 1280, 1600)]
    row_0 = [3, *[v.wave] * n[0], 5, *[v.wave] * n[1], 7]
    row_1 = [4, *[v.wave] * n[2], 6]
    width = max(len(row_0), len(row_1))
    ids = torch.tensor([[tiny.pad] * (width - len(r)) + r for r in (row_0, row_1)])
    waveforms = 0.1 * torch.randn(3, 1920, generator=torch.Generator().manual_seed(0))
    inputs = {
        "input_ids": ids, "attention_mask": (ids != tiny.pad).long(), "waveforms": waveforms,
        "waveform_lengths": torch.tensor([1920, 1280, 1600]),
    }  # fmt: skip
    repeats = kwargs.get("num_return_sequences", 3)
    out = generate(model, inputs, **{"num_return_sequences": repeats, **kwargs})
    frames, lengths = model.encode_audio(inputs["waveforms"], inputs["waveform_lengths"])
    embeds = model._embed(ids, None, None, frames, lengths)
    alone = {"input_ids": ids, "attention_mask": inputs["attention_mask"], "inputs_embeds": embeds}
    modality = {"modality_ids": v.modality_of(ids)}
    expected = model.generate(
        **alone, **modality, max_new_tokens=NEW, min_new_tokens=NEW,
        **{"do_sample": False, "num_return_sequences": repeats, **kwargs},
    )  # fmt: skip
    assert torch.equal(out, expected[:, -NEW:])


def test_given_modality_ids_cover_the_prompt(tiny) -> None:
    model = tiny.most()
    inputs = prompts(tiny, model)
    modality = model.vocab.modality_of(inputs["input_ids"])
    given = generate(model, {**inputs, "modality_ids": modality})
    assert torch.equal(given, generate(model, inputs))
    flipped = generate(model, {**inputs, "modality_ids": 1 - modality}, use_cache=True)
    assert torch.equal(flipped, generate(model, {**inputs, "modality_ids": 1 - modality}, use_cache=False))


def test_speech_mode_ends_with_end_of_sequence(tiny) -> None:
    model = tiny.most()
    with torch.no_grad():  # make the end marker likely, so that some row closes
        model.get_output_embeddings().weight[model.vocab.audio_end] *= 3
    inputs = prompts(tiny, model)
    out = model.generate(**inputs, max_new_tokens=30, do_sample=True, mode="speech")[:, inputs["input_ids"].shape[1] :]
    v = model.vocab
    for b, row in enumerate(out.tolist()):
        if b != 1:
            assert row.pop(0) == v.audio_begin
        end = row.index(v.audio_end) if v.audio_end in row else len(row)
        assert all(v.is_unit(i) for i in row[:end])
        assert all(i in (tiny.eos, tiny.pad) for i in row[end + 1 :])
