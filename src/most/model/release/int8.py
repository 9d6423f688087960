"""Weights as 8-bit integers with one scale a row: the rounding, and which weights it is for.

A row is the last dimension, so a matrix has a scale for each output and fused experts (E, out, in) one for each output
of each expert. The scale is symmetric, from the row's largest magnitude (abs-max, as in LLM.int8(), arXiv 2208.07339).
"""

from __future__ import annotations

from collections.abc import Container

import torch

from most.errors import MostError

CODES, SCALES = ":int8", ":scale"
"""Endings of a rounded weight's two tensors. Not `.int8`: no pattern for parameters' names may match them."""
LARGEST = 127
MIN_ELEMENTS = 1024
"""Under this a weight stays as it is: it would save a kilobyte or so."""


def is_rounded(name: str, weight: torch.Tensor, kept: Container[str] = ()) -> bool:
    """Whether a weight is stored as int8: matrices and stacks of them, but the `kept` ones."""
    return name not in kept and weight.is_floating_point() and weight.ndim >= 2 and weight.numel() >= MIN_ELEMENTS


@torch.no_grad()
def round_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(..., R, C) float -> codes (..., R, C) int8 and scales (..., R, 1) float32; no error is above half a scale.

    Raises:
        MostError: weights that are not finite.
    """
    values = weight.detach().float()
    if not bool(values.isfinite().all()):
        raise MostError("weights", tuple(weight.shape), "hold inf or nan; release a checkpoint from before they did")
    scale = values.abs().amax(dim=-1, keepdim=True) / LARGEST
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return (values / scale).round().clamp(-LARGEST, LARGEST).to(torch.int8), scale


def widen(codes: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The weight (..., R, C) that codes and scales stand for."""
    return (codes.float() * scale.float()).to(dtype)
