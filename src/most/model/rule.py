"""A family's routing rule, and what it makes of router logits: modality-aware routing as mathematics, arXiv 2601.10272.

No modules and no state: those are in `router.py`. Which rule a backbone has is in `families.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from most.errors import MostError
from most.model.partition import ExpertPartition
from most.vocab import Modality

LOWEST = torch.finfo(torch.float32).min
SCORES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": lambda logits: logits.softmax(dim=-1, dtype=torch.float32),
    "sigmoid": lambda logits: logits.float().sigmoid(),
    "softmax_of_picked": lambda logits: logits.float(),
}
"""Router logits to the scores that experts are chosen by, float32; the last normalises what was chosen."""


@dataclass(frozen=True, kw_only=True)
class RoutingRule:
    """A family's conventions.

    Args:
        top_k: experts a token.
        scoring: a key of SCORES.
        selection_bias: name of the router's buffer (E,) that is added to the scores for the choice only.
        renormalise: weights of a token are divided by their sum (`norm_topk_prob`).
        scaling: factor on the weights (`routed_scaling_factor`).
        n_groups, top_groups: device-limited routing picks the best `top_groups` of `n_groups` runs of experts first.
        group_score: a run counts by its best expert (`max`) or by the sum of its best two (`top2`).
        ranked: picks come best first. Experts' outputs are added in that order, so the last bit hangs on it.
        float32_logits: logits are computed in float32, else in the hidden states' dtype.
        float32_weights: weights are handed out in float32, else in the dtype that the logits were computed in.

    Raises:
        MostError: a convention that is not covered.
    """

    top_k: int
    scoring: str = "softmax"
    selection_bias: str | None = None
    renormalise: bool = False
    scaling: float = 1.0
    n_groups: int = 1
    top_groups: int = 1
    group_score: str = "max"
    ranked: bool = False
    float32_logits: bool = True
    float32_weights: bool = True

    def __post_init__(self) -> None:
        if not self.top_k or self.top_k < 1:
            raise MostError("num_experts_per_tok", self.top_k, "must be at least 1")
        if self.scoring not in SCORES:
            raise MostError("scoring", self.scoring, f"is not covered; known: {', '.join(SCORES)}")
        if self.group_score not in ("max", "top2"):
            raise MostError("group_score", self.group_score, "is not covered; known: max, top2")
        if not self.n_groups or not self.top_groups or not 1 <= self.top_groups <= self.n_groups:
            remedy = "topk_group groups are chosen from n_group: set both, and not more than there are"
            raise MostError("n_group, topk_group", (self.n_groups, self.top_groups), remedy)

    def check(self, partition: ExpertPartition) -> None:
        """Raises MostError when the rule cannot be applied to a layer, or to each of its groups where it must be."""
        counts = {"num_experts": partition.num_experts}
        if partition.scores_over == "own":
            counts = {"partition.text": len(partition.text), "partition.audio": len(partition.audio)}
        for field, n_experts in counts.items():
            if n_experts % self.n_groups:
                remedy = f"this number of experts must be a multiple of {self.n_groups}: n_group divides them evenly"
                raise MostError(field, n_experts, remedy)
            size = n_experts // self.n_groups
            too_small = self.group_score == "top2" and self.n_groups > 1 and size < 2
            if too_small or size * self.top_groups < self.top_k:
                remedy = f"this many experts make {self.n_groups} groups of {size}: too few to pick {self.top_k} from"
                raise MostError(field, n_experts, remedy)


def route(
    router_logits: torch.Tensor,
    own: torch.Tensor | None,
    rule: RoutingRule,
    bias: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Score all experts, keep the token's own group, take the top-k of those; weights are the kept scores as they are.

    Args:
        router_logits: (N, E).
        own: (N, E) bool, the experts a token may use: at least top_k of them a row. None for all.
        rule: with all experts one's own, the result is the family's, bit for bit.
        bias: (E,), where the rule has a selection bias.

    Returns:
        weights (N, top_k) float32 and indices (N, top_k) int64. No index lies outside `own`, whatever the logits are.

    Raises:
        MostError: the rule has a selection bias, but none is given.
    """
    scores = SCORES[rule.scoring](router_logits)
    choice = scores
    if rule.selection_bias is not None:
        if bias is None:
            raise MostError("bias", None, f"these routers choose by {rule.selection_bias} too; pass it")
        choice = scores + bias
    if own is not None:
        # -inf, not 0: own scores may underflow to 0, and a foreign expert must not win that tie.
        choice = choice.clamp(min=LOWEST).masked_fill(~own, -torch.inf)
    if rule.n_groups > 1:
        near = _near(choice, rule)
        # The groups picked may hold fewer than top_k own experts; the rest are own experts outside them, at weight 0.
        choice = torch.where(near if own is None else near | ~own, choice, 0.0 if rule.scoring == "softmax" else LOWEST)
        scores = scores.masked_fill(~near, 0.0)
    indices = choice.topk(rule.top_k, dim=-1, sorted=rule.ranked).indices
    weights = scores.gather(-1, indices)
    if rule.scoring == "softmax_of_picked":
        weights = weights.softmax(dim=-1)
    if rule.renormalise:
        weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20)
    return weights * rule.scaling, indices


def _near(choice: torch.Tensor, rule: RoutingRule) -> torch.Tensor:
    """Which experts (N, E) lie in the token's best groups; those at -inf count for nothing in their group."""
    grouped = choice.unflatten(-1, (rule.n_groups, -1))
    if rule.group_score == "max":
        value = grouped.amax(dim=-1)
    else:
        best = grouped.topk(2, dim=-1).values
        value = best.masked_fill(best.isneginf(), 0.0).sum(dim=-1).masked_fill(best[..., 0].isneginf(), -torch.inf)
    picked = value.topk(rule.top_groups, dim=-1, sorted=False).indices
    near = torch.zeros_like(value, dtype=torch.bool).scatter(-1, picked, True)
    return near.repeat_interleave(grouped.shape[-1], dim=-1)


def route_within_groups(
    group_logits: Sequence[torch.Tensor],
    experts: Sequence[torch.Tensor],
    modality_ids: torch.Tensor,
    rule: RoutingRule,
    bias: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Apply the whole rule to each group as if it were the layer; a token takes its own group's answer.

    Args:
        group_logits: (N, E_g) of the text group and of the audio group.
        experts: (E_g,) int64 of each, the experts' indices in the layer.
        modality_ids: (N,).
        bias: (E,), where the rule has a selection bias.

    Returns:
        As `route`; the indices are the layer's.
    """
    answers = []
    for logits, group in zip(group_logits, experts, strict=True):
        weights, indices = route(logits, None, rule, None if bias is None else bias[group])
        answers.append((weights, group[indices]))
    text, audio = answers
    is_audio = (modality_ids == Modality.AUDIO.value)[:, None]
    return torch.where(is_audio, audio[0], text[0]), torch.where(is_audio, audio[1], text[1])
