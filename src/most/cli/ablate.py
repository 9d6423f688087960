"""`most ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def ablate(
    recipe: Annotated[Path, typer.Argument(help="Grid of variants (YAML).")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value settings that win over it.")] = None,
) -> None:
    """Train and measure a grid of models that differ in one thing each; interrupted, the same command goes on."""
    from most.ablate.recipe import AblateRecipe
    from most.ablate.run import ablate as run
    from most.settings import load_recipe

    run(load_recipe(AblateRecipe, recipe, overrides or ()))


VERBS = (ablate,)
