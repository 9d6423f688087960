"""Verbs that make, train and describe a model: `init`, `convert`, `train`, `info`."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[list[str] | None, typer.Argument(help="section.key=value settings that win over the recipe.")]


def init(recipe: Path, overrides: Overrides = None) -> None:
    """Make a fresh backbone and its tokenizer from a YAML recipe."""
    from most.convert.backbone import BackboneRecipe, init_backbone
    from most.settings import load_recipe

    init_backbone(load_recipe(BackboneRecipe, recipe, overrides or ()))


def convert(
    source: Annotated[str, typer.Argument(help="Folder or hub id of a transformers mixture-of-experts decoder.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")],
    codec: Annotated[Path | None, typer.Option(help="Codec folder; the shipped nano codec when left out.")] = None,
    audio_stack: Annotated[int, typer.Option(help="Encoder frames per position.")] = 2,
    modality_routing: Annotated[bool, typer.Option(help="Off keeps the backbone's own routing.")] = True,
    seed: Annotated[int, typer.Option(help="Of the new rows and the projection.")] = 0,
) -> None:
    """Turn a mixture-of-experts language model into a MoST."""
    from most.convert.convert import convert as run

    run(source, out, codec=codec, audio_stack=audio_stack, modality_routing=modality_routing, seed=seed)


def train(recipe: Path, overrides: Overrides = None) -> None:
    """Train by a YAML recipe; interrupted, the same command goes on from the last checkpoint."""
    from most.settings import load_recipe
    from most.train.recipe import TrainRecipe
    from most.train.run import train as run

    print(f"trained model: {run(load_recipe(TrainRecipe, recipe, overrides or ()))}")


def info(
    model: Annotated[Path, typer.Argument(help="Folder of a MoST.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Parameters, experts and vocabulary of a model, without loading its weights."""
    from most.model.info import describe

    facts = describe(model)
    if json:
        print(jsonlib.dumps(facts))
        return
    width = max(map(len, facts))
    for key, value in facts.items():
        print(f"{key:<{width}}  {f'{value:,}' if isinstance(value, int) and not isinstance(value, bool) else value}")


VERBS = (init, convert, train, info)
