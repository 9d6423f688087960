"""Decoding step by step is `generate`, token for token: in several families, padded, with audio, drawn or greedy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, TemperatureLogitsWarper, TopPLogitsWarper, WhisperConfig

from most.generate import steps as steps_module
from most.generate.decode import Choice, decode
from most.generate.draw import SeededDraw
from most.generate.steps import ForwardSteps, LatentSteps, steps_behind
from most.model.build import build_from_backbone
from most.model.configuration import CACHE
from most.model.legal import LegalTokens
from most.speech.encoder import build_encoder

PAD, EOS, TEXT, UNITS, NEW = 2, 1, 40, 12, 24
COMMON = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 2, "num_experts_per_tok": 2, "max_position_embeddings": 256, "initializer_range": 0.3,
    "bos_token_id": 0, "eos_token_id": EOS, "pad_token_id": PAD,
}  # fmt: skip
LATENT = {
    "n_routed_experts": 8, "moe_intermediate_size": 16, "n_shared_experts": 1, "first_k_dense_replace": 1,
    "kv_lora_rank": 16, "q_lora_rank": None, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 12,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "mscale": 0.7, "mscale_all_dim": 0.7,
        "original_max_position_embeddings": 64}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "deepseek_v2": LATENT,
    "deepseek_v2, as large ones": {**LATENT, "q_lora_rank": 24, "rope_parameters": YARN},
    "deepseek_v3": {**LATENT, "n_group": 2, "topk_group": 1, "num_mtp_layers": 0},
    "mixtral": {"num_local_experts": 8},
    "granitemoe": {"num_local_experts": 8, "embedding_multiplier": 2.0, "logits_scaling": 3.0},
}


def most(family: str = "deepseek_v2") -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family.split(",")[0], **{**COMMON, **FAMILIES[family]})
    encoder = build_encoder(
        WhisperConfig(d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32, num_mel_bins=80)
    )
    lm = AutoModelForCausalLM.from_config(config)
    model = build_from_backbone(lm, tokenizer_size=TEXT, n_units=UNITS, audio_encoder=encoder, audio_stack=2)
    return model.eval()


@pytest.fixture(scope="module")
def latent() -> Any:
    return most()


def prompts(model: Any) -> dict[str, torch.Tensor]:
    """Text; a clip; units behind a clip, and inside speech at the end."""
    v, clips = model.vocab, (3200, 2000)
    waves = [[v.wave_begin, *[v.wave] * model.num_positions(n), v.wave_end] for n in clips]
    said = [v.audio_begin, v.unit_id(3), v.unit_id(5)]
    rows = [[3, 9], [4, *waves[0], 6, 7], [5, *waves[1], *said, v.audio_end, 8, *said]]
    width = max(map(len, rows))
    generator = torch.Generator().manual_seed(0)
    return {
        "input_ids": torch.tensor([[PAD] * (width - len(r)) + r for r in rows]),
        "attention_mask": torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows]),
        "waveforms": 0.1 * torch.randn(2, max(clips), generator=generator),
        "waveform_lengths": torch.tensor(clips),
    }


def legal(model: Any, batch: dict[str, torch.Tensor], mode: str) -> LegalTokens:
    return LegalTokens(model.vocab, mode, eos_token_id=EOS, prompt_length=batch["input_ids"].shape[1])


def decoded(model: Any, batch: dict[str, torch.Tensor], choose: Any, **settings: Any) -> torch.Tensor:
    settings = {"eos_token_id": EOS, "pad_token_id": PAD, "max_new_tokens": NEW, **settings}
    return torch.stack(list(decode(model, batch, choose=choose, **settings)), dim=1)


def generated(model: Any, batch: dict[str, torch.Tensor], mode: str, processors: Any = (), **settings: Any) -> Any:
    ids = model.generate(
        **batch, mode=mode, logits_processor=list(processors), do_sample=False, pad_token_id=PAD,
        **{"eos_token_id": EOS, "max_new_tokens": NEW, **settings},
    )  # fmt: skip
    return ids[:, batch["input_ids"].shape[1] :]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedily_it_is_generate(family: str) -> None:
    model = most(family)
    padded = prompts(model)
    text = {name: padded[name][:1, -2:] for name in ("input_ids", "attention_mask")}
    for batch in (padded, text):
        for mode in ("text", "speech", "any"):
            ours = decoded(model, batch, Choice(legal(model, batch, mode), batch["input_ids"]))
            assert torch.equal(ours, generated(model, batch, mode)), mode


def test_drawn_it_is_generate(latent: Any) -> None:
    batch = prompts(latent)
    warpers = [TemperatureLogitsWarper(1.3), TopPLogitsWarper(0.9)]

    def draw() -> SeededDraw:
        return SeededDraw([7, (0, 1), 9], prompt_length=batch["input_ids"].shape[1], max_new_tokens=NEW)

    rule = legal(latent, batch, "speech")
    ours = decoded(latent, batch, Choice(rule, batch["input_ids"], warpers, draw()))
    assert torch.equal(ours, generated(latent, batch, "speech", [rule, *warpers, draw()]))
    greedy = decoded(latent, batch, Choice(rule, batch["input_ids"]))
    assert not torch.equal(ours, greedy)


def test_rows_end_each_in_its_own_time(latent: Any) -> None:
    """The two commonest tokens are taken as ends, so that rows end at different steps, all before the limit."""
    batch = prompts(latent)
    rule = legal(latent, batch, "text")
    free = decoded(latent, batch, Choice(rule, batch["input_ids"]), eos_token_id=TEXT - 1)
    ends = [int(row[k]) for row, k in zip(free, (3, 6, 9), strict=True)]
    ours = decoded(latent, batch, Choice(rule, batch["input_ids"]), eos_token_id=ends)
    assert ours.shape[1] < NEW
    assert (ours == PAD).any()
    assert torch.equal(ours, generated(latent, batch, "text", eos_token_id=ends))


@pytest.mark.parametrize("room", [1, 7, 256])
def test_latents_give_the_scores_of_a_forward_without_a_cache(latent: Any, room: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(steps_module, "ROOM", room)
    batch = prompts(latent)
    tokens = torch.randint(TEXT + UNITS, (3, 12), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        steps = steps_behind(latent, batch)
        ours = torch.stack([steps(column) for column in tokens.T], dim=1)
        whole = {
            **batch,
            "input_ids": torch.cat([batch["input_ids"], tokens], dim=1),
            "attention_mask": torch.nn.functional.pad(batch["attention_mask"], (0, 12), value=1),
        }
        theirs = latent(**whole).logits[:, -12:]
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)


def test_latents_are_used_only_where_the_code_knows_them() -> None:
    model = most()
    batch = prompts(model)
    with torch.inference_mode():
        kept = model(**batch, use_cache=True).get(CACHE).layers[0].keys.shape[1] == 1
        assert type(steps_behind(model, batch)) is (LatentSteps if kept else ForwardSteps)  # not before 5.24
        attention = model.get_decoder().layers[1].self_attn

        class Wrapped(torch.nn.Linear):
            pass

        attention.kv_b_proj.__class__ = Wrapped
        assert type(steps_behind(model, batch)) is ForwardSteps
        other = most("mixtral")
        assert type(steps_behind(other, prompts(other))) is ForwardSteps


def test_closing_it_stops_the_model(latent: Any) -> None:
    calls: list[int] = []
    handle = latent.get_output_embeddings().register_forward_pre_hook(lambda *_: calls.append(1))
    batch = prompts(latent)
    stream = decode(
        latent, batch, choose=Choice(legal(latent, batch, "any"), batch["input_ids"]), eos_token_id=EOS,
        pad_token_id=PAD, max_new_tokens=1000,
    )  # fmt: skip
    for k in range(1, 4):
        next(stream)
        assert len(calls) == k, "a token is handed out before the next is computed"
        assert not torch.is_inference_mode_enabled()
    stream.close()
    handle.remove()
    assert len(calls) == 3
    assert next(stream, None) is None
