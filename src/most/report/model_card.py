"""A model's card: text written by hand, with figures that nobody types in.

The template names what is filled in, such as `{{scores}}`; figures come from the model's folder, the results of
`most eval`, the histories of the runs and the sums of `most data build`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from most.convert.info import describe
from most.errors import MostError, nearest
from most.evaluate.report.lines import Line, duration, families, lines
from most.evaluate.report.results import Results, load_results
from most.evaluate.score import Score
from most.files import read_lines, write_text
from most.report.figures import loss_curves
from most.report.markdown import table

CURVES = "curves.svg"


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What a score was to be.

    Args:
        task, metric: of the evaluation.
        at_most, at_least: the bound; one of them. Shares, as in `results.json`: 0.1 is ten per cent.
        of_baseline: the bound is a multiple of the baseline's score.
        title: what is aimed at, in words.
    """

    task: str
    metric: str
    title: str
    at_most: float | None = None
    at_least: float | None = None
    of_baseline: bool = False

    def __post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise MostError("aims", self.title, "give at_most or at_least")

    def met(self, value: float) -> bool:
        return value <= self.at_most if self.at_most is not None else value >= (self.at_least or 0.0)


@dataclass(frozen=True, kw_only=True)
class CardRecipe:
    """Where the figures of a card are.

    Args:
        model: the folder whose README.md is written.
        template: Markdown with placeholders.
        evaluation: what `most eval` wrote for this model.
        baseline: the same for the model that aims of text are measured against.
        stages: outputs of `most train`, in their order.
        data: outputs of `most data build`; the sets of those behind the first are listed as `FOLDER/SET`.
        hardware: what the training ran on, in words.
    """

    model: Path
    template: Path
    evaluation: Path
    baseline: Path | None = None
    stages: tuple[Path, ...]
    data: tuple[Path, ...]
    hardware: str
    aims: tuple[Aim, ...] = ()


def write_card(recipe: CardRecipe, *, echo: Callable[[str], Any] = print) -> Path:
    """Fill the template and write README.md, and the curves beside it.

    Raises:
        MostError: a placeholder that is not known, or figures that are not there.
    """
    results = load_results(recipe.evaluation)
    parts: dict[str, Callable[[], str]] = {
        "size": lambda: _size(recipe.model),
        "shape": lambda: _shape(recipe.model),
        "aims": lambda: _aims(recipe, results),
        "scores": lambda: _scores(results),
        "training": lambda: _training(recipe),
        "curves": lambda: _curves(recipe),
        "data": lambda: _data(recipe.data),
    }

    def filled(found: re.Match[str]) -> str:
        name = found[1]
        if name not in parts:
            raise MostError("template", f"{{{{{name}}}}}", nearest(name, parts))
        return parts[name]()

    text = re.sub(r"\{\{(\w+)\}\}", filled, recipe.template.read_text(encoding="utf-8"))
    path = recipe.model / "README.md"
    write_text(path, text)
    echo(f"card: {path}")
    return path


def _size(model: Path) -> str:
    n_bytes = sum(p.stat().st_size for p in model.rglob("*.safetensors"))
    return f"{n_bytes / 1e6:.1f} MB with its codec"


def _shape(model: Path) -> str:
    counts = describe(model)["parameters"]
    parts = [*counts["parts"].items(), ("**all**", counts)]
    rows = [
        (name.replace("_", " "), *(f"{part[k] / 1e6:.2f} M" for k in ("total", "active_text", "active_audio")))
        for name, part in parts
        if part["total"]
    ]
    return "\n".join(table(("parameters", "all", "used by a text token", "used by an audio token"), rows))


def _aims(recipe: CardRecipe, results: Results) -> str:
    base = load_results(recipe.baseline) if recipe.baseline is not None else None
    rows = []
    for aim in recipe.aims:
        line = _line(results, aim)
        score, shown = line.score.value, line.value
        bound = aim.at_most if aim.at_most is not None else aim.at_least
        wanted = f"{bound:.2f} x" if aim.of_baseline else f"{bound:.0%}" if line.score.unit == "%" else f"{bound:g}"
        if aim.of_baseline:
            if base is None:
                raise MostError("baseline", None, f"{aim.title!r} is measured against it; name its evaluation")
            score /= _line(base, aim).score.value
            shown = f"{score:.2f} x"
        sign = "≤" if aim.at_most is not None else "≥"
        rows.append((aim.title, f"{sign} {wanted}", f"**{shown}**", "met" if aim.met(score) else "missed"))
    return "\n".join(table(("aim", "", "measured", ""), rows))


def _line(results: Results, aim: Aim) -> Line:
    tasks = {t.name: t for t in results.tasks}
    if aim.task not in tasks:
        raise MostError("aims.task", aim.task, nearest(aim.task, tasks))
    found = {line.score.metric: line for line in lines(tasks[aim.task])}
    if aim.metric not in found:
        raise MostError("aims.metric", aim.metric, nearest(aim.metric, found))
    return found[aim.metric]


def _scores(results: Results) -> str:
    rows = []
    for _, _, tasks in families(results):
        for task in tasks:
            rows += [
                (line.task, line.metric, f"**{line.value}**", line.interval, line.count)
                for line in lines(task)
                if _telling(line.score)
            ]
    return "\n".join(table(("task", "metric", "score", "95 % interval", "items"), rows))


def _telling(score: Score) -> bool:
    return score.better is not None or "originals" in score.metric


def _training(recipe: CardRecipe) -> str:
    rows, total = [], 0.0
    for stage in recipe.stages:
        history = _history(stage)
        settings = json.loads((stage / "recipe.json").read_text(encoding="utf-8"))
        tokens = sum(row["tokens"] for row in history)  # each of the steps since the row before
        seconds = sum(row["tokens"] / row["tokens_per_second"] for row in history)
        total += seconds
        rows.append(
            (
                stage.name, f"{history[-1]['step']:,.0f}", f"{settings['batch_size'] * history[-1]['step']:,.0f}",
                f"{tokens / 1e6:.1f} M", duration(seconds), " ".join(f"{k} {v:g}" for k, v in _mixture(settings)),
            )
        )  # fmt: skip
    head = ("stage", "steps", "examples", "tokens", "time", "mixture, in examples")
    return f"On {recipe.hardware}, {duration(total)} in all.\n\n" + "\n".join(table(head, rows))


def _mixture(settings: dict[str, Any]) -> Sequence[tuple[str, float]]:
    return list(settings["data"]["mixture"].items())


def _history(stage: Path) -> list[dict[str, float]]:
    rows = [r for r in read_lines(stage / "history.jsonl") if "tokens_per_second" in r]
    if not rows:
        raise MostError("stages", stage, "holds no history.jsonl with steps; name the output of a training")
    return rows


def _curves(recipe: CardRecipe) -> str:
    curves: dict[str, list[tuple[float, float]]] = {}
    start = 0.0
    for stage in recipe.stages:
        history = _history(stage)
        for row in history:
            for kind in ("text_loss", "audio_loss"):
                if kind in row:
                    curves.setdefault(kind.replace("_", " "), []).append((start + row["step"], row[kind]))
        start += history[-1]["step"]
    names = ", ".join(stage.name for stage in recipe.stages)
    figure = loss_curves(curves, title=f"Loss, {names} one after the other", log_y=True)
    # As a file of its own it brings its ground along: the page behind it may be dark.
    svg = figure.svg.replace("<svg ", '<svg style="background:#fff" ', 1)
    write_text(recipe.model / CURVES, svg)
    return f"![Loss of text and audio tokens over {names}]({CURVES})"


def _data(folders: Sequence[Path]) -> str:
    rows = []
    for k, folder in enumerate(folders):
        path = folder / "build.json"
        if not path.is_file():
            raise MostError("data", folder, "holds no build.json; name the output of a finished `most data build`")
        for name, step in json.loads(path.read_text(encoding="utf-8"))["steps"].items():
            for file, found in step.get("examples", {}).items():
                tasks = ", ".join(f"{n:,} {task}" for task, n in found["tasks"].items())
                hours = f"{found['hours']:.2f}" if found["hours"] else ""
                split = "" if file == "train.jsonl" else f" ({file.removesuffix('.jsonl')})"
                where = f"{folder.name}/" if k else ""
                rows.append((where + name + split, tasks, hours, len(found["speakers"]) or ""))
    return "\n".join(table(("set", "examples", "hours", "voices"), rows))
