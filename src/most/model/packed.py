"""Attention within each of the sequences that share a row, one by one: registered with transformers as `sdpa_packed`.

Under `sdpa` a packed row attends under a (T, T) mask, most of which is forbidden. Here every sequence costs its own
length squared, and half of that, for no mask stands in the way of `is_causal`. On a GPU, transformers' flash attention
does the same by `position_ids`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

SDPA_PACKED = "sdpa_packed"


def sdpa_packed_forward(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sequence_lengths: Sequence[int] | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """(B, heads, T, D) each -> (B, T, heads, D). Where no rows are packed, or a window is narrower, it is `sdpa`.

    Args:
        sequence_lengths: of all sequences, in row-major order; they fill the rows.
    """
    window = kwargs.get("sliding_window")
    if sequence_lengths is None or (window is not None and window < max(sequence_lengths)):
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    lengths, n_rows = list(sequence_lengths), len(query)
    parts = zip(*(x.transpose(1, 2).flatten(0, 1).split(lengths) for x in (query, key, value)), strict=True)
    said = [
        scaled_dot_product_attention(
            *(x.transpose(0, 1)[None] for x in part), dropout_p=dropout, scale=scaling, is_causal=True,
            enable_gqa=query.shape[1] != key.shape[1],
        )[0].transpose(0, 1)
        for part in parts
    ]  # fmt: skip
    return torch.cat(said).unflatten(0, (n_rows, -1)), None


ALL_ATTENTION_FUNCTIONS.register(SDPA_PACKED, sdpa_packed_forward)
ALL_MASK_ATTENTION_FUNCTIONS.register(SDPA_PACKED, sdpa_mask)
