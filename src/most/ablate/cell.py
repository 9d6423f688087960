"""One cell of a grid: a backbone for a seed, or a variant for a seed, made by the project's own verbs.

A cell lies in a folder of its own and goes on where it stopped. Its settings are kept there, so that a changed recipe
is noticed; what only measures may change, and is then measured anew.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from most.ablate.recipe import AblateRecipe
from most.convert.backbone import init_backbone
from most.convert.convert import convert
from most.errors import MostError
from most.files import write_text
from most.settings import to_plain
from most.train.run import train

CELL = "cell.json"
Echo = Callable[[str], Any]


@dataclass(frozen=True)
class Cell:
    """Names of a backbone or a variant (the other is ""), and the seed."""

    backbone: str
    variant: str
    seed: int

    @property
    def label(self) -> str:
        return f"{self.variant or 'backbone ' + self.backbone}, seed {self.seed}"

    def folder(self, output: Path) -> Path:
        kind, name = ("cells", self.variant) if self.variant else ("backbones", self.backbone)
        return output / kind / name / f"seed-{self.seed}"

    def model(self, output: Path) -> Path:
        """The folder of the trained model."""
        return self.folder(output) / "train" / "final"


def backbones_of(recipe: AblateRecipe) -> list[Cell]:
    """Cells that others wait for: every backbone in use that the grid makes, for every seed."""
    used = dict.fromkeys(v.backbone for v in recipe.variants.values())
    return [Cell(b, "", s) for s in recipe.seeds for b in used if recipe.backbones[b].init is not None]


def variants_of(recipe: AblateRecipe) -> list[Cell]:
    """A cell for each seed and variant, seed by seed: an early stop leaves whole comparisons."""
    return [Cell("", v, s) for s in recipe.seeds for v in recipe.variants]


def train_cell(recipe: AblateRecipe, cell: Cell, *, echo: Echo = print, progress: bool = False) -> Path:
    """Make a cell's model, or what is left to do of it. Returns the model's folder.

    Raises:
        MostError: the folder holds a cell of other settings, or whatever the verbs raise.
    """
    folder, model = cell.folder(recipe.output), cell.model(recipe.output)
    folder.mkdir(parents=True, exist_ok=True)
    clock = _Clock(folder / CELL, _settings(recipe, cell))
    if model.exists():
        return model
    if cell.backbone:
        start = folder / "init"
        with clock("init"):
            if not start.exists():
                init_backbone(recipe.fresh(cell.backbone, start, cell.seed), echo=echo)
        if recipe.backbones[cell.backbone].train is None:
            model.parent.mkdir(exist_ok=True)
            start.rename(model)
            return model
    else:
        start = folder / "most"
        with clock("convert"):
            if not start.exists():
                source = _source(recipe, cell)
                settings = recipe.conversion(cell.variant, cell.seed)
                convert(source, start, codec=recipe.codec, settings=settings, echo=echo, progress=progress)
    with clock("train"):
        training = recipe.training(cell.backbone, start, folder / "train", cell.seed)
        train(training, echo=echo, progress=progress, estimate=False)
    if recipe.keep == "final":
        shutil.rmtree(start)
        for checkpoint in (folder / "train").glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
    return model


def seconds_of(folder: Path) -> dict[str, float]:
    """How long each step of a cell took, interruptions left out."""
    path = folder / CELL
    return json.loads(path.read_text(encoding="utf-8"))["seconds"] if path.is_file() else {}


def _source(recipe: AblateRecipe, cell: Cell) -> str:
    name = recipe.variants[cell.variant].backbone
    path = recipe.backbones[name].path
    return path if path is not None else str(Cell(name, "", cell.seed).model(recipe.output))


def _settings(recipe: AblateRecipe, cell: Cell) -> Any:
    """What the cell's model depends on, as plain data."""
    if cell.backbone:
        return to_plain(recipe.backbones[cell.backbone])
    backbone = recipe.backbones[recipe.variants[cell.variant].backbone]
    return {
        "backbone": to_plain(backbone),
        "convert": to_plain(recipe.conversion(cell.variant, cell.seed)),
        "train": to_plain(recipe.training("", Path(), Path(), cell.seed)),
    }


class _Clock:
    """Keeps a cell's settings and the seconds of its steps in `cell.json`."""

    def __init__(self, path: Path, settings: Any) -> None:
        settings = json.loads(json.dumps(settings))
        self.path, self.row = path, {"settings": settings, "seconds": {}}
        if path.is_file():
            self.row = json.loads(path.read_text(encoding="utf-8"))
            if self.row["settings"] != settings:
                raise MostError("output", path.parent, "holds a cell of other settings; choose another output")
        else:
            self._write()

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.row["seconds"][step] = round(self.row["seconds"].get(step, 0.0) + time.perf_counter() - start, 1)
            self._write()

    def _write(self) -> None:
        write_text(self.path, json.dumps(self.row, indent=1) + "\n")
