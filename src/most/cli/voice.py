"""`most data speak`, `read-aloud` and `build`: what is written becomes speech, and recipes of whole data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def speak(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe: dialogues, output, voices, gate, overlaps.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="section.key=value settings that win over the recipe.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would read and write, and stop.")] = False,
) -> None:
    """Speak dialogues with two voices, interruptions and back-channels; interrupted, the same command goes on."""
    from most.data.dialogue.voice.pipeline import speak as run
    from most.data.dialogue.voice.recipe import SpeakRecipe
    from most.settings import load_recipe

    run(load_recipe(SpeakRecipe, recipe, overrides or ()), dry_run=dry_run)


def read_aloud(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe: sentences, output, voices, gate, augment.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="section.key=value settings that win over the recipe.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would read and write, and stop.")] = False,
) -> None:
    """Sentences said by many voices, judged, as a prepared set; interrupted, the same command goes on."""
    from most.data.read_aloud.recipe import ReadAloudRecipe
    from most.data.read_aloud.run import read_aloud as run
    from most.settings import load_recipe

    run(load_recipe(ReadAloudRecipe, recipe, overrides or ()), dry_run=dry_run)


def build(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe: output, variables, steps.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="variables.NAME=VALUE, output=DIR, steps.NAME.KEY=VALUE.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what each step would do, and stop.")] = False,
    remake: Annotated[bool, typer.Option("--remake", help="Delete what has changed and make it anew.")] = False,
) -> None:
    """All steps of a recipe of data, in order; the same command goes on where it stopped."""
    from most.data.build.recipe import BuildRecipe
    from most.data.build.run import build_data
    from most.settings import load_recipe

    build_data(load_recipe(BuildRecipe, recipe, overrides or ()), dry_run=dry_run, remake=remake)


VERBS = (speak, read_aloud, build)
