"""Weights kept in 8 or 4 bits and multiplied as such: for machines whose memory is small and slow.

A token's products read every active weight once, so on a CPU decoding is as fast as memory: fewer bytes, more tokens.
The kernels are torch's own (`aten::_weight_int8pack_mm`, `aten::_weight_int4pack_mm_for_cpu`), on bfloat16 activations.
torchao reaches the same kernels through torch.compile alone; run eagerly, its int8 is slower than bfloat16 on a CPU.

8 bits have a scale a row, 4 bits a scale and an offset every 32 weights. Routers, embeddings, the output layer, the
speech encoder and what projects its frames stay as they are, and so does the up-projection of latents, which decoding
reads in another way (`most.generate.steps`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from most.errors import MostError
from most.model.families import family_of
from most.model.modeling import MostForConditionalGeneration

Bits = Literal[8, 4]
GROUP = 32
"""Weights of a row that share scale and offset, in 4 bits."""
_FEW = 12
"""Up to so many rows the 8-bit kernel is the faster way; beyond, weights are widened and multiplied in bfloat16."""
_KEPT = ("kv_b_proj",)
_INT4_ROWS = 16
"""What the 4-bit kernel wants rows to be a multiple of."""


class PackedWeight(nn.Module):
    """A matrix (N, K) in few bits; a call multiplies (M, K) bfloat16 by its transpose.

    Raises:
        MostError: 4 bits of a matrix whose K is no multiple of 32 or whose N is none of 16.
    """

    packed: torch.Tensor
    scale: torch.Tensor

    def __init__(self, weight: torch.Tensor, bits: Bits) -> None:
        super().__init__()
        self.bits, self.shape = bits, tuple(weight.shape)
        pack = _pack8 if bits == 8 else _pack4
        packed, scale = pack(weight.detach().float())
        self.register_buffer("packed", packed)
        self.register_buffer("scale", scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.bits == 4:
            return torch.ops.aten._weight_int4pack_mm_for_cpu(x, self.packed, GROUP, self.scale)
        if len(x) <= _FEW:
            return torch.ops.aten._weight_int8pack_mm(x, self.packed, self.scale)
        return F.linear(x, self.packed.to(x.dtype)) * self.scale

    @property
    def n_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.packed, self.scale))


def _pack8(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scale = (weight.abs().amax(dim=1) / 127).clamp(min=1e-12).bfloat16()
    return (weight / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8), scale


def _pack4(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    n, k = weight.shape
    if k % GROUP or n % _INT4_ROWS:
        raise MostError("bits", 4, f"want sizes of 32 and 16 divided without rest; a matrix is {n} by {k}; use 8")
    groups = weight.view(n, k // GROUP, GROUP)
    low, high = groups.amin(dim=-1), groups.amax(dim=-1)
    scale = ((high - low) / 15).clamp(min=1e-12).bfloat16().float()
    offset = (low + 8 * scale).bfloat16().float()  # the kernel gives (q - 8) * scale + offset
    levels = ((groups - offset[..., None]) / scale[..., None] + 8).round().clamp(0, 15)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(levels.view(n, k).int(), 1)
    return packed, torch.stack([scale.T, offset.T], dim=-1).contiguous().bfloat16()


class PackedLinear(nn.Module):
    """In place of an `nn.Linear`: (..., K) to (..., N), in the dtype of its input."""

    def __init__(self, linear: nn.Linear, bits: Bits) -> None:
        super().__init__()
        self.weight = PackedWeight(linear.weight, bits)
        self.bias = linear.bias
        self.in_features, self.out_features = linear.in_features, linear.out_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.weight(x.reshape(-1, x.shape[-1]).bfloat16()).to(x.dtype).unflatten(0, x.shape[:-1])
        return y if self.bias is None else y + self.bias


class PackedExperts(nn.Module):
    """In place of a family's gated experts, of which it takes (E, 2 I, H) and (E, H, I)."""

    def __init__(self, experts: nn.Module, bits: Bits) -> None:
        super().__init__()
        gate_up, down = experts.gate_up_proj, experts.down_proj
        self.gate_up = nn.ModuleList(PackedWeight(w, bits) for w in gate_up)  # type: ignore[arg-type]
        self.down = nn.ModuleList(PackedWeight(w, bits) for w in down)  # type: ignore[arg-type]
        self.act_fn: Callable[[torch.Tensor], torch.Tensor] = experts.act_fn  # type: ignore[assignment]

    def forward(
        self, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
    ) -> torch.Tensor:
        """(N, H), and (N, K) experts and weights of each token, to (N, H)."""
        x, out = hidden_states.bfloat16(), torch.zeros_like(hidden_states)
        for expert in top_k_index.unique().tolist():
            token, pick = torch.where(top_k_index == expert)
            gate, up = self.gate_up[expert](x[token]).chunk(2, dim=-1)
            made = self.down[expert](self.act_fn(gate) * up)
            out.index_add_(0, token, (made * top_k_weights[token, pick, None]).to(out.dtype))
        return out


@torch.inference_mode(False)
@torch.no_grad()
def pack_weights(model: MostForConditionalGeneration, bits: int) -> None:
    """Keep the weights of attention, MLPs and experts in `bits`, in place; from then on the model only generates.

    Raises:
        MostError: other bits than 8 and 4, a model that is not on a CPU, or a matrix that 4 bits cannot hold.
    """
    if bits not in (8, 4):
        raise MostError("bits", bits, "must be 8 or 4")
    if model.device.type != "cpu":
        raise MostError("bits", bits, f"are for CPUs; the model is on {model.device}")
    router = family_of(model.config.get_text_config()).router
    layers: Any = model.get_decoder().layers
    for layer in layers:
        for name, module in list(layer.named_modules()):
            owner, _, own = name.rpartition(".")
            packed: nn.Module | None = None
            if name == router or name.startswith(f"{router}."):
                continue
            if type(module) is nn.Linear and own not in _KEPT:
                packed = PackedLinear(module, bits)  # type: ignore[arg-type]
            elif hasattr(module, "gate_up_proj") and hasattr(module, "down_proj") and module.gate_up_proj.ndim == 3:  # type: ignore[union-attr]
                packed = PackedExperts(module, bits)  # type: ignore[arg-type]
            if packed is not None:
                setattr(layer.get_submodule(owner), own, packed)


def weight_bytes(model: nn.Module) -> int:
    """Of all weights as they lie in memory, each counted once."""
    tensors = {t.data_ptr(): t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers())}
    return sum(tensors.values())
