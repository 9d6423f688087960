"""Weights in 8 and 4 bits: what they stand for is near, what is computed is what they stand for, and less is kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from most.errors import MostError
from most.generate.steps import LatentSteps, steps_behind
from most.model.build import build_from_backbone
from most.model.configuration import CACHE
from most.model.weight_only import PackedExperts, PackedLinear, PackedWeight, pack_weights, weight_bytes

COMMON = {
    "vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "num_experts_per_tok": 2, "max_position_embeddings": 256, "initializer_range": 0.1,
    "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "deepseek_v2": {
        "n_routed_experts": 8, "moe_intermediate_size": 32, "n_shared_experts": 1, "first_k_dense_replace": 1,
        "kv_lora_rank": 32, "q_lora_rank": None, "qk_nope_head_dim": 16, "qk_rope_head_dim": 16, "v_head_dim": 32,
    },
    "mixtral": {"num_local_experts": 8},
    "granitemoe": {"num_local_experts": 8},
    "qwen3_moe": {"num_experts": 8, "moe_intermediate_size": 32, "head_dim": 32},
}  # fmt: skip


def most(family: str) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**COMMON, **FAMILIES[family]})
    return build_from_backbone(AutoModelForCausalLM.from_config(config), tokenizer_size=40, n_units=12).eval()


@pytest.mark.parametrize(("bits", "worst"), [(8, 0.01), (4, 0.11)])
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_products_are_those_of_near_weights(bits, worst, rows):
    generator = torch.Generator().manual_seed(1)
    weight, x = torch.randn(48, 96, generator=generator), torch.randn(rows, 96, generator=generator)
    packed = PackedWeight(weight, bits)
    ours, theirs = packed(x.bfloat16()).float(), x @ weight.T
    assert ours.shape == theirs.shape
    assert (ours - theirs).norm() / theirs.norm() < worst
    assert packed.n_bytes < weight.numel() * (1.1 if bits == 8 else 0.7)
    one = packed(x[:1].bfloat16()).float()
    torch.testing.assert_close(one, ours[:1], atol=0.2, rtol=0.02)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("bits", "worst"), [(8, 0.06), (4, 0.5)])
def test_a_model_says_nearly_the_same(family, bits, worst):
    model = most(family)
    ids = torch.tensor([[3, 5, 41, 44, 7, 9], [8, 6, 45, 11, 40, 4]])
    with torch.inference_mode():
        before = model(input_ids=ids).logits
        n_bytes = weight_bytes(model)
        pack_weights(model, bits)
        after = model(input_ids=ids).logits
        assert (before - after).norm() / before.norm() < worst
        assert not torch.equal(before, after)
        kinds = {type(m) for m in model.get_decoder().modules()}
        assert {PackedLinear, PackedExperts} <= kinds
        assert weight_bytes(model) < 0.75 * n_bytes
        # Token by token it is what it is at once.
        out = model(input_ids=ids[:, :4], use_cache=True)
        steps = steps_behind(model, {"input_ids": ids[:, :4]})
        kept = out.get(CACHE).layers[0].keys.shape[1] == 1
        assert isinstance(steps, LatentSteps) == (family == "deepseek_v2" and kept)
        torch.testing.assert_close(steps(ids[:, 4:5]), after[:, 4], atol=0.05, rtol=0.05)


def test_what_cannot_be_packed_is_refused():
    with pytest.raises(MostError, match="8 or 4"):
        pack_weights(most("mixtral"), 5)
    with pytest.raises(MostError, match="use 8"):
        PackedWeight(torch.randn(16, 40), 4)
    with pytest.raises(MostError, match="use 8"):
        PackedWeight(torch.randn(20, 64), 4)
