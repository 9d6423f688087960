"""The model of a recipe before there is one: its config, from its folder or from a small file beside the recipe.

`shape.yaml` describes a model that needs a download or a conversion first; `backbone.yaml` of a fresh one serves as
well. Either becomes the config that `most convert` would write.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from most.convert.backbone import BackboneRecipe
from most.convert.upcycle import DENSE, upcycled_config
from most.errors import MostError
from most.model.build import PAD_ROWS_TO
from most.model.configuration import MostConfig
from most.model.modeling import MostForConditionalGeneration
from most.settings import load_recipe
from most.speech.codec import default_codec_dir
from most.vocab import MARKER_TOKENS

SHAPE, BACKBONE = "shape.yaml", "backbone.yaml"


@dataclass(frozen=True, kw_only=True)
class UpcycleShape:
    """As `most convert --partition upcycle` takes it."""

    experts_per_group: int = 4
    top_k: int = 2
    shared_expert: bool | None = None


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """A MoST by its sizes.

    Args:
        config: the backbone's published config, with `model_type`.
        text_size: tokens of its tokenizer.
        n_units: discrete speech units.
        audio_config: the speech encoder's config; that of the shipped codec when absent.
        audio_stack: encoder frames a position.
        upcycle: how a dense backbone becomes a mixture.
    """

    config: dict[str, Any] = field(default_factory=dict)
    text_size: int
    n_units: int = 500
    audio_config: dict[str, Any] | None = None
    audio_stack: int = 2
    upcycle: UpcycleShape = UpcycleShape()

    def __post_init__(self) -> None:
        if "model_type" not in self.config:
            raise MostError("config.model_type", None, "is missing; name a transformers architecture, e.g. deepseek_v2")

    def most_config(self) -> MostConfig:
        """The config of the converted model, with as many rows of embedding as conversion makes."""
        settings = dict(self.config)
        needed = self.text_size + self.n_units + len(MARKER_TOKENS)
        rows = settings.pop("vocab_size", self.text_size)
        if needed > rows:
            rows = -(-needed // PAD_ROWS_TO) * PAD_ROWS_TO
        text = AutoConfig.for_model(settings.pop("model_type"), vocab_size=rows, **settings)
        if text.model_type in DENSE:
            up = self.upcycle
            text = upcycled_config(text, n_experts=2 * up.experts_per_group, top_k=up.top_k, shared=up.shared_expert)
        audio = self.audio_config
        if audio is None:
            audio = json.loads((default_codec_dir() / "encoder" / "config.json").read_text(encoding="utf-8"))
        return MostConfig(
            text_config=text, audio_config=audio, text_size=self.text_size, n_units=self.n_units,
            audio_stack=self.audio_stack,
        )  # fmt: skip


def find_config(model: Path, beside: Path | None = None, shape: Path | None = None) -> tuple[MostConfig, str]:
    """The config of a recipe's model, and where it is from.

    Args:
        model: the recipe's; read when it is a folder that is there.
        beside: the recipe's file, next to which a shape is looked for.
        shape: a shape file that wins over all.

    Raises:
        MostError: nothing tells the model's sizes.
    """
    if shape is None and (model / "config.json").is_file():
        return wrapped(AutoConfig.from_pretrained(str(model))), str(model)
    places = [shape] if shape is not None else [beside.parent / n for n in (SHAPE, BACKBONE)] if beside else []
    for place in places:
        if place.is_file():
            return _read_shape(place).most_config(), str(place)
    remedy = f"is not there yet, and no {SHAPE} or {BACKBONE} beside the recipe tells its sizes; give --shape FILE"
    raise MostError("model", model if shape is None else shape, remedy)


def wrapped(config: Any) -> MostConfig:
    """A plain mixture's config as that of a MoST that neither hears nor speaks and routes as the backbone does."""
    if isinstance(config, MostConfig):
        return config
    text_size = config.vocab_size - len(MARKER_TOKENS) - 1
    return MostConfig(text_config=config, text_size=text_size, n_units=1, modality_routing=False)


def _read_shape(path: Path) -> ModelShape:
    if path.name != BACKBONE:
        return load_recipe(ModelShape, path)
    recipe = load_recipe(BackboneRecipe, path)
    units = json.loads((default_codec_dir() / "units.json").read_text(encoding="utf-8"))
    return ModelShape(config=recipe.config, text_size=recipe.vocab_size, n_units=units["n_units"])


def meta_model(config: MostConfig) -> MostForConditionalGeneration:
    """The model's modules without storage, in float32."""
    with torch.device("meta"):  # a copy: a live model may run by this config
        return MostForConditionalGeneration(copy.deepcopy(config)).float()
