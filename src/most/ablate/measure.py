"""What is measured of a trained cell: the loss of each held-out example, and the grid's evaluation tasks.

Every measure is a sum over a sum, example by example, and lower is better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from most.ablate.cell import Cell, variants_of
from most.ablate.losses import LOSSES, measure_losses
from most.ablate.recipe import AblateRecipe
from most.ablate.verdict import Measured
from most.errors import MostError
from most.files import read_lines

TASKS = "eval"


def measure_cell(recipe: AblateRecipe, cell: Cell, *, echo: Callable[[str], Any] = print) -> None:
    """Measure what has not been measured."""
    folder, model = cell.folder(recipe.output), cell.model(recipe.output)
    if recipe.losses:
        measure_losses(recipe, model, folder)
    if recipe.tasks:
        from most.evaluate.run import evaluate

        evaluate(recipe.evaluation(folder / TASKS), model, echo=echo, progress=False, reports=False)


def read_measures(recipe: AblateRecipe) -> Measured:
    """Every measure of every variant and seed.

    Raises:
        MostError: a cell that has not been measured.
    """
    out: dict[str, dict[str, dict[int, dict[str, tuple[float, float]]]]] = defaultdict(lambda: defaultdict(dict))
    for cell in variants_of(recipe):
        folder = cell.folder(recipe.output)
        for name, rows in {**_losses(recipe, folder), **_errors(recipe, folder)}.items():
            if not rows:
                raise MostError("cells", folder, f"was not measured on {name}; run the grid again")
            out[name][cell.variant][cell.seed] = rows
    return out


def _losses(recipe: AblateRecipe, folder: Path) -> dict[str, dict[str, tuple[float, float]]]:
    out: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in recipe.losses}
    for row in read_lines(folder / LOSSES):
        if row["measure"] in out:
            out[row["measure"]][row["id"]] = row["total"], row["n"]
    return out


def _errors(recipe: AblateRecipe, folder: Path) -> dict[str, dict[str, tuple[float, float]]]:
    """Word errors over words of each item of the grid's tasks."""
    if not recipe.tasks:
        return {}
    from most.evaluate.report.results import LOG_FILE
    from most.evaluate.wer import item_errors

    out = {}
    for resolved in recipe.evaluation(folder / TASKS).resolved():
        rows = read_lines(folder / TASKS / resolved.name / LOG_FILE)
        refs, hyps = [r["reference"] for r in rows], [r.get("hypothesis") for r in rows]
        ids, normalizer = [r["id"] for r in rows], resolved.settings.normalizer
        errors = item_errors(refs, hyps, normalizer=normalizer, ids=ids) if rows else []
        out[f"{resolved.name}/wer"] = {i: (e.errors, e.words) for i, e in zip(ids, errors, strict=True)}
    return out
