"""Experts over tokens sorted by expert: few large products, and each weight gradient written once, where it belongs.

Each expert's products run on its own rows; what goes element by element runs on stretches of rows that fit a core's
cache, over several experts where these are small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

CACHED_VALUES = 2**19
"""Values of one tensor that are worked on at once, so that the next operation finds them in the cache."""

ROWS = 32
"""In half precision an expert's rows are a multiple of this: oneDNN generates code for each number of rows that it
meets, which takes longer than the product itself, and routing makes another number for each expert at each step."""

FEW = 32
"""Up to this many tokens are sorted without tensor operations, each of which costs as much as several of their rows."""

Activation = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Stretch:
    """Rows `begin` to `end`, of the experts in `groups`: each with its first and last row, counted from `begin`."""

    begin: int
    end: int
    groups: tuple[tuple[int, slice], ...]


@dataclass(frozen=True)
class Picks:
    """Picks of N tokens, K each, sorted by expert into S rows, a few of which may stand for no pick.

    Args:
        token: (S,) the token of each row.
        row: (N, K) the row of each pick.
        stretches: all rows in order, but for those at the end whose experts are on other ranks.
        unused: experts that no token picked.
    """

    token: torch.Tensor
    row: torch.Tensor
    stretches: tuple[Stretch, ...]
    unused: tuple[int, ...]

    @property
    def n_rows(self) -> int:
        return self.stretches[-1].end if self.stretches else 0


def by_expert(top_k_index: torch.Tensor, n_experts: int, width: int, multiple: int = 1) -> Picks:
    """Sort picks (N, K), stably.

    Args:
        top_k_index: those from `n_experts` on come last and are in no stretch.
        width: of the widest tensor of rows.
        multiple: an expert's rows are filled up to one of this where there are more. Rows that fill have weight 0.
    """
    if len(top_k_index) <= min(FEW, multiple if multiple > 1 else FEW):
        return _by_expert_few(top_k_index, n_experts)
    picks = top_k_index.reshape(-1).clamp(max=n_experts)
    order = picks.argsort(stable=True)
    counts = picks.bincount(minlength=n_experts + 1)
    room = torch.where(counts > multiple, (counts + multiple - 1) // multiple * multiple, counts)
    shift = (room - counts).cumsum(0) - (room - counts)  # rows that fill before each expert's own
    rows = torch.arange(len(order)) + shift[picks[order]]
    row = torch.empty_like(order)
    row[order] = rows
    sizes = room.tolist()
    token = order.new_zeros(sum(sizes))
    token[rows] = order // top_k_index.shape[-1]
    stretches: list[Stretch] = []
    groups: list[tuple[int, slice]] = []
    begin = end = 0
    for expert, size in enumerate(sizes[:n_experts]):
        if groups and (end - begin + size) * width > CACHED_VALUES:
            stretches.append(Stretch(begin, end, tuple(groups)))
            groups, begin = [], end
        if size:
            groups.append((expert, slice(end - begin, end - begin + size)))
            end += size
    if groups:
        stretches.append(Stretch(begin, end, tuple(groups)))
    unused = tuple(expert for expert, size in enumerate(sizes[:n_experts]) if not size)
    return Picks(token, row.view_as(top_k_index), tuple(stretches), unused)


def _by_expert_few(top_k_index: torch.Tensor, n_experts: int) -> Picks:
    """As `by_expert`, in one stretch and without rows that fill."""
    rows: list[list[int]] = [[] for _ in range(n_experts + 1)]
    for pick, expert in enumerate(top_k_index.reshape(-1).tolist()):
        rows[min(expert, n_experts)].append(pick)
    order = [pick for picks in rows for pick in picks]
    row, k, groups, end = [0] * len(order), top_k_index.shape[-1], [], 0
    for i, pick in enumerate(order):
        row[pick] = i
    for expert, picks in enumerate(rows[:n_experts]):
        if picks:
            groups.append((expert, slice(end, end + len(picks))))
            end += len(picks)
    unused = tuple(expert for expert, picks in enumerate(rows[:n_experts]) if not picks)
    token = torch.tensor([pick // k for pick in order], dtype=torch.long)
    stretches = (Stretch(0, end, tuple(groups)),) if groups else ()
    return Picks(token, torch.tensor(row, dtype=torch.long).view_as(top_k_index), stretches, unused)


def experts_forward(
    hidden: torch.Tensor,
    weights: torch.Tensor,
    gate_up: torch.Tensor,
    down: torch.Tensor,
    picks: Picks,
    act: Activation,
    dtype: torch.dtype,
    keep: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Outputs (N, H) and, where `keep`, what the first products made (S, 2 I)."""
    y = hidden.new_empty(len(picks.token), hidden.shape[1], dtype=dtype)
    y[picks.n_rows :].zero_()
    kept = hidden.new_empty(picks.n_rows, gate_up.shape[1], dtype=dtype) if keep else None
    for part in picks.stretches:
        x = hidden.index_select(0, picks.token[part.begin : part.end]).to(dtype)
        h = x.new_empty(len(x), gate_up.shape[1]) if kept is None else kept[part.begin : part.end]
        for expert, rows in part.groups:
            _linear_into(h[rows], x[rows], gate_up[expert].to(dtype))
        gate, up = h.chunk(2, dim=-1)
        active, out = act(gate) * up, y[part.begin : part.end]
        for expert, rows in part.groups:
            torch.mm(active[rows], down[expert].to(dtype).T, out=out[rows])
    return _combine(y, picks.row, weights, hidden.dtype), kept


def one_token(
    hidden: torch.Tensor,
    weights: torch.Tensor,
    gate_up: torch.Tensor,
    down: torch.Tensor,
    top_k_index: torch.Tensor,
    act: Activation,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Decoding: nothing to sort, and matrix-vector products that read the picked experts once."""
    x, k = hidden[0].to(dtype), top_k_index.shape[-1]
    h, y = x.new_empty(k, gate_up.shape[1]), x.new_zeros(k, x.shape[0])
    picks = [(row, expert) for row, expert in enumerate(top_k_index[0].tolist()) if expert < len(gate_up)]
    for row, expert in picks:
        torch.mv(gate_up[expert].to(dtype), x, out=h[row])
    gate, up = h.chunk(2, dim=-1)
    active = act(gate) * up
    for row, expert in picks:
        torch.mv(down[expert].to(dtype), active[row], out=y[row])
    return (y * weights[0, :, None]).sum(dim=0, keepdim=True).to(hidden.dtype)


class SortedExperts(torch.autograd.Function):
    """`experts_forward` with its gradient.

    Only gradients that are asked for are computed: frozen weights cost no product. The activation is computed again in
    the backward pass, and the weights of the picks go into the intermediate values, which are narrower than outputs, so
    that neither activations nor outputs of experts are kept. Weights are saved as autograd saves them anywhere, so that
    FSDP may free and gather them in between.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weights: torch.Tensor,
        gate_up: torch.Tensor,
        down: torch.Tensor,
        picks: Picks,
        act: Activation,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        out, kept = experts_forward(hidden, weights, gate_up, down, picks, act, dtype, keep=True)
        ctx.save_for_backward(hidden, weights, gate_up, down, kept)
        ctx.picks, ctx.act, ctx.dtype = picks, act, dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weights, gate_up, down, kept = ctx.saved_tensors
        picks, dtype = ctx.picks, ctx.dtype
        for_hidden, for_weights, for_gate_up, for_down = ctx.needs_input_grad[:4]
        sorted_weights = weights.new_zeros(len(picks.token), 1)
        sorted_weights[picks.row.view(-1), 0] = weights.reshape(-1)
        d_weights = torch.zeros_like(sorted_weights)
        d_gate_up = _gradient_of(gate_up, picks) if for_gate_up else None
        d_down = _gradient_of(down, picks) if for_down else None
        d_x = hidden.new_empty(len(picks.token), hidden.shape[1], dtype=dtype) if for_hidden else None
        if d_x is not None:
            d_x[picks.n_rows :].zero_()
        for part in picks.stretches:
            token, weight = picks.token[part.begin : part.end], sorted_weights[part.begin : part.end]
            d_out = grads[0].index_select(0, token).to(dtype)
            active, gate_backward = _gate(kept[part.begin : part.end], ctx.act)
            if d_down is not None:
                weighted = (active * weight).to(dtype)
                for expert, rows in part.groups:
                    _outer_into(d_down[expert], d_out[rows], weighted[rows])
            if not (for_hidden or for_weights or for_gate_up):
                continue
            d_active = torch.empty_like(active)
            for expert, rows in part.groups:
                torch.mm(d_out[rows], down[expert].to(dtype), out=d_active[rows])
            if for_weights:
                d_weights[part.begin : part.end] = (d_active * active).sum(-1, keepdim=True, dtype=d_weights.dtype)
            if not (for_hidden or for_gate_up):
                continue
            d_h = gate_backward((d_active * weight).to(dtype))
            if d_gate_up is not None:
                x = hidden.index_select(0, token).to(dtype)
                for expert, rows in part.groups:
                    _outer_into(d_gate_up[expert], d_h[rows], x[rows])
            if d_x is not None:
                for expert, rows in part.groups:
                    torch.mm(d_h[rows], gate_up[expert].to(dtype), out=d_x[part.begin : part.end][rows])
        d_hidden = None if d_x is None else _combine(d_x, picks.row, None, hidden.dtype)
        return d_hidden, d_weights[picks.row, 0] if for_weights else None, d_gate_up, d_down, None, None, None


def _gate(h: torch.Tensor, act: Activation) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """act(gate) * up of (n, 2 I), and what turns its gradient (n, I) into that of both halves."""
    gate, up = h.chunk(2, dim=-1)
    gate = gate.detach().requires_grad_()
    with torch.enable_grad():
        acted = act(gate)
    factor = acted.detach()

    def backward(d_active: torch.Tensor) -> torch.Tensor:
        (d_gate,) = torch.autograd.grad(acted, gate, d_active * up)
        return torch.cat([d_gate, d_active * factor], dim=-1)

    return factor * up, backward


def _combine(rows: torch.Tensor, row: torch.Tensor, weights: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
    """Sum each token's K rows, weighted: (S, H) -> (N, H). Rounded to `dtype` once, in transformers' order."""
    (n, k), width = row.shape, rows.shape[1]
    out = rows.new_empty(n, width, dtype=dtype)
    size = max(1, CACHED_VALUES // (k * width))
    for begin in range(0, n, size):
        part = slice(begin, begin + size)
        picked = rows.index_select(0, row[part].reshape(-1)).view(-1, k, width)
        out[part] = (picked if weights is None else picked * weights[part, :, None]).sum(dim=1)
    return out


def _gradient_of(weight: torch.Tensor, picks: Picks) -> torch.Tensor:
    """Room for the gradient of (E, ...); zero for the experts that nothing else will be written for."""
    grad = torch.empty_like(weight)
    for expert in picks.unused:
        grad[expert].zero_()
    return grad


def _linear_into(out: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> None:
    """out = x @ weight.T. oneDNN packs its right operand for each product: x, the smaller one, in half precision."""
    if x.itemsize < 4:
        out.copy_(torch.mm(weight, x.T).T)
    else:
        torch.mm(x, weight.T, out=out)


def _outer_into(out: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """out = left.T @ right. In half precision oneDNN is twice as fast where the left operand is contiguous."""
    left = left.T.contiguous() if left.itemsize < 4 else left.T
    if out.dtype == left.dtype:
        torch.mm(left, right, out=out)
    else:  # autocast: weights and their gradients are wider than the operands
        out.copy_(torch.mm(left, right))
