"""Memory of one device, part by part: weights, gradients, Adam's moments, activations, logits, buffers."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from most.plan.machines import CONTEXT_BYTES
from most.plan.trace import Trace
from most.train.recipe import TrainRecipe

FLOAT32, HALF = 4, 2
MOMENTS = 2


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Parameters of a model, as memory sees them.

    Args:
        total: all, encoder included; trained: of tensors that get a gradient, rows that stay included.
        decoder: of the language model, which is what a step computes with.
        layer: of the largest decoder layer; layer_experts: its routed experts.
    """

    total: int
    trained: int
    decoder: int
    layer: int
    layer_experts: int


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on one device at the moment of a step when most are in use.

    Args:
        activations: what layers keep for the backward pass; logits: with their losses.
        buffers: what the backward pass needs beyond these, gathered shards, copies in half precision.
        context: of the accelerator's libraries; none on a CPU.
    """

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    buffers: float
    context: float

    @property
    def total(self) -> float:
        return sum(getattr(self, f.name) for f in fields(self))


def memory(recipe: TrainRecipe, weights: Weights, trace: Trace, n_devices: int, *, cpu: bool) -> Memory:
    """Of a device in a run on `n_devices`, while it works on the traced micro-batch.

    Weights, gradients and moments are float32 whatever the precision. Gradients count as there all the time, as they
    are from the second micro-batch of a step on. Activations are divided by `parallel.tensor`, though norms are not.
    """
    p = recipe.parallel
    fsdp = p.data == "fsdp"
    copy = p.tensor * ((p.shards or n_devices // p.tensor) if fsdp else 1)
    on_host = 0 if p.cpu_offload else 1
    computed = HALF if recipe.precision == "bf16" else FLOAT32
    buffers = max(0, trace.peak - trace.activations - trace.logits) / p.tensor
    if fsdp and copy > p.tensor:
        gathered = weights.layer - weights.layer_experts * (1 - 1 / p.experts)
        # Two layers: the next one is gathered while one is computed with. Or all, where they are kept.
        whole = weights.decoder if not p.reshard_after_forward else 2 * gathered
        buffers += whole * computed / p.tensor
    elif computed == HALF:
        buffers += weights.decoder * HALF / copy  # autocast's copies live until the backward pass has used them
    return Memory(
        weights=weights.total * FLOAT32 / copy * on_host,
        gradients=weights.trained * FLOAT32 / copy * on_host,
        optimizer=weights.trained * FLOAT32 * MOMENTS / copy * on_host,
        activations=trace.activations / p.tensor,
        logits=trace.logits / p.tensor,
        buffers=buffers,
        context=0.0 if cpu else CONTEXT_BYTES,
    )


def ways_to_fit(
    recipe: TrainRecipe, weights: Weights, plain: Trace, checkpointed: Trace, n_devices: int, capacity: float
) -> list[str]:
    """What would fit where this does not, the least intrusive first; each is computed, alone or on top of the last."""

    def fits(r: TrainRecipe, n: int, share: float = 1.0) -> bool:
        trace = checkpointed if r.gradient_checkpointing else plain
        m = memory(r, weights, trace, n, cpu=False)
        return m.total - (1 - share) * (m.activations + m.logits) <= capacity

    ways = []
    if not recipe.gradient_checkpointing:
        recipe = replace(recipe, gradient_checkpointing=True)
        if fits(recipe, n_devices):
            return ["gradient_checkpointing: true fits"]
        ways.append("gradient_checkpointing: true")
    for divisor in (d for d in (2, 4, 8, 16, 32) if recipe.micro % d == 0):
        if fits(recipe, n_devices, 1 / divisor):
            return [*ways, f"micro_batch_size: {recipe.micro // divisor} fits"]
    if recipe.parallel.data != "fsdp":
        recipe = replace(recipe, parallel=replace(recipe.parallel, data="fsdp"))
        ways.append("parallel.data: fsdp")
        if n_devices > 1 and fits(recipe, n_devices):
            return [*ways, "fits"]
    smallest = 1 / recipe.micro
    for n in (n_devices * 2**k for k in range(1, 8)):
        for share, said in ((1.0, ""), (smallest, ", micro_batch_size: 1")):
            if fits(recipe, n, share):
                return [*ways, f"on {n} devices{said} fits"]
    for n_experts in (2, 4, 8, 16):
        more = replace(recipe, parallel=replace(recipe.parallel, experts=n_experts))
        n = max(n_devices, n_experts)
        if fits(more, n, smallest):
            return [*ways, f"parallel.experts: {n_experts} on {n} devices, micro_batch_size: 1 fits"]
    return [*ways, "none of these fits alone; train fewer parts (train.parts, train.lora) or use a smaller model"]
