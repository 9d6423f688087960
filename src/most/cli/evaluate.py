"""`most eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def eval(
    model: Annotated[str, typer.Argument(help="Folder or hub id of a MoST, or of a plain language model.")],
    recipe: Annotated[str | None, typer.Argument(help="Tasks (YAML); recipes/eval/nano.yaml when left out.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value settings that win over it.")] = None,
) -> None:
    """Measure a model in five families: hearing, speaking, audio language, spoken questions, text.

    Interrupted, the same command goes on. Scores, logs of every item and a page lie in runs/eval/MODEL.
    """
    from most.evaluate.recipe import EvalRecipe
    from most.evaluate.run import evaluate
    from most.settings import RECIPES, load_recipe

    settings = list(overrides or ())
    if recipe is not None and "=" in recipe and not Path(recipe).exists():
        recipe, settings = None, [recipe, *settings]
    evaluate(load_recipe(EvalRecipe, recipe or RECIPES / "eval" / "nano.yaml", settings), model)


VERBS = (eval,)
