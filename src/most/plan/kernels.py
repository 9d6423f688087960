"""Attention and experts' products as fused kernels run them, for tracing: the right shapes and counts, and no values.

On the meta device transformers' own would fall back to forms that keep what no kernel keeps (all attention scores), or
take half precision only (grouped products).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from transformers import AttentionInterface
from transformers.integrations.moe import ExpertsInterface

KERNELS = "most_plan"
"""What both are registered as."""
SCORES = "attention_scores"
"""The part that attention's own products are counted under; all other parts are those of `most info`."""


class Counts(Protocol):
    """Who is told of each kernel."""

    def count(self, flops: int, n_bytes: int, dtype: torch.dtype, part: str | None = None) -> None: ...


_COUNTS: list[Counts] = []


@contextmanager
def fused_kernels(counts: Counts) -> Iterator[None]:
    """Inside, modules whose config names KERNELS run by these."""
    AttentionInterface.register(KERNELS, _attention)
    ExpertsInterface.register(KERNELS, _experts)
    _COUNTS.append(counts)
    try:
        yield
    finally:
        _COUNTS.pop()


def _attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
) -> tuple[torch.Tensor, None]:
    """query (B, N, T, D), key and value with as many heads or fewer -> (B, T, N, D of value)."""
    return _Attention.apply(query, key, value), None  # type: ignore[return-value]


class _Attention(torch.autograd.Function):
    """Keeps its inputs, its output and one number a row, and never the scores.

    Rows are counted in full, as kernels do that are given a mask (packed rows have one).
    """

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        out = query.new_empty(query.shape[0], query.shape[2], query.shape[1], value.shape[3])
        log_sum = query.new_empty(query.shape[:3], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, log_sum)
        _count_attention(query, key, value, 1.0)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
        query, key, value, *_ = ctx.saved_tensors
        _count_attention(query, key, value, 2.5)  # four products, and the scores once more
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _count_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, times: float) -> None:
    b, n, t, d = query.shape
    flops = 2 * b * n * t * key.shape[2] * (d + value.shape[3])
    moved = sum(2 * x.numel() * x.itemsize for x in (query, key, value))
    _COUNTS[-1].count(round(times * flops), round(times * moved), query.dtype, SCORES)


def _experts(
    experts: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """As transformers' `grouped_mm`: sort by expert, two products, weigh, sort back, add up. (N, H) -> (N, H)."""
    n, k = top_k_index.shape
    _, order = torch.sort(top_k_index.reshape(-1))
    rows = hidden_states[order // k]
    if experts.has_gate:
        rows = experts._apply_gate(_Grouped.apply(rows, experts.gate_up_proj))
    else:
        rows = experts.act_fn(_Grouped.apply(rows, experts.up_proj))
    rows = _Grouped.apply(rows, experts.down_proj) * top_k_weights.reshape(-1)[order].unsqueeze(-1)  # type: ignore[operator]
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    return rows[back].view(n, k, -1).sum(dim=1).to(hidden_states.dtype)


class _Grouped(torch.autograd.Function):
    """Rows (S, K), sorted by expert, times their expert's matrix (E, K, N) or (E, N, K) -> (S, N)."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        ctx.save_for_backward(rows, weight)
        ctx.width = weight.numel() // (len(weight) * rows.shape[1])
        _count_product(rows, weight, ctx.width)
        return rows.new_empty(len(rows), ctx.width)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        rows, weight = ctx.saved_tensors
        made: list[torch.Tensor | None] = []
        for tensor, needed in zip((rows, weight), ctx.needs_input_grad, strict=True):
            made.append(torch.empty_like(tensor) if needed else None)
            if needed:
                _count_product(rows, weight, ctx.width)
        return tuple(made)


def _count_product(rows: torch.Tensor, weight: torch.Tensor, width: int) -> None:
    moved = (rows.numel() + weight.numel() + len(rows) * width) * rows.itemsize
    _COUNTS[-1].count(2 * rows.numel() * width, moved, rows.dtype)
