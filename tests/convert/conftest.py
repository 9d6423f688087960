"""Tiny sources of every family with one tokenizer, saved by transformers under the names that published models have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from most.convert.backbone import train_tokenizer
from most.convert.convert import convert
from most.convert.settings import ConvertSettings

TEXTS = ["one two three", "four five six seven", "the quick brown fox"]
ROWS = 320
"""Of the sources' embeddings: more than the tokenizer has, fewer than units and markers need."""
_SHAPE = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 4, "max_position_embeddings": 128, "initializer_range": 0.1,
}  # fmt: skip
_LATENT = {
    "q_lora_rank": None, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
    "first_k_dense_replace": 1, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1,
    "moe_intermediate_size": 16,
}  # fmt: skip
_QWEN = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "num_key_value_heads": 2}
MIXTURES: dict[str, dict[str, Any]] = {
    "deepseek_v2": _LATENT,
    "deepseek_v3": {**_LATENT, "n_group": 1, "topk_group": 1},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {**_QWEN, "shared_expert_intermediate_size": 24, "mlp_only_layers": [0]},
    "qwen3_moe": {**_QWEN, "head_dim": 8, "norm_topk_prob": True},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "num_key_value_heads": 2},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
}
DENSE: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 16},
}


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Callable[..., Path]:
    """`source(family, **config)`: a saved model; the same arguments give the same folder."""
    made: dict[str, Path] = {}
    tokenizer = train_tokenizer(TEXTS, 280)

    def build(family: str, dtype: torch.dtype = torch.float32, **overrides: Any) -> Path:
        key = f"{family} {dtype} {sorted(overrides.items(), key=str)}"
        if key not in made:
            torch.manual_seed(0)
            ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": ROWS}
            shape = {**_SHAPE, **(MIXTURES | DENSE)[family], **ids, **overrides}
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **shape)).to(dtype)
            for name, buffer in model.named_buffers():
                if name.endswith("e_score_correction_bias"):
                    buffer.normal_(std=0.1)
            made[key] = tmp_path_factory.mktemp(family)
            model.save_pretrained(made[key])
            tokenizer.save_pretrained(made[key])
        return made[key]

    return build


@pytest.fixture
def converted(tmp_path, tiny_codec) -> Callable[..., Path]:
    """`converted(source, **settings)`: a MoST folder."""

    def run(folder: Path, name: str = "most", **settings: Any) -> Path:
        return convert(
            folder, tmp_path / name, codec=tiny_codec, settings=ConvertSettings(**settings), progress=False, echo=_quiet
        )

    return run


def _quiet(_: str) -> None:
    pass
