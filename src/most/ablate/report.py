"""The report of a grid: verdicts, differences with intervals, every variant's values, learning curves, routing.

Three forms of one thing: `results.json`, `report.md` and `report.html`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from most.ablate.cell import Cell, backbones_of, seconds_of, variants_of
from most.ablate.compare import Value, value_of
from most.ablate.measure import read_measures
from most.ablate.recipe import AblateRecipe
from most.ablate.verdict import RULE, Answered, Comparison, Judged, judge
from most.convert.info import describe
from most.files import read_lines, write_text
from most.report.figures import loss_curves, routing_heatmap
from most.report.forest import forest
from most.report.markdown import table
from most.report.page import Bullets, Details, Facts, Figure, Piece, Report, Section, Table, Text, write_report
from most.settings import to_plain
from most.train.watch.routing import read_routing

RESULTS = "results.json"
Values = Mapping[str, Mapping[str, Value]]
"""measure -> variant -> value."""


def write_ablation(recipe: AblateRecipe) -> Path:
    """Compare what has been measured and write the three reports. Returns the page.

    Raises:
        MostError: a cell that has not been measured, or the extra `report` is missing.
    """
    measured = read_measures(recipe)
    judged, answered = judge(recipe, measured)
    values = {m: {v: value_of(cells) for v, cells in of.items()} for m, of in measured.items()}
    sizes = {v: _size(recipe, v) for v in recipe.variants}
    minutes = _minutes(recipe)
    write_text(
        recipe.output / RESULTS,
        json.dumps(_results(recipe, values, judged, answered, sizes, minutes), indent=1) + "\n",
    )
    write_text(recipe.output / "report.md", _markdown(recipe, values, judged, answered, sizes, minutes))
    sections = [
        Section(title="Verdicts", pieces=_verdicts(judged, answered)),
        Section(title="Values", pieces=_values(recipe, values, sizes)),
        Section(title="Learning curves", pieces=_curves(recipe)),
        Section(title="Routing", pieces=_routing(recipe)),
        Section(title="How it was done", pieces=_how(recipe, minutes)),
    ]
    training = recipe.training("", Path(), Path(), 0)
    report = Report(
        title="Ablations",
        summary=f"{len(recipe.variants)} models that differ in one thing each, with {len(recipe.seeds)} seeds, each "
        f"trained {training.steps} steps of {training.batch_size} examples on the same data in the same order.",
        sections=sections,
        numbers=[
            (word, sum(j.verdict == word for j in judged), f"of {len(judged)} claims")
            for word in ("reproduced", "not reproduced", "undecided")
        ],
        footer="Made by `most ablate`.",
    )
    return write_report(recipe.output / "report.html", report)


COLUMNS = ("compared", "measure", "difference", "95 % interval", "of it", "p", "p adjusted", "seeds agree", "counts")


def _row(test: Comparison, values_of_second: float) -> list[object]:
    r = test.result
    counts = {-1: "better", 0: "undecided", 1: "worse"}[test.counts]
    return [
        f"{test.first} - {test.second}", test.measure, f"{r.difference:+.4f}", f"{r.low:+.4f} to {r.high:+.4f}",
        f"{100 * r.difference / max(values_of_second, 1e-12):+.1f} %", f"{r.p:.4f}", f"{test.p_adjusted:.4f}",
        f"{r.agree} of {len(r.by_seed)}", counts,
    ]  # fmt: skip


def _rows(tests: Sequence[Comparison], values: Values) -> list[list[object]]:
    return [_row(t, values[t.measure][t.second].value) for t in tests]


def _verdicts(judged: Sequence[Judged], answered: Answered | None) -> list[Piece]:
    pieces: list[Piece] = [
        Table(
            columns=["claim", "made by", "compared", "verdict", "because"],
            rows=[
                [j.claim.says, j.claim.source, f"{j.claim.better} - {j.claim.worse}", j.verdict, j.why] for j in judged
            ],
            note=RULE,
        )
    ]
    for j in judged:
        pieces.append(_differences(j.claim.says, j.tests))
    if answered is not None:
        pieces += [Text(text=f"{answered.question.asks} {answered.text}")]
        for measure in answered.question.measures:
            tests = [t for t in answered.tests if t.measure == measure]
            pieces.append(_differences(f"Against {answered.question.among[0]}: {measure}", tests, by_variant=True))
    return pieces


def _differences(title: str, tests: Sequence[Comparison], *, by_variant: bool = False) -> Figure:
    names = [t.first if by_variant else t.measure for t in tests]
    rows = {n: (t.result.difference, t.result.low, t.result.high) for n, t in zip(names, tests, strict=True)}
    dots = {n: t.result.by_seed for n, t in zip(names, tests, strict=True)}
    caption = "Left of zero the first is better. Bars: 95 % interval over seeds and examples; ticks: single seeds."
    return forest(rows, title=title, x_label="difference (first minus second)", caption=caption, dots=dots, line=0.0)


def _values(recipe: AblateRecipe, values: Values, sizes: Mapping[str, tuple[int, int]]) -> list[Piece]:
    pieces: list[Piece] = [
        Bullets(items=[f"{name}: {v.about}" for name, v in recipe.variants.items()]),
        Table(
            columns=["variant", *values, "M parameters", "M active"],
            rows=[[v, *(f"{values[m][v].value:.4f}" for m in values), *_millions(sizes[v])] for v in recipe.variants],
            note="Means over seeds; lower is better. Losses are nats a label. Active: weights that a text token uses.",
        ),
    ]
    first = next(iter(recipe.variants))
    for m, of in values.items():
        rows = {v: (x.value, x.low, x.high) for v, x in of.items()}
        dots = {v: x.by_seed for v, x in of.items()}
        pieces.append(
            forest(rows, title=m, x_label=_unit(m), caption=f"The line is {first}; ticks are single seeds.", dots=dots,
                   line=of[first].value)
        )  # fmt: skip
    return pieces


def _unit(measure: str) -> str:
    return "word error rate" if measure.endswith("/wer") else "loss (nats a label)"


def _curves(recipe: AblateRecipe) -> list[Piece]:
    """Held-out loss on the way, mean over seeds; for each claim its two variants, else all of them."""
    if recipe.training("", Path(), Path(), 0).held_out is None:
        return [Text(text="The recipe's training has no `held_out`, so there is nothing to draw.")]
    curves = {v: _curve(recipe, v) for v in recipe.variants}
    tasks = next(iter(curves.values()))
    pairs = dict.fromkeys((c.better, c.worse) for c in recipe.claims) or {tuple(recipe.variants): None}
    return [
        loss_curves({v: curves[v][task] for v in pair}, title=f"{task}: {', '.join(pair)}", smooth=False)
        for pair in pairs
        for task in tasks
    ]


def _curve(recipe: AblateRecipe, variant: str) -> dict[str, list[tuple[float, float]]]:
    points: dict[str, dict[int, list[float]]] = {}
    for seed in recipe.seeds:
        path = Cell("", variant, seed).folder(recipe.output) / "train" / "held_out.jsonl"
        for row in read_lines(path):
            for task, loss in row["loss"].items():
                if row["step"]:
                    points.setdefault(task, {}).setdefault(row["step"], []).append(loss)
    return {t: [(float(s), float(np.mean(x))) for s, x in sorted(of.items())] for t, of in points.items()}


def _routing(recipe: AblateRecipe) -> list[Piece]:
    pieces: list[Piece] = []
    seed = recipe.seeds[0]
    for variant in recipe.variants:
        history = read_routing(Cell("", variant, seed).folder(recipe.output) / "train")
        if history is None or history.groups.shape[1] < 2:
            continue
        last = max(1, len(history.steps) // 5)
        pieces.append(
            routing_heatmap(
                np.asarray(history.counts[-last:]).sum(axis=0), history.groups, title=variant,
                caption=f"{recipe.variants[variant].about}. Picks of the last fifth of training, seed {seed}.",
            )
        )  # fmt: skip
    return pieces or [Text(text="No variant has experts to choose from.")]


def _how(recipe: AblateRecipe, minutes: float) -> list[Piece]:
    return [
        Facts(
            items={
                "seeds": ", ".join(map(str, recipe.seeds)),
                "time": f"{minutes:.0f} minutes of training and conversion in all, {recipe.workers} cells at a time",
                "weights and first models": "a seed draws them, the conversion's new rows and the order of examples",
            }
        ),
        Details(summary="The recipe", text=json.dumps(to_plain(recipe), indent=1)),
    ]


def _markdown(
    recipe: AblateRecipe,
    values: Values,
    judged: Sequence[Judged],
    answered: Answered | None,
    sizes: Mapping[str, tuple[int, int]],
    minutes: float,
) -> str:
    lines = ["# Ablations", "", RULE, "", "## Verdicts", ""]
    lines += table(
        ["claim", "compared", "verdict", "because"],
        [[j.claim.says, f"{j.claim.better} against {j.claim.worse}", f"**{j.verdict}**", j.why] for j in judged],
    )
    lines += ["", "## Differences", ""]
    lines += table(COLUMNS, [row for j in judged for row in _rows(j.tests, values)])
    if answered is not None:
        lines += ["", f"## {answered.question.asks}", "", answered.text, ""]
        lines += table(COLUMNS, _rows(answered.tests, values))
    lines += ["", "## Values", "", "Mean over seeds with the 95 % interval; lower is better.", ""]
    rows = [
        [v, *(f"{x.value:.4f} ({x.low:.4f} to {x.high:.4f})" for x in (values[m][v] for m in values)),
         *_millions(sizes[v])]
        for v in recipe.variants
    ]  # fmt: skip
    lines += table(["variant", *values, "M parameters", "M active"], rows)
    lines += ["", f"{minutes:.0f} minutes of training and conversion in all.", ""]
    return "\n".join(lines)


def _results(
    recipe: AblateRecipe,
    values: Values,
    judged: Sequence[Judged],
    answered: Answered | None,
    sizes: Mapping[str, tuple[int, int]],
    minutes: float,
) -> dict[str, Any]:
    def test(t: Comparison) -> dict[str, Any]:
        return {**to_plain(t.result), "first": t.first, "second": t.second, "measure": t.measure,
                "p_adjusted": t.p_adjusted, "counts": t.counts}  # fmt: skip

    return {
        "claims": [
            {**to_plain(j.claim), "verdict": j.verdict, "because": j.why, "tests": [test(t) for t in j.tests]}
            for j in judged
        ],
        "open_question": None if answered is None else {
            **to_plain(answered.question), "answer": answered.text, "gain": dict(answered.gain),
            "tests": [test(t) for t in answered.tests],
        },
        "values": {m: {v: to_plain(x) for v, x in of.items()} for m, of in values.items()},
        "parameters": {v: {"total": n, "active_text": active} for v, (n, active) in sizes.items()},
        "minutes": round(minutes, 1),
    }  # fmt: skip


def _size(recipe: AblateRecipe, variant: str) -> tuple[int, int]:
    """Parameters without the audio encoder, and those that a text token uses."""
    parts = describe(Cell("", variant, recipe.seeds[0]).model(recipe.output))["parameters"]["parts"]
    kept = [p for name, p in parts.items() if name != "audio_encoder"]
    return sum(p["total"] for p in kept), sum(p["active_text"] for p in kept)


def _millions(sizes: tuple[int, int]) -> list[str]:
    return [f"{n / 1e6:.2f}" for n in sizes]


def _minutes(recipe: AblateRecipe) -> float:
    cells = (*backbones_of(recipe), *variants_of(recipe))
    return sum(sum(seconds_of(c.folder(recipe.output)).values()) for c in cells) / 60
