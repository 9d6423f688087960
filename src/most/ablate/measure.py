"""What is measured of a trained cell: the loss of each held-out example, and the grid's evaluation tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from most.ablate.cell import Cell
from most.ablate.losses import measure_losses
from most.ablate.recipe import AblateRecipe


def measure_cell(recipe: AblateRecipe, cell: Cell, *, echo: Callable[[str], Any] = print) -> None:
    """Measure what has not been measured."""
    if recipe.losses:
        measure_losses(recipe, cell.model(recipe.output), cell.folder(recipe.output))
