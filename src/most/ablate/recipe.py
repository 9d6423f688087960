"""What a grid of ablations may say, checked whole before anything is trained.

A variant differs from the others in its backbone or its conversion; data, steps and seeds are the grid's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from most.convert.backbone import BackboneRecipe
from most.convert.settings import ConvertSettings
from most.errors import MostError, nearest
from most.settings import build
from most.train.recipe import HeldOutSettings, TrainRecipe

if TYPE_CHECKING:
    from most.evaluate.recipe import EvalRecipe

OWN_OF_A_CELL = ("model", "output", "seed")


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """What variants are converted from: a checkpoint, or one that the grid makes.

    Args:
        path: folder or hub id of a checkpoint; the same for every seed.
        init: settings of `most init` without `output` and `seed`: a fresh backbone for each seed.
        train: settings of `most train` without model, output and seed, by which it first learns text (stage 0).
    """

    path: str | None = None
    init: dict[str, Any] | None = None
    train: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.init is None):
            raise MostError("backbone", self.path, "give either the path of a checkpoint or `init`")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One column of the grid.

    Args:
        about: what it is, in a line, for the report.
        convert: settings of `most convert` that win over the grid's.
    """

    backbone: str
    about: str
    convert: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement that one variant is better than another, and what it is judged by.

    Args:
        says: the claim in words.
        source: who makes it.
        better, worse: variants.
        measures: keys of `losses`, or `TASK/wer` of the grid's tasks. All of them together decide.
    """

    says: str
    source: str
    better: str
    worse: str
    measures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AblateRecipe:
    """A grid.

    Args:
        backbones, variants: by name; the first variant is what the others are shown against.
        convert: settings of every conversion.
        train: settings of every variant's training without model, output and seed.
        losses: what the loss of each example is measured on, by name.
        tasks: evaluations of every variant, as in a recipe of `most eval`.
        claims: what the report must answer.
        open_question: variants of which the best is looked for, and the measures that say which it is.
        seeds: of weights, conversion and order of examples.
        workers: cells at a time; threads: of each, the cores divided by the workers when absent.
        keep: `final` removes a cell's checkpoints and its converted start once it is trained; `all` keeps them.
        codec: folder of the speech codec; the shipped one when absent.
    """

    output: Path
    backbones: dict[str, Backbone]
    variants: dict[str, Variant]
    train: dict[str, Any]
    convert: dict[str, Any] = field(default_factory=dict)
    losses: dict[str, HeldOutSettings] = field(default_factory=dict)
    tasks: dict[str, Any] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    open_question: OpenQuestion | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    workers: int = 1
    threads: int | None = None
    keep: Literal["final", "all"] = "final"
    codec: Path | None = None

    def __post_init__(self) -> None:
        if len(self.variants) < 2:
            raise MostError("variants", list(self.variants), "needs at least two to compare")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise MostError("seeds", self.seeds, "must be different numbers, at least one")
        for name in ("workers", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise MostError(name, value, "must be at least 1")
        if not self.losses and not self.tasks:
            raise MostError("losses", self.losses, "nothing would be measured; give losses or tasks")
        for name, variant in self.variants.items():
            if variant.backbone not in self.backbones:
                where = f"variants.{name}.backbone"
                raise MostError(where, variant.backbone, nearest(variant.backbone, self.backbones))
            for seed in self.seeds:
                self.conversion(name, seed)
        for k, claim in enumerate(self.claims):
            for name in (claim.better, claim.worse):
                if name not in self.variants:
                    raise MostError(f"claims[{k}]", name, nearest(name, self.variants))
            self._check_measures(f"claims[{k}].measures", claim.measures)
        if self.open_question is not None:
            for name in self.open_question.among:
                if name not in self.variants:
                    raise MostError("open_question.among", name, nearest(name, self.variants))
            self._check_measures("open_question.measures", self.open_question.measures)
        self.training("", Path("model"), Path("output"), 0)
        if self.tasks:
            self.evaluation(Path("output"))
        for name, backbone in self.backbones.items():
            if backbone.init is not None:
                self.fresh(name, Path("output"), 0)
            if backbone.train is not None:
                self.training(name, Path("model"), Path("output"), 0)

    @property
    def measures(self) -> list[str]:
        """What is measured: the names of `losses`, and `TASK/wer` for each task."""
        return [*self.losses, *(f"{name}/wer" for name in self.tasks)]

    def fresh(self, backbone: str, output: Path, seed: int) -> BackboneRecipe:
        """The recipe of a fresh backbone."""
        tree = self.backbones[backbone].init
        _refuse(tree, ("output", "seed"), f"backbones.{backbone}.init")
        return build(BackboneRecipe, {**(tree or {}), "output": output, "seed": seed}, f"backbones.{backbone}.init")

    def training(self, backbone: str, model: Path, output: Path, seed: int) -> TrainRecipe:
        """The recipe of a backbone's first training or, for the name "", of every variant's."""
        tree, where = self.train, "train"
        if backbone:
            tree, where = self.backbones[backbone].train, f"backbones.{backbone}.train"
        _refuse(tree, OWN_OF_A_CELL, where)
        return build(TrainRecipe, {**(tree or {}), "model": model, "output": output, "seed": seed}, where)

    def conversion(self, variant: str, seed: int) -> ConvertSettings:
        """The settings of a variant's conversion."""
        tree = {**self.convert, **self.variants[variant].convert}
        _refuse(tree, ("seed",), f"variants.{variant}.convert")
        return build(ConvertSettings, {**tree, "seed": seed}, f"variants.{variant}.convert")

    def evaluation(self, output: Path) -> EvalRecipe:
        """The recipe by which a cell's tasks are run."""
        from most.evaluate.recipe import EvalRecipe

        recipe = EvalRecipe(tasks=self.tasks, output=output, codec=self.codec)
        for resolved in recipe.resolved():
            if resolved.tree["family"] != "asr":
                remedy = "cannot be compared item by item yet; name tasks of family asr"
                raise MostError(f"tasks.{resolved.name}.family", resolved.tree["family"], remedy)
        return recipe

    def _check_measures(self, where: str, measures: tuple[str, ...]) -> None:
        if not measures:
            raise MostError(where, measures, "names nothing to judge by")
        for measure in measures:
            if measure not in self.measures:
                raise MostError(where, measure, nearest(measure, self.measures))


@dataclass(frozen=True, kw_only=True)
class OpenQuestion:
    """A question without a favourite: which of these variants is best?"""

    asks: str
    among: tuple[str, ...]
    measures: tuple[str, ...]


def _refuse(tree: dict[str, Any] | None, names: tuple[str, ...], where: str) -> None:
    for name in names:
        if tree and name in tree:
            raise MostError(f"{where}.{name}", tree[name], "is set by the grid for each of its cells; leave it out")
