"""Attention within sequences that share a row: transformers' own `sdpa` under its mask."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import MixtralConfig, MixtralForCausalLM

from most.model.packed import SDPA_PACKED


def grouped(window: int | None) -> Any:
    """A backbone with fewer heads of keys than of queries, and windows."""
    config = MixtralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=8, sliding_window=window, initializer_range=0.2, bos_token_id=0,
        eos_token_id=1,
    )  # fmt: skip
    return MixtralForCausalLM(config)


@pytest.mark.parametrize("heads", ["latent", "grouped", "window of 3", "window of 64"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_packed_attention_is_that_of_sdpa(tiny: Any, heads: str, checkpointing: bool) -> None:
    """Losses and gradients of rows of unequal sequences, with padding."""
    torch.manual_seed(0)
    window = int(heads.split()[-1]) if "window" in heads else None
    model = tiny.most(None if heads == "latent" else grouped(window), audio=False).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    lengths = [[7, 1, 4], [5, 5, 2]]
    ids = torch.randint(3, 52, (2, 12), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[1, 10:] = -100
    inputs = {
        "input_ids": ids, "labels": labels, "token_mask": labels >= 0,
        "position_ids": torch.stack([torch.cat([torch.arange(n) for n in row]) for row in lengths]),
    }  # fmt: skip
    found = []
    for attention in ("sdpa", SDPA_PACKED):
        model.language_model.set_attn_implementation(attention)
        model.zero_grad(set_to_none=True)
        loss = model(**inputs).loss
        loss.backward()
        found.append([loss.detach(), *(p.grad.clone() for p in model.parameters())])
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)
    padded = {"input_ids": ids, "attention_mask": torch.tensor([[0] * 4 + [1] * 8, [1] * 12])}
    ours = model.eval()(**padded).logits
    model.language_model.set_attn_implementation("sdpa")
    assert torch.equal(ours, model(**padded).logits), "rows that are not packed go by sdpa itself"


def test_a_cpu_trains_by_it(tiny_most: Any, tmp_path: Any) -> None:
    from most.train.models import open_model
    from most.train.recipe import DataSettings, TrainRecipe

    data = DataSettings(manifests=[tmp_path / "train.jsonl"])
    recipe = TrainRecipe(model=tiny_most, output=tmp_path / "out", data=data, steps=1, batch_size=1, learning_rate=1e-3)
    trained = open_model(recipe)
    chosen = trained.model.language_model.config._attn_implementation
    assert chosen == (SDPA_PACKED if not torch.accelerator.is_available() else "sdpa")
