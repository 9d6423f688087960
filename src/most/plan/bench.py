"""`most bench`: a device's rates, and one training step of a recipe's model at reduced depth, beside its prediction."""

from __future__ import annotations

import copy
import statistics
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from most.convert.info import part_of
from most.errors import MostError
from most.model.configuration import MostConfig
from most.model.modeling import MostForConditionalGeneration
from most.plan.batches import Batches, assumed, measured
from most.plan.machines import Rates
from most.plan.rates import measure_rates
from most.plan.shape import meta_model
from most.plan.timing import kernel_seconds
from most.plan.trace import trace
from most.train.recipe import TrainRecipe
from most.train.trainable import select

_WARM_SECONDS, _TIMED = 2.0, 3
"""A process's threads may share one core until the system has spread them, and first calls generate code."""
_KEPT = (
    "audio_config", "text_size", "n_units", "modality_routing", "balance_loss_alpha", "audio_stack", "audio_layer"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What was measured.

    Args:
        rates: of the device; `step_ratio` is `measured` over `predicted`.
        layers: decoder layers of the model that was timed; rows, width: of its micro-batch.
        predicted, measured: seconds of forward and backward.
    """

    rates: Rates
    layers: int
    rows: int
    width: int
    predicted: float
    measured: float

    def about(self) -> dict[str, Any]:
        """All but the rates, as JSON types."""
        return {k: v for k, v in asdict(self).items() if k != "rates"}


def bench(
    recipe: TrainRecipe,
    config: MostConfig,
    *,
    device: str | None = None,
    layers: int | None = None,
    batches: Batches | None = None,
) -> Bench:
    """Measure. Takes as much memory as that many layers do, with one micro-batch.

    Args:
        device: torch's name of it; the first GPU, or else the CPU, when absent.
        layers: decoder layers; those without experts and two with them when absent.
        batches: shape of the micro-batch, as in `plan`.

    Raises:
        MostError: a depth that the model does not have.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    batches = batches or measured(recipe) or assumed(recipe)
    shallow = shallower(config, layers)
    rates = measure_rates(place)
    half = recipe.precision == "bf16"
    kind = shallow.text_config.model_type  # type: ignore[union-attr]
    planned: Any = meta_model(shallow)
    select(planned, recipe.train)
    planned = planned.to(torch.bfloat16) if half else planned
    traced = trace(
        planned, batches.rows, batches.width, checkpointing=recipe.gradient_checkpointing,
        part_of=lambda name: part_of(name, kind),
    )  # fmt: skip
    products, traffic, host = kernel_seconds(traced, rates)
    predicted = max(products + traffic, host) if rates.asynchronous else products + traffic + host
    seconds = _step_seconds(recipe, shallow, batches, place)
    return Bench(
        rates=replace(rates, step_ratio=seconds / predicted, source=f"{rates.source}, and a step of {_depth(shallow)}"),
        layers=_n_layers(shallow),
        rows=batches.rows,
        width=batches.width,
        predicted=predicted,
        measured=seconds,
    )


def shallower(config: MostConfig, layers: int | None) -> MostConfig:
    """The same with fewer decoder layers, its first ones."""
    text: Any = copy.deepcopy(config.text_config)
    dense = getattr(text, "first_k_dense_replace", 0) or 0
    wanted = min(dense + 2, text.num_hidden_layers) if layers is None else layers
    if not dense < wanted <= text.num_hidden_layers:
        raise MostError("layers", wanted, f"must lie in {dense + 1}..{text.num_hidden_layers}: at least one mixture")
    text.num_hidden_layers = wanted
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:wanted]
    partitions = config.partitions
    if partitions and len(partitions) > 1:
        partitions = partitions[: wanted - dense]
    settings = {name: getattr(config, name) for name in _KEPT}
    return MostConfig(text_config=text, partitions=partitions, **settings)


def _step_seconds(recipe: TrainRecipe, config: MostConfig, batches: Batches, device: torch.device) -> float:
    """Median seconds of forward and backward on random ids, half of them units."""
    torch.manual_seed(0)
    if recipe.experts_implementation is not None:
        config.text_config._experts_implementation = recipe.experts_implementation  # type: ignore[union-attr]
    with device:
        model = MostForConditionalGeneration(config).float().train()
    select(model, recipe.train)
    if recipe.gradient_checkpointing:
        name = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"  # renamed in 5.24
        getattr(model, f"{name}_checkpointing_enable")({"use_reentrant": False})
    shape = (batches.rows, batches.width)
    vocab = config.vocab
    text = torch.randint(vocab.text_size, shape)
    ids = torch.where(torch.rand(shape) < 0.5, text, vocab.unit_id(0) + torch.randint(vocab.n_units, shape))
    example = max(2, min(batches.width, round(batches.tokens / recipe.micro)))
    positions = torch.arange(batches.width) % example  # as packed rows are laid out
    inputs = {
        "input_ids": ids, "labels": ids, "position_ids": positions.expand(shape).contiguous(),
        "token_mask": torch.ones(shape, dtype=torch.long),
    }  # fmt: skip
    inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
    seconds: list[float] = []
    began = time.perf_counter()
    warm = False
    while len(seconds) < _TIMED:
        begin = time.perf_counter()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss = model(**inputs).loss
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if warm:
            seconds.append(time.perf_counter() - begin)
        warm = time.perf_counter() - began > _WARM_SECONDS
    return statistics.median(seconds)


def _n_layers(config: MostConfig) -> int:
    return config.text_config.num_hidden_layers  # type: ignore[union-attr]


def _depth(config: MostConfig) -> str:
    return f"{_n_layers(config)} of the model's layers"
