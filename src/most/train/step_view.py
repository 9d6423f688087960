"""What an observer of training sees: one micro-batch of one optimizer step on this rank, after its backward pass.

Observers are plain callables in `MostTrainer.step_observers`. An observer that has a method `wants_router_logits(step)`
and answers True gets the router logits of that step's micro-batches as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from most.vocab import Modality

IGNORE = -100


@dataclass(frozen=True, kw_only=True)
class StepView:
    """Tensors are detached and on the model's device; reading a value waits for it.

    Args:
        step: the optimizer step under way, counted from 1.
        micro: which micro-batch of the step, from 0.
        ids, tasks: of each example in the micro-batch, N of each. A task is a key of the recipe's mixture.
        sequence_ids: (B, T), which of the N examples a position belongs to; -1 where padded.
        labels: (B, T), -100 where there is none.
        modality_ids: (B, T), 0 text, 1 audio; of a label its own modality.
        token_losses: (B, T) float32, of each label at its own position; 0 where there is none.
        balance_loss: weighted by alpha; None where it is off.
        ctc_loss: a mean over the tokens of transcripts; None where it is off.
        router_logits: (B * T, E) of each MoE layer, before the mask, if an observer wanted them.
    """

    step: int
    micro: int
    ids: tuple[str, ...]
    tasks: tuple[str, ...]
    sequence_ids: torch.Tensor
    labels: torch.Tensor
    modality_ids: torch.Tensor
    token_losses: torch.Tensor
    balance_loss: torch.Tensor | None = None
    ctc_loss: torch.Tensor | None = None
    router_logits: tuple[torch.Tensor, ...] | None = None

    @property
    def token_mask(self) -> torch.Tensor:
        """(B, T) bool, False where padded."""
        return self.sequence_ids >= 0

    @cached_property
    def example_losses(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of loss over each example's labels and how many labels it has, both (N,) float32."""
        which = self.sequence_ids.flatten().clamp(min=0)
        labelled = (self.labels != IGNORE).flatten().float()
        zeros = self.token_losses.new_zeros(len(self.ids))
        sums = zeros.index_add(0, which, self.token_losses.flatten())
        return sums, zeros.index_add(0, which, labelled)

    @cached_property
    def modality_losses(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of loss over text and audio labels, and their counts, both (2,) float32."""
        labelled = self.labels != IGNORE
        members = [labelled & (self.modality_ids == m.value) for m in (Modality.TEXT, Modality.AUDIO)]
        sums = torch.stack([self.token_losses[m].sum() for m in members])
        return sums, torch.stack([m.sum().float() for m in members])


StepObserver = Callable[[StepView], None]
