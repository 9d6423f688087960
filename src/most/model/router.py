"""Modality-aware routing, the idea of arXiv 2601.10272: a token is routed among the experts of its own modality.

The mathematics is in `rule.py`. `modality_router_class` puts it into a backbone's router as a subclass, so that weight
names, expert kernels, parallel plans and transformers' output recording stay the backbone's own.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from most.errors import MostError
from most.model.partition import ExpertPartition
from most.model.rule import RoutingRule, route, route_within_groups

FEW = 32
"""Tokens whose modalities are looked at before routing; each of the tensor operations saved costs more."""


class _CallState(threading.local):
    """What a forward call tells its routers. Thread-local: two threads may run one model, each with its own batch.

    A `ContextVar` would do as well, but torch.compile cannot trace one.
    """

    def __init__(self) -> None:
        self.modality_ids: torch.Tensor | None = None
        self.logits: list[torch.Tensor] | None = None
        self.experts: list[torch.Tensor] | None = None


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
def _collect(what: Literal["logits", "experts"], enabled: bool) -> Iterator[list[torch.Tensor]]:
    found: list[torch.Tensor] = []
    before = getattr(_CALL, what)
    setattr(_CALL, what, found if enabled else None)
    try:
        yield found
    finally:
        setattr(_CALL, what, before)


def collect_router_logits(enabled: bool = True) -> AbstractContextManager[list[torch.Tensor]]:
    """Logits (B * T, E) of the MoE layers that run inside, in order, with their graph.

    Not transformers' recorder: older releases have none for deepseek_v2, and other families compute a balance loss over
    all experts when asked for router logits. What gradient checkpointing recomputes is not collected twice.
    """
    return _collect("logits", enabled)


def collect_experts(enabled: bool = True) -> AbstractContextManager[list[torch.Tensor]]:
    """Experts (B * T, top_k) that the MoE layers inside sent each position to, in order of the layers."""
    return _collect("experts", enabled)


def in_order(result: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """What a backbone's router returns, as (logits, weights, indices): granitemoe of 5.17 reverses them."""
    return result if result[0].is_floating_point() else result[::-1]


@dataclass(frozen=True)
class _Tables:
    """A partition on a device: (2, E) bool, the groups' experts (E_g,), and where an expert is in text + audio (E,)."""

    own: torch.Tensor
    experts: tuple[torch.Tensor, torch.Tensor]
    position: torch.Tensor


class ModalityRouterMixin(nn.Module):
    """Goes before a backbone's router class. Routes within the token's group; not `routing`: as the backbone."""

    partition: ExpertPartition
    rule: RoutingRule
    routing: bool
    reverses: bool
    weight: nn.Parameter

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """hidden_states (..., H) -> router_logits (N, E), weights (N, top_k), indices (N, top_k); or as `reverses`.

        Raises:
            MostError: no modality ids, or not one for each position.
        """
        result = self._route(hidden_states) if self.routing else in_order(super().forward(hidden_states))
        if _CALL.logits is not None:
            _CALL.logits.append(result[0])
        if _CALL.experts is not None:
            _CALL.experts.append(result[2])
        return result[::-1] if self.reverses else result

    @property
    def selection_bias(self) -> torch.Tensor | None:
        """(E,), the bias that the rule names."""
        return None if self.rule.selection_bias is None else getattr(self, self.rule.selection_bias)

    def set_partition(self, partition: ExpertPartition, rule: RoutingRule, *, routing: bool) -> None:
        self.partition, self.rule, self.routing = partition, rule, routing
        self.__dict__.pop("_cached", None)

    def _route(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rule, bias = self.rule, self.selection_bias
        flat = hidden_states.reshape(-1, hidden_states.shape[-1])
        modality_ids, tables = self._modality(flat.shape[0]), self._tables(flat.device)
        # Wider than the hidden states only under autocast, where weights stay float32.
        dtype = torch.float32 if rule.float32_logits else torch.promote_types(flat.dtype, self.weight.dtype)
        with _full_precision(flat.device.type):
            x = flat.to(dtype)
            if self.partition.scores_over == "all":
                logits = F.linear(x, self.weight.to(dtype))
                weights, indices = route(logits, tables.own[modality_ids], rule, bias)
            elif (only := _only_modality(modality_ids)) is not None:
                group = tables.experts[only]
                part = F.linear(x, self.weight.index_select(0, group).to(dtype))
                weights, own = route(part, None, rule, None if bias is None else bias[group])
                logits, indices = F.linear(x, self.weight.to(dtype)), group[own]
            else:
                # One product for each group, of the shape it has in a layer of that group alone: the same bits.
                parts = [F.linear(x, self.weight.index_select(0, group).to(dtype)) for group in tables.experts]
                weights, indices = route_within_groups(parts, tables.experts, modality_ids, rule, bias)
                logits = torch.cat(parts, dim=-1).index_select(-1, tables.position)
        return logits, weights if rule.float32_weights else weights.to(dtype), indices

    def _modality(self, n_positions: int) -> torch.Tensor:
        modality_ids = _CALL.modality_ids
        if modality_ids is None:
            raise MostError("modality_ids", None, "modality routing is on; pass one id (0 text, 1 audio) a position")
        if modality_ids.numel() != n_positions:
            shape = tuple(modality_ids.shape)
            raise MostError("modality_ids", shape, f"must have one id for each of the {n_positions} positions")
        return modality_ids.reshape(-1).long()

    def _tables(self, device: torch.device) -> _Tables:
        # No buffers: they would be left uninitialised by loading through the meta device, or else be new weight names.
        cached = self.__dict__.get("_cached")
        if cached is None or cached.own.device != device:
            with torch.inference_mode(False):  # or a model that has spoken could not be trained
                text, audio = (torch.tensor(group, device=device) for group in self.partition.groups)
                position = torch.cat([text, audio]).argsort()
                cached = _Tables(self.partition.membership(device), (text, audio), position)
            self.__dict__["_cached"] = cached
        return cached


def _only_modality(modality_ids: torch.Tensor) -> int | None:
    """The modality of all (N,) tokens, where a look is cheap as in decoding on a CPU; one group answers then."""
    few = len(modality_ids) <= FEW and modality_ids.device.type == "cpu"
    if not few or torch.is_grad_enabled() or torch.compiler.is_compiling() or not len(modality_ids):
        return None
    found = set(modality_ids.tolist())
    return found.pop() if len(found) == 1 else None


def _full_precision(device_type: str) -> AbstractContextManager[Any]:
    """Autocast would compute the logits in half precision; near ties, that picks other experts."""
    if device_type == "meta" or not torch.is_autocast_enabled(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)


@functools.cache
def modality_router_class(base: type[nn.Module]) -> type[nn.Module]:
    """The subclass that routes by modality; it keeps the base's name, by which transformers' tables know classes."""
    return type(base.__name__, (ModalityRouterMixin, base), {"__module__": base.__module__, "__doc__": base.__doc__})
