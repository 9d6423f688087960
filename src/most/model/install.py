"""Install modality-aware routing into a transformers MoE decoder, in place: weights, names and shapes stay as they are.

transformers hands extra keyword arguments of the model's forward to every decoder layer. Here each layer class becomes
a subclass that takes `modality_ids` out of them and shows it to its own router for the length of that call. A subclass,
not a forward hook: gradient checkpointing recomputes a layer with the same arguments, but does not run hooks again.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from most.errors import MostError
from most.model.families import FAMILIES, family_of
from most.model.partition import ExpertPartition, resolve
from most.model.router import ModalityRouterMixin, in_order, modality_router_class, modality_scope


class ModalityLayerMixin:
    """Marks a decoder layer that consumes `modality_ids`."""


@functools.cache
def modality_layer_class(base: type[nn.Module]) -> type[nn.Module]:
    """The subclass that consumes `modality_ids`; it keeps the base's name, by which FSDP and device maps know it."""

    def forward(self, hidden_states: torch.Tensor, *args: Any, modality_ids: torch.Tensor | None = None, **kwargs: Any):
        with modality_scope(modality_ids):
            return base.forward(self, hidden_states, *args, **kwargs)

    body = {"forward": forward, "__module__": base.__module__, "__doc__": base.__doc__}
    return type(base.__name__, (ModalityLayerMixin, base), body)


def moe_routers(causal_lm: nn.Module) -> list[tuple[nn.Module, str]]:
    """The module that holds the router, and the router's name in it, for each MoE layer in order."""
    found = []
    decoder: Any = causal_lm.get_decoder()  # type: ignore[operator]
    if decoder.config.model_type not in FAMILIES:
        return []
    family = family_of(decoder.config)
    name = family.router.removeprefix(family.block + ".")
    for layer in decoder.layers:
        holder = layer.get_submodule(family.block)
        if isinstance(getattr(holder, name, None), nn.Module):
            found.append((holder, name))
    return found


def routers(causal_lm: nn.Module) -> list[ModalityRouterMixin]:
    """The installed routers, one for each MoE layer in order."""
    return [r for holder, name in moe_routers(causal_lm) if isinstance(r := getattr(holder, name), ModalityRouterMixin)]


def install(
    causal_lm: nn.Module,
    partitions: Sequence[dict[str, Any] | ExpertPartition] | None = None,
    *,
    routing: bool = True,
) -> None:
    """Make every decoder layer consume `modality_ids` and every router route by it. A second call re-partitions.

    Args:
        causal_lm: a transformers MoE model, or without `routing` a dense one; changed in place.
        partitions: none (split by index), one for all layers, or one for each MoE layer.
        routing: False keeps the backbone's own routing and ignores `modality_ids`; partitions are then for the record.

    Raises:
        MostError: an unknown family or convention, a model without MoE layers, or partitions that do not fit.
    """
    decoder: Any = causal_lm.get_decoder()  # type: ignore[operator]
    config = decoder.config
    if config.model_type not in FAMILIES and not routing:
        _take_modality_ids(decoder.layers)
        return
    family = family_of(config)
    rule = family.rule(config)
    found = moe_routers(causal_lm)
    if not found:
        raise MostError("backbone", type(causal_lm).__name__, "has no MoE layer; upcycle it first")
    if not partitions and not routing:
        partitions = [ExpertPartition.whole(family.num_experts(config))]
    chosen = resolve(partitions, num_experts=family.num_experts(config), top_k=rule.top_k, n_layers=len(found))
    for partition in dict.fromkeys(chosen):
        if routing and not partition.audio:
            raise MostError("partition", partition.method, "gives audio no expert; turn modality_routing off with it")
        rule.check(partition)
    _take_modality_ids(decoder.layers)
    for (holder, name), partition in zip(found, chosen, strict=True):
        router: Any = getattr(holder, name)
        if not isinstance(router, ModalityRouterMixin):
            router.reverses = _reverses(router)
            router.__class__ = modality_router_class(type(router))
        router.set_partition(partition, rule, routing=routing)


def _take_modality_ids(layers: Iterable[nn.Module]) -> None:
    for layer in layers:
        if not isinstance(layer, ModalityLayerMixin):
            layer.__class__ = modality_layer_class(type(layer))


@torch.no_grad()
def _reverses(router: Any) -> bool:
    """Whether this release's router returns the indices first; only its answer tells."""
    result = router(router.weight.new_zeros(1, router.weight.shape[1]))
    return in_order(result) is not result
