"""Verbs that make, train and describe a model: `init`, `convert`, `export`, `place`, `train`, `average`,
`release`, `card`, `info`."""

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
    source: Annotated[str, typer.Argument(help="Folder or hub id of a transformers decoder.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist. An interrupted conversion goes on.")],
    partition: Annotated[
        str | None,
        typer.Option(help="index, usage or random split; expand; upcycle; none. Default: index, or upcycle if dense."),
    ] = None,
    scores_over: Annotated[
        str | None, typer.Option(help="Router scores compete over all experts (the paper) or their own group.")
    ] = None,
    text_experts: Annotated[int | None, typer.Option(help="Of a split: experts text keeps; default half.")] = None,
    audio_experts: Annotated[int | None, typer.Option(help="expand: experts to add; default as many as are.")] = None,
    experts_per_group: Annotated[int, typer.Option(help="upcycle: experts of each modality.")] = 4,
    top_k: Annotated[int, typer.Option(help="upcycle: experts a token.")] = 2,
    shared_expert: Annotated[bool | None, typer.Option(help="upcycle: with an expert that sees all tokens.")] = None,
    calibration: Annotated[Path | None, typer.Option(help="usage: text to measure on (.txt, .jsonl).")] = None,
    codec: Annotated[Path | None, typer.Option(help="Codec folder; the shipped nano codec when left out.")] = None,
    revision: Annotated[str | None, typer.Option(help="Of a hub id.")] = None,
    audio_stack: Annotated[int, typer.Option(help="Encoder frames per position.")] = 2,
    modality_routing: Annotated[bool, typer.Option(help="Off keeps the backbone's own routing.")] = True,
    new_row_noise: Annotated[float, typer.Option(help="Spread of new embedding rows against the old ones.")] = 0.1,
    max_shard_gb: Annotated[float, typer.Option(help="Largest weight file.")] = 4.0,
    seed: Annotated[int, typer.Option(help="Of everything new.")] = 0,
) -> None:
    """Turn a language model into a MoST: split, add to, or make its experts; add ears and a voice."""
    from most.convert.convert import convert as run
    from most.convert.settings import ConvertSettings
    from most.settings import build

    values = {
        "partition": partition, "scores_over": scores_over, "text_experts": text_experts,
        "audio_experts": audio_experts,
        "experts_per_group": experts_per_group, "top_k": top_k, "shared_expert": shared_expert,
        "calibration": calibration and str(calibration), "audio_stack": audio_stack,
        "modality_routing": modality_routing, "new_row_noise": new_row_noise, "seed": seed,
        "max_shard_bytes": int(max_shard_gb * 1e9),
    }  # fmt: skip
    run(source, out, codec=codec, revision=revision, settings=build(ConvertSettings, values, "convert"))


def export(
    model: Annotated[Path, typer.Argument(help="Folder of a MoST.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")],
    modality: Annotated[str, typer.Option(help="text or audio: whose experts and vocabulary to keep.")] = "text",
    max_shard_gb: Annotated[float, typer.Option(help="Largest weight file.")] = 4.0,
) -> None:
    """One modality of a MoST as a plain checkpoint that transformers alone loads."""
    from most.convert.export import export as run

    run(model, out, modality, max_shard_bytes=int(max_shard_gb * 1e9))


def place(
    model: Annotated[Path, typer.Argument(help="Folder of a MoST.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")],
) -> None:
    """The same model with text and audio experts taking turns, so that every rank of a run gets some of both."""
    from most.convert.placement import place_experts

    print(place_experts(model, out))


def train(recipe: Path, overrides: Overrides = None) -> None:
    """Train by a YAML recipe; interrupted, the same command goes on from the last checkpoint."""
    from most.settings import load_recipe
    from most.train.recipe import TrainRecipe
    from most.train.run import train as run

    print(f"trained model: {run(load_recipe(TrainRecipe, recipe, overrides or ()))}")


def average(
    models: Annotated[list[Path], typer.Argument(help="Folders of one model at several points of its training.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")],
) -> None:
    """The mean of several checkpoints of one model, often better than any of them."""
    from most.convert.average import average as run

    print(run(models, out))


def release(
    model: Annotated[str, typer.Argument(help="Folder or hub id of a MoST.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")],
    codec: Annotated[
        Path | None, typer.Option(help="Codec folder; the model's own or the shipped one when left out.")
    ] = None,
    weights: Annotated[str, typer.Option(help="int8, or bf16: twice the size, a tenth of the rounding.")] = "int8",
) -> None:
    """A trained MoST and its codec as one small folder, which the Auto classes load."""
    from most.model.release.write import release as run

    run(model, out, codec=codec, weights=weights)


def card(recipe: Path, overrides: Overrides = None) -> None:
    """A model's README.md: a template's text, filled with what was measured."""
    from most.report.model_card import CardRecipe, write_card
    from most.settings import load_recipe

    write_card(load_recipe(CardRecipe, recipe, overrides or ()))


def info(
    model: Annotated[Path, typer.Argument(help="Folder of a MoST.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Parameters by modality, partition, encoder and vocabulary of a model, without loading its weights."""
    from most.convert.info import as_text, describe

    facts = describe(model)
    print(jsonlib.dumps(facts) if json else as_text(facts))


VERBS = (init, convert, export, place, train, average, release, card, info)
