"""How long a step takes and what bounds it: every traced operation against the rates of a device, then the network.

An operation takes as long as its products or its bytes, whichever is more (the roofline model). In eager mode a GPU is
also never faster than the host launches its kernels. Gradients and gathered weights travel while others are computed
with; what experts or tensor parallelism exchange is waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from most.model.families import family_of
from most.plan.batches import Batches
from most.plan.machines import Rates
from most.plan.memory import FLOAT32, HALF, Weights
from most.plan.trace import Trace
from most.train.recipe import TrainRecipe

_OPTIMIZER_TOUCHES = 10
"""Times that a trained weight's bytes move in a step: the norm of gradients and clipping 3, AdamW 7."""


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """Seconds of one optimizer step on one device, which all are busy with at once.

    Args:
        products: of operations bound by arithmetic; traffic: of those bound by memory; host: launching all of them.
        optimizer: of the update.
        hidden: on the network beside the rest; exposed: waited for.
        total: of the step; bound: what it is mostly spent on.
    """

    products: float
    traffic: float
    host: float
    optimizer: float
    hidden: float
    exposed: float
    total: float
    bound: str


def step_time(
    recipe: TrainRecipe, weights: Weights, trace: Trace, batches: Batches, config: Any, rates: Rates, n_devices: int
) -> StepTime:
    p = recipe.parallel
    accumulated = recipe.batch_size / (recipe.micro * max(1, n_devices // p.tensor))
    scale = accumulated * batches.positions / trace.positions
    products, traffic, host = (scale * s for s in kernel_seconds(trace, rates))
    # Tensor parallelism divides products and bytes, and launches as many kernels as before.
    products, traffic = products / p.tensor, traffic / p.tensor
    copy = p.tensor * ((p.shards or n_devices // p.tensor) if p.data == "fsdp" else 1)
    optimizer = _OPTIMIZER_TOUCHES * FLOAT32 * weights.trained / copy / rates.bandwidth
    hidden, exposed = _network(recipe, weights, batches, config, rates, n_devices, accumulated)
    device = products + traffic
    busy = max(device, host) if rates.asynchronous else device + host
    busy = busy * rates.step_ratio + optimizer
    total = max(busy, hidden) + exposed
    spent = {"products": products, "memory bandwidth": traffic, "host": host, "network": max(exposed, hidden - busy)}
    if rates.asynchronous and host < device:
        del spent["host"]
    bound = "network" if hidden > busy else max(spent, key=lambda name: spent[name])
    names = {"products": "compute", "host": "launching kernels"}
    return StepTime(
        products=products, traffic=traffic, host=host, optimizer=optimizer, hidden=hidden, exposed=exposed,
        total=total, bound=names.get(bound, bound),
    )  # fmt: skip


def kernel_seconds(trace: Trace, rates: Rates) -> tuple[float, float, float]:
    """Seconds of what is bound by arithmetic, of what is bound by memory, and of the host."""
    products = traffic = 0.0
    for (flops, moved, half), n in trace.kernels.items():
        by_flops = flops / (rates.half_flops if half else rates.full_flops)
        by_bytes = moved / rates.bandwidth
        if by_flops > by_bytes:
            products += n * by_flops
        else:
            traffic += n * by_bytes
    return products, traffic, sum(trace.kernels.values()) * rates.kernel_seconds


def _network(
    recipe: TrainRecipe,
    weights: Weights,
    batches: Batches,
    config: Any,
    rates: Rates,
    n_devices: int,
    accumulated: float,
) -> tuple[float, float]:
    """Seconds beside the rest, and seconds waited for."""
    p = recipe.parallel
    width = HALF if recipe.precision == "bf16" else FLOAT32
    n_data = max(1, n_devices // p.tensor)

    def speed(ranks: int) -> float:
        return rates.link if ranks <= rates.node else min(rates.link, rates.network)

    hidden = exposed = 0.0
    if p.data == "fsdp" and n_data > 1:
        shards = p.shards or n_data
        gathers = (2 if p.reshard_after_forward else 1) * width * weights.decoder / p.tensor
        scatters = FLOAT32 * weights.trained / p.tensor
        hidden += accumulated * (gathers + scatters) * (shards - 1) / shards / speed(shards * p.tensor)
        if shards < n_data:
            replicas = n_data // shards
            hidden += 2 * FLOAT32 * weights.trained / shards * (replicas - 1) / replicas / speed(n_devices)
    elif p.data == "ddp" and n_data > 1:
        hidden += 2 * FLOAT32 * weights.trained * (n_data - 1) / n_data / speed(n_devices)
    text = config.text_config
    passes = 3 if recipe.gradient_checkpointing else 2
    row = batches.positions * text.hidden_size * width
    if p.experts > 1:
        # To the experts and back, in each mixture; a token goes to top_k places.
        n_layers, top_k = text.num_hidden_layers, family_of(text).rule(text).top_k
        moved = 2 * passes * n_layers * top_k * row * (p.experts - 1) / p.experts
        exposed += accumulated * moved / speed(p.experts)
    if p.tensor > 1:
        moved = 2 * passes * text.num_hidden_layers * 2 * row * (p.tensor - 1) / p.tensor
        exposed += accumulated * moved / speed(p.tensor)
    return hidden, exposed
