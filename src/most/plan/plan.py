"""`most plan`: what a recipe needs and how long it takes, from its model's modules traced on the meta device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from most.convert.info import count_parameters, part_of
from most.errors import MostError
from most.model.configuration import MostConfig
from most.plan.batches import Batches, assumed, measured
from most.plan.machines import CPU, Rates
from most.plan.memory import Memory, Weights, memory, ways_to_fit
from most.plan.shape import meta_model
from most.plan.timing import StepTime, step_time
from most.plan.trace import Trace, trace
from most.train.parallel import check_parallel
from most.train.recipe import TrainRecipe
from most.train.trainable import select


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All of it; bytes, seconds and FLOPs are of one device unless said otherwise.

    Args:
        device, n_devices: what it would run on.
        parameters: part -> total, active_text, active_audio, as `most info` counts.
        trained: part -> weights that learn, as `train.parts` counts.
        batches: micro-batches of a device.
        flops_per_position: of the model: `forward` by part, `backward` with all that trains, without recomputation.
        tokens_per_step: of all devices, without padding.
        used, without_checkpointing, with_checkpointing: memory as the recipe says, and as it might.
        time: of a step; hours: of the recipe.
        fits: whether `used` is within the device's `capacity`; advice: what would.
    """

    device: str
    n_devices: int
    rates: Rates
    parameters: dict[str, dict[str, int]]
    trained: dict[str, int]
    batches: Batches
    flops_per_position: dict[str, Any]
    tokens_per_step: float
    used: Memory
    without_checkpointing: Memory
    with_checkpointing: Memory
    capacity: float
    time: StepTime
    hours: float
    fits: bool
    advice: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        row = asdict(self)
        for name in ("used", "without_checkpointing", "with_checkpointing"):
            row[name]["total"] = getattr(self, name).total
        return row


def plan(
    recipe: TrainRecipe,
    config: MostConfig,
    rates: Rates,
    *,
    device: str,
    n_devices: int = 1,
    batches: Batches | None = None,
) -> Plan:
    """Plan a recipe.

    Args:
        config: of its model, from `find_config`.
        device: name of what `rates` are of; `cpu` needs no memory for an accelerator's libraries.
        batches: shapes of micro-batches; from the recipe's data or, where that is not there, its `max_length`.

    Raises:
        MostError: a number of devices that does not fit the recipe, or parts that the model does not have.
    """
    if n_devices < 1:
        raise MostError("gpus", n_devices, "must be at least 1")
    check_parallel(recipe.parallel, n_devices, config, batch_size=recipe.batch_size, micro_batch_size=recipe.micro)
    batches = batches or measured(recipe) or assumed(recipe)
    model: Any = meta_model(config)
    parameters = count_parameters({n: tuple(p.shape) for n, p in model.named_parameters()}, config)
    trained = select(model, recipe.train).counts
    weights = _weights(model, config)
    if recipe.precision == "bf16":
        model = model.to(torch.bfloat16)

    def of(shape: tuple[int, int], checkpointing: bool) -> Trace:
        kind = config.text_config.model_type  # type: ignore[union-attr]
        return trace(model, *shape, checkpointing=checkpointing, part_of=lambda name: part_of(name, kind))

    usual_shape, cpu = (batches.rows, batches.width), device == CPU
    usual = {c: of(usual_shape, c) for c in {False, recipe.gradient_checkpointing}}
    largest = {c: usual.get(c) if batches.largest == usual_shape else None for c in (False, True)}
    plain, checkpointed = (largest[c] or of(batches.largest, c) for c in (False, True))
    without, with_ = (memory(recipe, weights, t, n_devices, cpu=cpu) for t in (plain, checkpointed))
    used = with_ if recipe.gradient_checkpointing else without
    time = step_time(recipe, weights, usual[recipe.gradient_checkpointing], batches, config, rates, n_devices)
    n_micro = recipe.batch_size / recipe.micro
    fits = used.total <= rates.memory
    advice = [] if fits else ways_to_fit(recipe, weights, plain, checkpointed, n_devices, rates.memory)
    return Plan(
        device=device,
        n_devices=n_devices,
        rates=rates,
        parameters=parameters,
        trained=trained,
        batches=batches,
        flops_per_position={
            "forward": {part: n / usual[False].positions for part, n in usual[False].forward_flops.items()},
            "backward": usual[False].backward_flops / usual[False].positions,
        },
        tokens_per_step=batches.tokens * n_micro,
        used=used,
        without_checkpointing=without,
        with_checkpointing=with_,
        capacity=rates.memory,
        time=time,
        hours=time.total * recipe.steps / 3600,
        fits=fits,
        advice=tuple(advice),
    )


def _weights(model: Any, config: MostConfig) -> Weights:
    layers = [
        (
            sum(p.numel() for p in layer.parameters()),
            sum(p.numel() for n, p in layer.named_parameters() if ".experts." in f".{n}"),
        )
        for layer in model.get_decoder().layers
    ]
    largest = max(layers)
    return Weights(
        total=sum(p.numel() for p in model.parameters()),
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        decoder=sum(p.numel() for p in model.language_model.parameters()),
        layer=largest[0],
        layer_experts=largest[1],
    )
