"""Routed experts: `sorted_mm` for CPUs beside transformers' own implementations, and `auto_mm`, which chooses.

On other devices, and for experts of another layout, it is transformers' `grouped_mm`. On a CPU those
make a gradient of all experts for each expert (`eager`), copy an expert for each token (`batched_mm`), or scatter
gradients row by row (`grouped_mm`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from most.model.experts.sorted import FEW, ROWS, SortedExperts, by_expert, experts_forward, one_token


def sorted_mm_experts_forward(
    self: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """The weighted sum of each token's experts, as transformers' implementations compute it.

    Args:
        self: an experts module of transformers, with `gate_up_proj` (E, 2 I, H) and `down_proj` (E, H, I).
        hidden_states: (N, H).
        top_k_index, top_k_weights: (N, K). Indices from E on stand for experts of other ranks and add nothing.

    Returns:
        (N, H), in the dtype of `hidden_states`. Products run in autocast's dtype where it is on, else in the weights'.
    """
    if not _fits(self, hidden_states):
        return ALL_EXPERTS_FUNCTIONS["grouped_mm"](self, hidden_states, top_k_index, top_k_weights)
    gate_up, down, dtype = self.gate_up_proj, self.down_proj, _product_dtype(self)
    inputs = (hidden_states, top_k_weights, gate_up, down)
    differentiate = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    if len(hidden_states) == 1 and not differentiate:
        return one_token(*inputs, top_k_index, self.act_fn, dtype)
    picks = by_expert(top_k_index, self.num_experts, gate_up.shape[1], ROWS if dtype.itemsize < 4 else 1)
    if differentiate:
        return SortedExperts.apply(*inputs, picks, self.act_fn, dtype)
    return experts_forward(*inputs, picks, self.act_fn, dtype)[0]


def auto_mm_experts_forward(
    self: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """The faster of the two, as `benchmarks/moe_layer.py` found: transformers' `grouped_mm` in full precision, except
    where it cannot take the layout or for few tokens; else `sorted_mm`. Shapes are those of `sorted_mm`."""
    weights = (self.gate_up_proj, self.down_proj)
    aligned = all(w.shape[-1] * w.element_size() % 16 == 0 for w in weights)
    name = "sorted_mm"
    if _product_dtype(self).itemsize >= 4 and aligned and len(hidden_states) > FEW:
        name = "grouped_mm"
    return ALL_EXPERTS_FUNCTIONS[name](self, hidden_states, top_k_index, top_k_weights)


def _product_dtype(module: Any) -> torch.dtype:
    """What products are in: autocast's dtype where it is on, else the weights'."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else module.gate_up_proj.dtype


def _fits(module: Any, hidden_states: torch.Tensor) -> bool:
    """A CPU that runs eagerly, and plain gated experts: as in every family of `families.py`."""
    return (
        hidden_states.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and module.has_gate
        and module.is_concatenated
        and not module.is_transposed
        and not module.has_bias
        and not getattr(module, "has_post_expert_norm", False)
        and type(module)._apply_gate.__name__ == "_default_apply_gate"
        and isinstance(module.act_fn, nn.Module)
    )
