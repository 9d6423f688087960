"""What is counted on the meta device against a real run of the same modules: FLOPs by torch's counter, bytes too."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from most.convert.info import part_of
from most.model.load import load_most
from most.plan.kernels import SCORES
from most.plan.shape import meta_model
from most.plan.trace import trace

ROWS, WIDTH = 3, 24


@pytest.fixture(scope="module")
def real(tiny_most):
    return load_most(tiny_most)[0].float().train()


def traced(model, **kwargs):
    settings = {"checkpointing": False, "part_of": lambda name: part_of(name, "deepseek_v2")} | kwargs
    return trace(model, ROWS, WIDTH, **settings)


@pytest.fixture(scope="module")
def meta(real):
    model = meta_model(real.config)
    for name, p in real.named_parameters():
        model.get_parameter(name).requires_grad_(p.requires_grad)
    return model


def forward(real, experts="grouped_mm", attention="eager"):
    lm = real.language_model
    lm.set_experts_implementation(experts)
    lm.set_attn_implementation(attention)
    ids = torch.randint(40, (ROWS, WIDTH))
    return real(input_ids=ids, labels=ids, modality_ids=torch.zeros_like(ids))


def test_flops_are_those_that_torch_counts(real, meta):
    counter = FlopCounterMode(display=False)
    with counter:  # the loop over experts runs plain products, which the counter knows
        loss = forward(real, experts="eager").loss
        ahead = counter.get_total_flops()
        loss.backward()
    made = traced(meta)
    projection = real.audio_projection.linear.weight.numel()
    # One row of the projection is in the graph of every batch, to give it a gradient.
    assert sum(made.forward_flops.values()) == ahead - 2 * projection
    backward = counter.get_total_flops() - ahead
    scores = made.forward_flops[SCORES]
    # Eager attention keeps the scores; a fused one computes them again, which is half a forward pass more.
    assert made.backward_flops == pytest.approx(backward + scores / 2, rel=0.01)


def test_flops_by_part_follow_from_the_weights(real, meta):
    made = traced(meta)
    n = ROWS * WIDTH
    named = {name: p for name, p in meta.named_parameters() if p.ndim > 1}
    router = sum(p.numel() for name, p in named.items() if name.endswith("mlp.gate.weight"))
    head = meta.get_output_embeddings().weight.numel()
    experts = sum(p.numel() for name, p in named.items() if ".experts." in name)
    assert made.forward_flops["router"] == 2 * n * router
    assert made.forward_flops["output_head" if "output_head" in made.forward_flops else "embeddings"] == 2 * n * head
    assert made.forward_flops["routed_experts"] == 2 * n * experts * 2 // 4  # 2 of 4 experts a token


def test_bytes_kept_are_those_that_a_real_run_keeps(real, meta):
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in real.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        output = forward(real, attention="sdpa")
    real_bytes = sum(n for pointer, n in kept.items() if pointer not in weights)
    made = traced(meta)
    assert made.activations + made.logits == pytest.approx(real_bytes, rel=0.25)
    del output


def test_checkpointing_keeps_less_and_computes_more(meta):
    plain, again = traced(meta), traced(meta, checkpointing=True)
    assert again.activations < 0.5 * plain.activations
    assert again.peak < plain.peak
    assert again.forward_flops == plain.forward_flops
    layers = sum(n for part, n in plain.forward_flops.items() if part not in ("output_head", "embeddings"))
    # All of the layers once more, but for products whose outcome nothing needs: the last ones of each.
    assert 0.7 * layers < again.backward_flops - plain.backward_flops < layers


def test_frozen_weights_take_no_gradient(meta):
    whole = traced(meta)
    asked = {name: p.requires_grad for name, p in meta.named_parameters()}
    try:
        for name, p in meta.named_parameters():
            p.requires_grad_(name.startswith("audio_projection."))
        frozen = traced(meta)
    finally:
        for name, p in meta.named_parameters():
            p.requires_grad_(asked[name])
    ahead = sum(whole.forward_flops.values())
    # Of two products behind each weight's one, that for its own gradient falls away.
    assert frozen.backward_flops < whole.backward_flops - 0.8 * (ahead - whole.forward_flops[SCORES])


def test_work_grows_with_positions_and_attention_with_their_square(meta):
    one = trace(meta, 1, 32, checkpointing=False, part_of=lambda name: part_of(name, "deepseek_v2"))
    two = trace(meta, 1, 64, checkpointing=False, part_of=lambda name: part_of(name, "deepseek_v2"))
    assert two.forward_flops["attention"] == 2 * one.forward_flops["attention"]
    assert two.forward_flops[SCORES] == 4 * one.forward_flops[SCORES]
    assert 1.9 < two.activations / one.activations < 2.1


def test_the_model_is_as_it_was(meta):
    config = meta.language_model.config
    before = config._attn_implementation, config._experts_implementation, meta.training
    traced(meta, checkpointing=True)
    assert (config._attn_implementation, config._experts_implementation, meta.training) == before
    assert all(p.grad is None for p in meta.parameters())
