"""Sampling in which a row's draw depends on its own seed alone, whatever shares its batch and on whatever device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor

from most.errors import MostError

_TAKES = 7151
"""Sets the seeds of further takes apart from those of rows."""


class SeededDraw(LogitsProcessor):
    """Picks each row's next token at a place in its cumulative distribution; put it last, and let `generate` be greedy.

    Each row has one number in [0, 1) a step, from a NumPy generator of its own seed. transformers' own sampling draws
    for the whole batch from one generator, so that there a row's tokens depend on how many rows lie before it.

    Args:
        seeds: one a row; integers, or sequences of integers, as `numpy.random.default_rng` takes them.
        prompt_length: positions of the (padded) prompt.
        max_new_tokens: steps at most. A longer limit begins with the same draws.
    """

    def __init__(self, seeds: Sequence[int | Sequence[int]], *, prompt_length: int, max_new_tokens: int) -> None:
        draws = np.stack([np.random.default_rng(seed).random(max_new_tokens) for seed in seeds])
        self.draws, self.prompt_length = torch.from_numpy(draws), prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(B, T) ids so far and (B, V) scores -> scores in which the drawn token is the only one that is possible."""
        picked = self.pick(scores, input_ids.shape[1] - self.prompt_length)
        return torch.full_like(scores, -torch.inf).scatter(1, picked[:, None], 0.0)

    def pick(self, scores: torch.Tensor, step: int) -> torch.Tensor:
        """(B, V) scores -> the token of each row (B,) that is drawn at this step, counted from 0."""
        if self.draws.device != scores.device:
            self.draws = self.draws.to(scores.device)
        return pick(scores, self.draws[:, step])


def pick(scores: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """(B, V) scores and (B,) float64 numbers in [0, 1) -> the tokens (B,) at those places of the distributions."""
    total = scores.double().softmax(dim=-1).cumsum(dim=-1)
    return torch.searchsorted(total, draws[:, None] * total[:, -1:], right=True)[:, 0].clamp_(max=scores.shape[-1] - 1)


def row_seeds(seeds: Sequence[int] | None, seed: int, n_rows: int) -> list[int | tuple[int, ...]]:
    """One seed a row: those given, or `seed` joined with the row's number.

    Raises:
        MostError: another number of seeds than rows, or a negative one.
    """
    if seeds is None:
        return [(seed, row) for row in range(n_rows)]
    if len(seeds) != n_rows:
        raise MostError("seeds", f"{len(seeds)} for {n_rows}", "give one seed for each thing to say")
    for value in seeds:
        if value < 0:
            raise MostError("seeds", value, "must be >= 0")
    return list(seeds)


def takes(seed: int | tuple[int, ...], n: int) -> list[int | tuple[int, ...]]:
    """Seeds of `n` draws, of which the first is that of one alone."""
    return [seed, *((*(seed if isinstance(seed, tuple) else (seed,)), _TAKES, k) for k in range(1, n))]
