"""Modality-aware routing, the idea of arXiv 2601.10272: a token is routed among the experts of its own modality.

`route` is the mathematics. `modality_router_class` puts it into a backbone's router as a subclass, so that weight
names, expert kernels, parallel plans and transformers' output recording stay the backbone's own.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from most.errors import MostError, nearest
from most.model.partition import ExpertPartition

SCORES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": lambda logits: logits.softmax(dim=-1, dtype=torch.float32),
}
"""Router logits to scores over all experts, float32."""


@dataclass(frozen=True, kw_only=True)
class RoutingRule:
    """A family's conventions.

    Args:
        top_k: experts a token.
        scoring: a key of SCORES.
        renormalise: weights of a token are divided by their sum (`norm_topk_prob`).
        scaling: factor on the weights (`routed_scaling_factor`).
        n_groups, top_groups: device-limited routing picks the best `top_groups` of `n_groups` runs of experts first.
    """

    top_k: int
    scoring: str = "softmax"
    renormalise: bool = False
    scaling: float = 1.0
    n_groups: int = 1
    top_groups: int = 1


def route(router_logits: torch.Tensor, own: torch.Tensor, rule: RoutingRule) -> tuple[torch.Tensor, torch.Tensor]:
    """Score all experts, keep the token's own group, take the top-k of those; weights are the kept scores as they are.

    Args:
        router_logits: (N, E).
        own: (N, E) bool, the experts a token may use: at least top_k of them a row.

    Returns:
        weights (N, top_k) float32 and indices (N, top_k) int64. No index lies outside `own`, whatever the logits are.
    """
    scores = SCORES[rule.scoring](router_logits)
    # -inf, not 0: own scores may underflow to 0, and a foreign expert must not win that tie.
    choice = scores.masked_fill(~own, -torch.inf)
    if rule.n_groups > 1:
        best = choice.unflatten(-1, (rule.n_groups, -1)).amax(dim=-1)
        near = torch.zeros_like(best, dtype=torch.bool).scatter(-1, best.topk(rule.top_groups, dim=-1).indices, True)
        near = near.repeat_interleave(scores.shape[-1] // rule.n_groups, dim=-1)
        # The groups picked may hold fewer than top_k own experts; the rest are own experts outside them, at weight 0.
        choice = torch.where(near | ~own, choice, -1.0)
        scores = scores.masked_fill(~near, 0.0)
    indices = choice.topk(rule.top_k, dim=-1, sorted=False).indices
    weights = scores.gather(-1, indices)
    if rule.renormalise:
        weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20)
    return weights * rule.scaling, indices


@dataclass(frozen=True, kw_only=True)
class Family:
    """What differs between backbones: where a decoder layer keeps its router, and the names of its conventions."""

    router: str
    rule: Callable[[Any], RoutingRule]


def _deepseek_v2_rule(config: Any) -> RoutingRule:
    limited = config.topk_method == "group_limited_greedy"
    return RoutingRule(
        top_k=config.num_experts_per_tok,
        renormalise=bool(config.norm_topk_prob),
        scaling=config.routed_scaling_factor,
        n_groups=config.n_group if limited else 1,
        top_groups=config.topk_group if limited else 1,
    )


FAMILIES: dict[str, Family] = {"deepseek_v2": Family(router="mlp.gate", rule=_deepseek_v2_rule)}
"""transformers' `model_type` of a backbone -> its conventions."""


def family_of(text_config: Any) -> Family:
    """Raises MostError when the backbone is not one that MAMoE knows."""
    if text_config.model_type not in FAMILIES:
        raise MostError("text_config.model_type", text_config.model_type, nearest(text_config.model_type, FAMILIES))
    return FAMILIES[text_config.model_type]


class _CallState(threading.local):
    """What a forward call tells its routers. Thread-local: two threads may run one model, each with its own batch.

    A `ContextVar` would do as well, but torch.compile cannot trace one.
    """

    def __init__(self) -> None:
        self.modality_ids: torch.Tensor | None = None
        self.logits: list[torch.Tensor] | None = None


_CALL = _CallState()


@contextmanager
def modality_scope(modality_ids: torch.Tensor | None) -> Iterator[None]:
    """Routers called inside see these modality ids (B, T)."""
    before = _CALL.modality_ids
    _CALL.modality_ids = modality_ids
    try:
        yield
    finally:
        _CALL.modality_ids = before


@contextmanager
def collect_router_logits(enabled: bool = True) -> Iterator[list[torch.Tensor]]:
    """Logits (B * T, E) of the MoE layers that run inside, in order, with their graph.

    Not transformers' recorder: older releases have none for deepseek_v2, and other families compute a balance loss over
    all experts when asked for router logits. What gradient checkpointing recomputes is not collected twice.
    """
    logits: list[torch.Tensor] = []
    before = _CALL.logits
    _CALL.logits = logits if enabled else None
    try:
        yield logits
    finally:
        _CALL.logits = before


class ModalityRouterMixin(nn.Module):
    """Goes before a backbone's router class. Routes within the token's group; not `routing`: as the backbone."""

    partition: ExpertPartition
    rule: RoutingRule
    routing: bool
    weight: nn.Parameter

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """hidden_states (..., H) -> router_logits (N, E), weights (N, top_k), indices (N, top_k).

        Raises:
            MostError: no modality ids, or not one for each position.
        """
        if self.routing:
            flat = hidden_states.reshape(-1, hidden_states.shape[-1])
            own = self._membership(flat.device)[self._modality(flat.shape[0])]
            with _full_precision(flat.device.type):
                router_logits = F.linear(flat.float(), self.weight.float())
                result = (router_logits, *route(router_logits, own, self.rule))
        else:
            result = super().forward(hidden_states)
        if _CALL.logits is not None:
            _CALL.logits.append(result[0])
        return result

    def _modality(self, n_positions: int) -> torch.Tensor:
        modality_ids = _CALL.modality_ids
        if modality_ids is None:
            raise MostError("modality_ids", None, "modality routing is on; pass one id (0 text, 1 audio) a position")
        if modality_ids.numel() != n_positions:
            shape = tuple(modality_ids.shape)
            raise MostError("modality_ids", shape, f"must have one id for each of the {n_positions} positions")
        return modality_ids.reshape(-1).long()

    def _membership(self, device: torch.device) -> torch.Tensor:
        # No buffer: it would be left uninitialised by loading through the meta device, or else be a new weight name.
        table = self.__dict__.get("_table")
        if table is None or table.device != device:
            table = self.__dict__["_table"] = self.partition.membership(device)
        return table


def _full_precision(device_type: str) -> AbstractContextManager[Any]:
    """Autocast would compute the logits in half precision; near ties, that picks other experts."""
    return nullcontext() if device_type == "meta" else torch.autocast(device_type, enabled=False)


@functools.cache
def modality_router_class(base: type[nn.Module]) -> type[nn.Module]:
    """The subclass that routes by modality; it keeps the base's name, by which transformers' tables know classes."""
    return type(base.__name__, (ModalityRouterMixin, base), {"__module__": base.__module__, "__doc__": base.__doc__})
