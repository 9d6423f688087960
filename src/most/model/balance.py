"""Sequence-wise balance loss per modality group, and routing statistics for reports.

DeepSeek-V2's auxiliary loss (arXiv 2405.04434, eq. 12-14, computed a sequence as its released code does), applied by
arXiv 2601.10272 to the masked scores: each group is balanced over its own tokens and its own experts. Sigmoid scores
are divided by their sum over the experts first, as in DeepSeek-V3 (arXiv 2412.19437, eq. 17-20).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from most.errors import MostError
from most.model.partition import ExpertPartition
from most.model.rule import RoutingRule, route, route_within_groups


def balance_loss(
    router_logits: Sequence[torch.Tensor],
    modality_ids: torch.Tensor,
    token_mask: torch.Tensor,
    partitions: Sequence[ExpertPartition | None],
    rule: RoutingRule,
    selection_biases: Sequence[torch.Tensor | None] | None = None,
    sequence_ids: torch.Tensor | None = None,
) -> torch.Tensor:
    """The loss before its weight alpha.

    For a sequence, a group g with N_g experts and the T_g tokens of that modality, k experts a token:

        f_i = N_g / (k T_g) * (times expert i was picked)
        P_i = mean score of expert i
        L_g = sum over i in g of f_i P_i

    Scores sum to 1 over all experts, foreign ones included, and are not renormalised within the group. Where a
    partition's `scores_over` is `own` they sum to 1 over the group: L_g is then the loss of a layer that is this group
    alone. granitemoe, which picks by logits, is balanced by their softmax over all experts, as in transformers. L_g is
    averaged over the sequences that have tokens of the modality and summed over groups and layers, for DeepSeek-V2 adds
    its loss in every layer.

    Args:
        router_logits: (B * T, E) of each MoE layer, in the autograd graph.
        modality_ids: (B, T).
        token_mask: (B, T) bool, False where padded.
        partitions: one a layer; None for a layer that routes without groups (one group of all experts).
        rule: the router's conventions.
        selection_biases: (E,) of each layer, where the rule has one; picks hang on it, scores do not.
        sequence_ids: (B, T), which sequence each position belongs to, counted from 0 over the batch, for rows that are
            packed from several; a row is a sequence when absent.

    Returns:
        A scalar, float32.

    Raises:
        MostError: logits of another number of positions, or no selection biases where the rule has them.
    """
    total = torch.zeros((), dtype=torch.float32, device=modality_ids.device)
    biases = selection_biases or [None] * len(partitions)
    if sequence_ids is None:
        sequence_ids = torch.arange(len(modality_ids), device=modality_ids.device)[:, None].expand_as(modality_ids)
    which, n_sequences = sequence_ids.flatten(), int(sequence_ids.max()) + 1

    def per_sequence(values: torch.Tensor) -> torch.Tensor:
        """(B, T, E) -> sums over each sequence (S, E)."""
        return values.new_zeros(n_sequences, values.shape[-1]).index_add(0, which, values.flatten(0, 1))

    for logits, partition, bias in zip(router_logits, partitions, biases, strict=True):
        own, groups = _groups(partition, modality_ids, token_mask, logits.shape[-1])
        scores, picked = _scores_and_picks(logits, own, partition, rule, bias, modality_ids)
        for members, n_experts in groups:
            inside = members[..., None].float()
            tokens = per_sequence(inside)  # (S, 1)
            at_least_one = tokens.clamp(min=1)
            share = n_experts / rule.top_k * per_sequence(picked * inside) / at_least_one  # f, (S, E)
            mean_score = per_sequence(scores * inside) / at_least_one  # P, (S, E)
            total = total + (share * mean_score).sum() / (tokens > 0).sum().clamp(min=1)
    return total


@dataclass(frozen=True, kw_only=True)
class RoutingStats:
    """How a layer was used.

    Args:
        counts: (2, E) int64, picks by modality and expert.
        entropy: (2,) of each modality's picks, in nats; 0 where unused.
        own_mass: (2,) mean score that a token's own group holds, before top-k; 1 by definition where scores are over
            the own group, nan where unused.
    """

    counts: torch.Tensor
    entropy: torch.Tensor
    own_mass: torch.Tensor


@torch.no_grad()
def routing_stats(
    router_logits: Sequence[torch.Tensor],
    modality_ids: torch.Tensor,
    token_mask: torch.Tensor,
    partitions: Sequence[ExpertPartition | None],
    rule: RoutingRule,
    selection_biases: Sequence[torch.Tensor | None] | None = None,
) -> list[RoutingStats]:
    """Statistics of each MoE layer; arguments as in `balance_loss`. Counts of several batches may be added."""
    stats = []
    biases = selection_biases or [None] * len(partitions)
    for logits, partition, bias in zip(router_logits, partitions, biases, strict=True):
        own, _ = _groups(partition, modality_ids, token_mask, logits.shape[-1])
        scores, picked = _scores_and_picks(logits, own, partition, rule, bias, modality_ids)
        members = torch.stack([token_mask & (modality_ids == m) for m in (0, 1)])  # (2, B, T)
        counts = torch.einsum("mbt,bte->me", members.float(), picked)
        p = counts / counts.sum(dim=-1, keepdim=True).clamp(min=1)
        mass = (scores * own.view_as(scores)).sum(dim=-1)
        stats.append(
            RoutingStats(
                counts=counts.long(),
                entropy=-torch.xlogy(p, p).sum(dim=-1),
                own_mass=(mass * members).sum(dim=(1, 2)) / members.sum(dim=(1, 2)),
            )
        )
    return stats


def _groups(
    partition: ExpertPartition | None, modality_ids: torch.Tensor, token_mask: torch.Tensor, n_experts: int
) -> tuple[torch.Tensor, list[tuple[torch.Tensor, int]]]:
    """Experts that each token may use (B * T, E), and each group's tokens (B, T) with its number of experts."""
    if partition is None:
        everything = torch.ones(modality_ids.numel(), n_experts, dtype=torch.bool, device=modality_ids.device)
        return everything, [(token_mask, n_experts)]
    own = partition.membership(modality_ids.device)[modality_ids.reshape(-1)]
    sizes = (len(partition.text), len(partition.audio))
    return own, [(token_mask & (modality_ids == m), n) for m, n in enumerate(sizes)]


def _scores_and_picks(
    logits: torch.Tensor,
    own: torch.Tensor,
    partition: ExpertPartition | None,
    rule: RoutingRule,
    bias: torch.Tensor | None,
    modality_ids: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores that sum to 1, with their graph, and picks without one, both (B, T, E) float32."""
    if logits.shape[0] != own.shape[0]:
        raise MostError("router_logits", tuple(logits.shape), f"modality ids have {own.shape[0]} positions")
    bias = None if bias is None else bias.to(logits.device)
    within = partition is not None and partition.scores_over == "own"
    with torch.no_grad():
        if partition is not None and within:
            experts = [torch.tensor(group, device=logits.device) for group in partition.groups]
            parts = [logits.index_select(-1, group) for group in experts]
            _, indices = route_within_groups(parts, experts, modality_ids.reshape(-1), rule, bias)
        else:
            _, indices = route(logits, own, rule, bias)
        picked = torch.zeros_like(logits, dtype=torch.float32).scatter_(-1, indices, 1.0)
    scored = logits.masked_fill(~own, -torch.inf) if within else logits
    if rule.scoring == "sigmoid":
        scores = scored.float().sigmoid()
        scores = scores / (scores.sum(dim=-1, keepdim=True) + 1e-20)
    else:
        scores = scored.softmax(dim=-1, dtype=torch.float32)
    return scores.view(*modality_ids.shape, -1), picked.view(*modality_ids.shape, -1)
