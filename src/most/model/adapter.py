"""Continuous audio into the language model: stack encoder frames, project them, put them where the placeholders are.

arXiv 2601.10272: a trainable linear projection from the frozen encoder to the hidden size.
"""

from __future__ import annotations

import torch
from torch import nn

from most.errors import MostError


class AudioProjection(nn.Module):
    """LayerNorm, then one linear map.

    The norm is ours: frames of inner encoder layers have outlier channels and a scale that differs by encoder and
    layer; normalised, one learning rate serves them all. See `initial_std` for the initial scale of the output.
    """

    def __init__(self, in_features: int, hidden_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_features)
        self.linear = nn.Linear(in_features, hidden_size)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(N, in_features) -> (N, hidden_size), in the projection's own dtype."""
        return self.linear(self.norm(frames.to(self.norm.weight.dtype)))

    def initial_std(self, rms: float) -> float:
        """Standard deviation of the weights for which outputs start at this root mean square: that of text embeddings.

        A residual stream that starts much larger than those it was trained on drowns what the first layers add to it.
        """
        return rms / self.linear.in_features**0.5


def stack_frames(frames: torch.Tensor, n_frames: torch.Tensor, stack: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Concatenate runs of `stack` frames; what is missing from the last run is zero.

    Args:
        frames: (N, F, H).
        n_frames: (N,) true lengths.

    Returns:
        (positions, stack * H) of all clips, in order, and the number of positions of each clip (N,).
    """
    n, f, h = frames.shape
    f_padded = -(-f // stack) * stack
    valid = torch.arange(f_padded, device=frames.device) < n_frames[:, None]
    frames = nn.functional.pad(frames, (0, 0, 0, f_padded - f)) * valid[..., None]
    counts = (n_frames + stack - 1) // stack
    stacked = frames.view(n, f_padded // stack, stack * h)
    return stacked[valid[:, ::stack]], counts


def splice(inputs_embeds: torch.Tensor, placeholders: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
    """Overwrite placeholder positions in row-major order.

    Args:
        inputs_embeds: (B, T, H).
        placeholders: (B, T) bool.
        audio: (P, H).

    Raises:
        MostError: there are not exactly P placeholders.
    """
    n_placeholders = int(placeholders.sum())
    if n_placeholders != audio.shape[0]:
        raise MostError(
            "<|wave|>",
            n_placeholders,
            f"placeholders in the input, but the audio takes {audio.shape[0]} positions; expand each clip to "
            "num_positions(n_samples) placeholders",
        )
    return inputs_embeds.masked_scatter(placeholders[..., None], audio.to(inputs_embeds.dtype))


def clips_of_rows(placeholders: torch.Tensor, counts: torch.Tensor) -> list[list[int]]:
    """Which clips each row holds, from the placeholders (B, T) and the positions of each clip (N,), in order."""
    rows: list[list[int]] = []
    clip, lengths = 0, counts.tolist()
    for left in placeholders.sum(dim=1).tolist():
        rows.append([])
        while left > 0 and clip < len(lengths):
            rows[-1].append(clip)
            left -= lengths[clip]
            clip += 1
    return rows
