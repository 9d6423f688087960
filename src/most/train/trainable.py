"""What trains and what stays: parts of a MoST by name, down to rows of a tensor that several parts share; LoRA.

The experts of a layer lie fused in one tensor (E, ...), as transformers' kernels want them, so audio experts alone
cannot be told to train by `requires_grad`. The gradient of the other rows is set to zero before it is measured, clipped
or used. Adam's moments of these rows then stay zero and its update is exactly zero; weight decay, which would still
shrink them, is applied to the trained rows alone, by us, where AdamW would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from most.convert.info import part_of
from most.errors import MostError
from most.model.families import family_of
from most.model.install import routers
from most.model.modeling import MostForConditionalGeneration

Part = Literal[
    "all", "projection", "audio_experts", "text_experts", "shared_experts", "router", "embeddings", "audio_embeddings",
    "attention", "norms", "dense_mlp",
]  # fmt: skip
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj")
ENCODER = "audio_encoder"
_OURS = {
    "audio_projection": "projection", "routed_experts": "experts", "dense_mlps": "dense_mlp",
    "output_head": "embeddings",
}  # fmt: skip
"""`most info`'s names of parts, where a recipe has another."""


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Low-rank adapters (arXiv 2106.09685) through peft, merged into the final model. Needs the extra `lora`.

    Args:
        rank, alpha, dropout: as in peft.
        targets: ends of the names of the linear layers that get an adapter; attention's by default.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: tuple[str, ...] = ATTENTION

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise MostError("train.lora.rank", self.rank, "must be at least 1")
        if not self.alpha > 0:
            raise MostError("train.lora.alpha", self.alpha, "must be > 0")
        if not 0 <= self.dropout < 1:
            raise MostError("train.lora.dropout", self.dropout, "must lie in [0, 1)")
        if not self.targets:
            raise MostError("train.lora.targets", self.targets, "names no layer")


@dataclass(frozen=True, kw_only=True)
class TrainableSettings:
    """Section `train` of a training recipe.

    Args:
        parts: what trains in full; the speech encoder never does. `audio_embeddings` are the rows of units and markers
            in embedding and output head, `dense_mlp` the layers without experts.
        lora: adapters beside what trains in full.
    """

    parts: tuple[Part, ...] = ("all",)
    lora: LoraSettings | None = None

    def __post_init__(self) -> None:
        if not self.parts and self.lora is None:
            raise MostError("train.parts", self.parts, "nothing would train; name parts, or lora")
        if "all" in self.parts and (len(self.parts) > 1 or self.lora is not None):
            remedy = "`all` stands alone; with lora or other parts, name what trains in full (or none: [])"
            raise MostError("train.parts", self.parts, remedy)


@dataclass
class Trainable:
    """What `select` decided.

    Args:
        counts: trained weights of each part.
        frozen_rows: parameter name to the rows (int64) that stay, of parameters that train in part.
        adapters: peft's tuner, if there is one.
    """

    counts: dict[str, int] = field(default_factory=dict)
    frozen_rows: dict[str, torch.Tensor] = field(default_factory=dict)
    adapters: Any = None
    _found: list[tuple[nn.Parameter, torch.Tensor, torch.Tensor]] | None = None

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @torch.no_grad()
    def mask_gradients(self, model: nn.Module) -> None:
        """Zero the gradient of frozen rows. Zero, not times zero: a NaN there must not spread."""
        for parameter, frozen, _ in self._resolve(model):
            if parameter.grad is not None:
                _local(parameter.grad).index_fill_(0, frozen, 0.0)

    def decay_hook(self, model: nn.Module, weight_decay: float) -> Callable[..., None]:
        """An optimizer's step pre-hook that decays trained rows; their parameters belong in a group without decay."""

        @torch.no_grad()
        def decay(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
            for parameter, _frozen, trained in self._resolve(model):
                if parameter.grad is not None:
                    rows = _local(parameter)
                    kept = rows.index_select(0, trained) * (1 - rates[id(parameter)] * weight_decay)
                    rows.index_copy_(0, trained, kept)

        return decay

    def _resolve(self, model: nn.Module) -> list[tuple[nn.Parameter, torch.Tensor, torch.Tensor]]:
        # By name and late: sharding replaces the parameters that were there when the parts were chosen.
        if self._found is None:
            named = dict(model.named_parameters())
            self._found = []
            for name, rows in self.frozen_rows.items():
                parameter = named[name]
                local, first = _local(parameter), _first_row(parameter)
                here = rows[(rows >= first) & (rows < first + len(local))] - first
                moves = torch.ones(len(local), dtype=torch.bool)
                moves[here] = False
                trained = moves.nonzero().flatten()
                self._found.append((parameter, here.to(local.device), trained.to(local.device)))
        return self._found


def parts_of(model: MostForConditionalGeneration) -> list[tuple[str, str]]:
    """Name and part of each parameter, in the model's order.

    A part is a `Part`, `experts` (text and audio, fused), `audio_encoder` or `lora`.
    """
    kind = model.config.text_config.model_type
    out = []
    for name, _ in model.named_parameters():
        part = "lora" if ".lora_" in name else part_of(name.replace(".base_layer.", "."), kind)
        out.append((name, _OURS.get(part, part)))
    return out


def select(model: MostForConditionalGeneration, settings: TrainableSettings) -> Trainable:
    """Set `requires_grad` of every parameter, add adapters, and say which rows stay.

    Raises:
        MostError: a part that this model does not have, or lora without peft or a layer to adapt.
    """
    chosen = set(settings.parts)
    result = Trainable()
    if settings.lora is not None:
        result.adapters = _add_adapters(model, settings.lora)
    named = dict(model.named_parameters())
    for name, part in parts_of(model):
        parameter = named[name]
        frozen = None
        if part == ENCODER:
            trains = False
        elif part == "lora" or "all" in chosen:
            trains = True
        elif part == "experts":
            groups = {"text_experts", "audio_experts"} & chosen
            trains = bool(groups)
            if len(groups) == 1:
                frozen = _other_group(name, model, groups.pop())
        elif part == "embeddings":
            trains = bool({"embeddings", "audio_embeddings"} & chosen)
            if trains and "embeddings" not in chosen:
                frozen = torch.arange(model.config.text_size)
        else:
            trains = part in chosen
        parameter.requires_grad_(trains)
        if trains:
            n = parameter.numel()
            if frozen is not None:
                result.frozen_rows[name] = frozen
                n = n // len(parameter) * (len(parameter) - len(frozen))
            result.counts[part] = result.counts.get(part, 0) + n
    has = set(result.counts)
    has |= {"text_experts", "audio_experts"} if "experts" in has else set()
    has |= {"embeddings", "audio_embeddings"} if "embeddings" in has else set()
    if missing := sorted(chosen - has - {"all"}):
        raise MostError("train.parts", missing[0], "this model has no such part; leave it out")
    return result


def _other_group(name: str, model: MostForConditionalGeneration, trained: str) -> torch.Tensor:
    """Rows of a layer's experts that are not of the trained group."""
    layer = int(name.split(".layers.")[1].split(".")[0])
    by_layer = dict(zip(_moe_layers(model), routers(model.language_model), strict=True))
    partition = by_layer[layer].partition
    return torch.tensor(partition.text if trained == "audio_experts" else partition.audio)


def _moe_layers(model: MostForConditionalGeneration) -> list[int]:
    path = family_of(model.config.text_config).router
    return [
        i
        for i, layer in enumerate(model.get_decoder().layers)  # type: ignore[union-attr]
        if any(name == path for name, _ in layer.named_modules())
    ]


def _local(tensor: Any) -> torch.Tensor:
    """This rank's rows of a tensor that may be sharded."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _first_row(parameter: Any) -> int:
    """Where this rank's rows begin in the whole tensor.

    Raises:
        MostError: its rows do not follow one another.
    """
    if not hasattr(parameter, "to_local"):
        return 0
    if any(type(p).__name__ == "_StridedShard" for p in parameter.placements):
        remedy = "one modality's experts alone do not train where experts and fsdp divide the same tensor; train both"
        raise MostError("train.parts", "experts", remedy)
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    return compute_local_shape_and_global_offset(parameter.shape, parameter.device_mesh, parameter.placements)[1][0]


def _add_adapters(model: MostForConditionalGeneration, settings: LoraSettings) -> Any:
    try:
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel
    except ImportError:
        raise MostError("train.lora", settings.rank, "needs peft; pip install 'most-speech[lora]'") from None
    found = [
        name
        for name, module in model.language_model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in settings.targets
    ]
    if not found:
        raise MostError("train.lora.targets", settings.targets, "no linear layer of this model is called so")
    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=found
    )  # fmt: skip
    # Into the modules, not around the model: its class, its checkpoints' names and its forward stay what they are.
    return LoraModel(model.language_model, config, "default")
