"""Token-by-token decoding, streamed: what `generate` gives greedily, without its work around each step.

A generator, so that speech can be vocoded while it is made, and cancelled at any token: closing it is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from most.generate.draw import SeededDraw
from most.generate.steps import steps_behind
from most.model.legal import LegalTokens

Choose = Callable[[torch.Tensor, int], torch.Tensor]
"""Scores (B, V) and the step, from 0, to the token of each row (B,)."""


class Choice:
    """The most likely or the drawn token among the legal ones.

    Args:
        legal: the rule, which is followed token by token from the end of `prompt`.
        prompt: (B, T) ids, padded.
        warpers: transformers' processors that look at the scores alone (temperature, top-p), in order.
        draw: the most likely token is taken where it is None.
    """

    def __init__(
        self,
        legal: LegalTokens,
        prompt: torch.Tensor,
        warpers: Sequence[LogitsProcessor] = (),
        draw: SeededDraw | None = None,
    ) -> None:
        self.legal, self.warpers, self.draw = legal, warpers, draw
        self.state = legal.state(prompt)

    def __call__(self, scores: torch.Tensor, step: int) -> torch.Tensor:
        scores = self.legal.among(self.state, scores.float())
        for warp in self.warpers:
            scores = warp(None, scores)  # type: ignore[arg-type]
        tokens = scores.argmax(dim=-1) if self.draw is None else self.draw.pick(scores, step)
        self.state = self.legal.after(self.state, tokens)
        return tokens


@torch.inference_mode()
def decode(
    model: Any,
    batch: Mapping[str, torch.Tensor],
    *,
    choose: Choose,
    eos_token_id: int | Sequence[int],
    pad_token_id: int,
    max_new_tokens: int,
) -> Iterator[torch.Tensor]:
    """The tokens of each step (B,) int64, `pad_token_id` in rows that ended, until all have or the limit is reached.

    Args:
        batch: prompts as the processor makes them: left-padded `input_ids`, `attention_mask`, and audio.
        eos_token_id: what ends a row; one id or several.
    """
    steps = steps_behind(model, batch)
    ends = torch.tensor([eos_token_id] if isinstance(eos_token_id, int) else eos_token_id, device=steps.scores.device)
    scores, ended = steps.scores, torch.zeros(len(steps.scores), dtype=torch.bool, device=ends.device)
    for step in range(max_new_tokens):
        if step:
            scores = steps(tokens)  # noqa: F821
        tokens = choose(scores, step).masked_fill(ended, pad_token_id)
        yield tokens
        ended = ended | torch.isin(tokens, ends)
        if bool(ended.all()):
            return
