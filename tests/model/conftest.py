"""A tiny DeepSeek-V2-shaped backbone, a tiny HuBERT, and the MoST model made of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM, HubertConfig

from most.model import MostForConditionalGeneration
from most.model.build import build_from_backbone
from most.speech.encoder import SpeechEncoder, build_encoder

PAD, EOS, TEXT_SIZE, N_UNITS = 2, 1, 40, 12


def backbone(**overrides: Any) -> DeepseekV2ForCausalLM:
    settings: dict[str, Any] = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "moe_intermediate_size": 16,
        "num_hidden_layers": 3, "first_k_dense_replace": 1, "num_attention_heads": 2, "n_routed_experts": 8,
        "num_experts_per_tok": 2, "n_shared_experts": 1, "kv_lora_rank": 16, "q_lora_rank": None, "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 8, "v_head_dim": 8, "max_position_embeddings": 128, "initializer_range": 0.2,
        "bos_token_id": 0, "eos_token_id": EOS, "pad_token_id": PAD,
    }  # fmt: skip
    torch.manual_seed(0)
    return DeepseekV2ForCausalLM(DeepseekV2Config(**{**settings, **overrides}))


def hubert() -> SpeechEncoder:
    torch.manual_seed(1)
    config = HubertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(8, 8, 8),
        conv_kernel=(10, 8, 4), conv_stride=(5, 8, 8), num_feat_extract_layers=3, num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    return build_encoder(config)


@dataclass
class Tiny:
    """Factories; `lm` keeps the backbone's config arguments, `most` wraps one."""

    pad: int = PAD
    eos: int = EOS
    text_size: int = TEXT_SIZE
    n_units: int = N_UNITS

    def lm(self, **overrides: Any) -> DeepseekV2ForCausalLM:
        return backbone(**overrides)

    def most(self, lm: Any = None, *, audio: bool = True, **settings: Any) -> MostForConditionalGeneration:
        model = build_from_backbone(
            copy.deepcopy(lm) if lm is not None else backbone(),
            tokenizer_size=TEXT_SIZE,
            n_units=N_UNITS,
            audio_encoder=hubert() if audio else None,
            **{"audio_stack": 2, **settings} if audio else settings,
        )
        return model.eval()

    def batch(
        self, model: MostForConditionalGeneration, n_samples: tuple[int, ...] = (1920, 0, 1280)
    ) -> dict[str, Any]:
        """Left-padded rows: text, one clip (if it has samples), text, units, text; the clips' waveforms."""
        v, rows = model.vocab, []
        generator = torch.Generator().manual_seed(3)
        for i, n in enumerate(n_samples):
            wave = [v.wave_begin] + [v.wave] * model.num_positions(n) + [v.wave_end] if n else []
            units = [v.audio_begin, *(v.unit_id((3 * i + j) % N_UNITS) for j in range(4)), v.audio_end]
            rows.append([3 + i, 7, *wave, 9, 11 + i, *units, 13, 4 + i])
        width = max(map(len, rows))
        ids = torch.tensor([[PAD] * (width - len(r)) + r for r in rows])
        mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows])
        inputs = {"input_ids": ids, "attention_mask": mask}
        clips = [n for n in n_samples if n]
        if clips:
            inputs["waveforms"] = torch.zeros(len(clips), max(clips))
            for i, n in enumerate(clips):
                inputs["waveforms"][i, :n] = 0.1 * torch.randn(n, generator=generator)
            inputs["waveform_lengths"] = torch.tensor(clips)
        return inputs

    def labels(self, model: MostForConditionalGeneration, inputs: dict[str, Any]) -> torch.Tensor:
        """Everything is a label but padding and placeholders."""
        ids = inputs["input_ids"]
        return ids.masked_fill((inputs["attention_mask"] == 0) | (ids == model.vocab.wave), -100)


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    return Tiny()


@pytest.fixture(scope="session")
def picks() -> Callable[[MostForConditionalGeneration, list[torch.Tensor]], None]:
    """Record the expert indices (N, k) that each experts module is given."""

    def record(model: MostForConditionalGeneration, into: list[torch.Tensor]) -> None:
        for layer in model.get_decoder().layers:
            if hasattr(layer.mlp, "experts"):
                layer.mlp.experts.register_forward_pre_hook(lambda _module, args: into.append(args[1].clone()))

    return record
