"""Norms by part against torch's norm of everything."""

from __future__ import annotations

import pytest
import torch

from most.model.install import routers
from most.model.load import load_most
from most.train.watch.gradients import GradientNorms


@pytest.fixture
def model(tiny_most):
    model = load_most(tiny_most)[0]
    torch.manual_seed(0)
    for p in model.parameters():
        p.grad = torch.randn_like(p) if p.requires_grad else None
    return model


def test_parts_add_up_to_the_whole(model):
    norms = GradientNorms(model).measure()
    total = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    assert sum(n * n for n in norms.values()) ** 0.5 == pytest.approx(float(total), rel=1e-5)
    assert {"projection", "router", "text_experts", "audio_experts", "shared_experts", "attention"} <= set(norms)


def test_experts_are_told_apart_by_modality(model):
    audio = list(routers(model.language_model)[0].partition.audio)
    for name, p in model.named_parameters():
        if ".experts." in name:
            p.grad[audio] = 0
    norms = GradientNorms(model).measure()
    assert norms["audio_experts"] == 0
    assert norms["text_experts"] > 0


def test_without_gradients_there_is_nothing(model):
    model.zero_grad()
    assert GradientNorms(model).measure() == {}
