"""`report.html` of a training run, from what lies in its folder: finished, under way or broken off."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from most.errors import MostError
from most.files import read_lines
from most.plan.line import PLAN
from most.plan.text import hours, short, size
from most.report.figures import loss_curves, routing_heatmap
from most.report.heatmaps import use_over_time
from most.report.page import Bullets, Details, Facts, Figure, Piece, Report, Section, Table, Text, write_report
from most.train.watch.routing import RoutingHistory, dead, evenness, read_routing

REPORT = "report.html"
_LAST = 0.1
"""Share of a run, its last, that final figures are means of."""
_LAYERS = 4
"""Layers drawn over time; the others are in the arrays."""
_POINTS = 1500
"""Points of a curve; more would make the page heavy and no clearer."""


def write_run_report(output: Path) -> Path:
    """Write `<output>/report.html`. Needs the extra `report`.

    Raises:
        MostError: the folder holds no run, or nothing of it was logged yet.
    """
    output = Path(output)
    if not (output / "recipe.json").is_file():
        raise MostError("run", output, "holds no recipe.json; give the output folder of a training run")
    recipe = json.loads((output / "recipe.json").read_text(encoding="utf-8"))
    history = read_lines(output / "history.jsonl")
    if not history:
        raise MostError("run", output, "has no line in history.jsonl yet; wait for its first log line")
    plan = json.loads((output / PLAN).read_text(encoding="utf-8")) if (output / PLAN).is_file() else None
    incidents, routing = read_lines(output / "incidents.jsonl"), read_routing(output)
    sections = [
        Section(title="Losses", pieces=_losses(history, read_lines(output / "held_out.jsonl"))),
        Section(title="Optimisation", pieces=_optimisation(history)),
        Section(title="Speed", pieces=_speed(history, plan)),
        *([Section(title="Routing", pieces=_routing(routing))] if routing is not None else []),
        Section(title="Incidents", pieces=[_incidents(incidents)]),
        Section(title="What was trained", pieces=_what(recipe, plan)),
    ]
    done, steps = int(history[-1]["step"]), int(recipe["steps"])
    state = "finished" if (output / "final").exists() else f"{done:,} of {steps:,} steps so far"
    report = Report(
        title=f"Training run {output.name}",
        summary=f"{recipe['model']}, {state}.",
        numbers=_tiles(history, done, steps, incidents),
        sections=sections,
        footer=f"Made by `most report {output}` from the files beside it: history.jsonl, routing/, incidents.jsonl.",
    )
    return write_report(output / REPORT, report)


def _tiles(history: Sequence[dict[str, Any]], done: int, steps: int, incidents: Sequence[Any]) -> list[Any]:
    tiles: list[tuple[str, object, str]] = [("steps", f"{done:,}", f"of {steps:,}")]
    for name in ("text", "audio"):
        if (value := _final(history, f"{name}_loss")) is not None:
            tiles.append(
                (f"{name} loss", f"{value:.3f}", f"nats a token; at first {_first(history, f'{name}_loss'):.3f}")
            )
    if (rate := _final(history, "tokens_per_second")) is not None:
        tiles.append(("speed", f"{short(rate)} tokens/s", "without padding"))
    tiles.append(("incidents", len(incidents), "bad steps, unsaved checkpoints"))
    return tiles


def _losses(history: Sequence[dict[str, Any]], held_out: Sequence[dict[str, Any]]) -> list[Piece]:
    by_modality = {n: _points(history, f"{n}_loss") for n in ("text", "audio")}
    by_task = {k.removeprefix("loss/"): _points(history, k) for k in _keys(history, "loss/")}
    pieces: list[Piece | None] = [
        _curves(by_modality, "Loss by modality of the label", "nats per token"),
        _curves(by_task, "Loss by task", "nats per token"),
        _curves(_held_out(held_out), "Loss on held-out examples", "nats per token"),
        _curves({"CTC": _points(history, "ctc_loss")}, "CTC loss of transcripts", "nats per token"),
        _curves(
            {"balance loss": _points(history, "balance_loss")}, "Balance loss", "weighted",
            "Evenness of expert use within each group, for each sequence; lower is more even.",
        ),
    ]  # fmt: skip
    return _there(pieces) or [Text(text="No finite loss was logged.")]


def _held_out(rows: Sequence[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    out: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for task, loss in row.get("loss", {}).items():
            out.setdefault(task, []).append((row["step"], loss))
    return out


def _optimisation(history: Sequence[dict[str, Any]]) -> list[Piece]:
    parts = {k.removeprefix("grad_norm/").replace("_", " "): _points(history, k) for k in _keys(history, "grad_norm/")}
    return _there(
        [
            _curves(
                {"learning rate": _points(history, "learning_rate")}, "Learning rate", "learning rate", smooth=False
            ),
            _curves({"all": _points(history, "grad_norm")}, "Gradient norm", "norm before clipping", log_y=True),
            _curves(parts, "Gradient norm by part", "norm before clipping", log_y=True),
        ]
    )


def _speed(history: Sequence[dict[str, Any]], plan: dict[str, Any] | None) -> list[Piece]:
    shares = {
        "padding": "padding", "loader wait": "loader_wait", "share of peak": "share_of_peak"
    }  # fmt: skip
    pieces: list[Piece | None] = [
        _curves({"tokens a second": _points(history, "tokens_per_second")}, "Throughput", "tokens a second"),
        _curves(
            {name: [(s, 100 * v) for s, v in _points(history, key)] for name, key in shares.items()},
            "Padding, waiting and use of the machine", "%",
            "Padding: of all positions. Loader wait: of the time. Share of peak: FLOPs of the model on real tokens "
            "over the rate of matrix products measured on the machine at the start.",
        ),
    ]  # fmt: skip
    if plan is not None:
        pieces.append(_estimate(history, plan))
    return _there(pieces)


def _estimate(history: Sequence[dict[str, Any]], plan: dict[str, Any]) -> Table:
    rate = _final(history, "tokens_per_second")
    planned = plan["tokens_per_step"] / plan["time"]["total"]
    padding = 1 - plan["batches"]["tokens"] / plan["batches"]["positions"]
    rows: list[tuple[str, str, str, str]] = []
    if rate:
        step = plan["tokens_per_step"] / rate
        rows += [
            ("tokens a second", f"{planned:,.0f}", f"{rate:,.0f}", f"{rate / planned:.2f}"),
            ("seconds a step", f"{plan['time']['total']:.3g}", f"{step:.3g}", f"{step / plan['time']['total']:.2f}"),
            ("whole run", hours(plan["hours"]), hours(plan["hours"] * step / plan["time"]["total"]), ""),
        ]
    if (measured := _final(history, "padding")) is not None:
        rows.append(("padding", f"{padding:.1%}", f"{measured:.1%}", ""))
    rows.append(("memory of a device", size(plan["used"]["total"]), "not measured", ""))
    return Table(
        columns=["what", "estimate", "measured", "ratio"], rows=rows, title="Estimate and measured",
        note=f"Estimated for {plan['n_devices']} x {plan['device']}, bound by {plan['time']['bound']}; "
        f"rates: {plan['rates']['source']}. Measured: mean of the last {_LAST:.0%} of the log.",
    )  # fmt: skip


def _routing(routing: RoutingHistory) -> list[Piece]:
    last = max(1, round(len(routing.steps) * _LAST))
    layers = routing.counts.shape[1]
    recent = np.asarray(routing.counts[-last:]).sum(axis=0)
    chosen = np.unique(np.linspace(0, layers - 1, min(layers, _LAYERS)).round().astype(int))
    # A token picks within its own group, so both modalities together show each group by its own tokens.
    panels = {f"MoE layer {k}": np.asarray(routing.counts[:, k]).sum(axis=1) for k in chosen}
    even = evenness(np.asarray(routing.counts), routing.groups)
    steps = routing.steps.tolist()
    over_layers = {who: _pairs(steps, even[:, :, m]) for m, who in enumerate(("text", "audio"))}
    own_mass = np.asarray(routing.own_mass)
    mass = {who: _pairs(steps, own_mass[:, :, m]) for m, who in enumerate(("text", "audio"))}
    unused = list(zip(steps, dead(np.asarray(routing.counts)).sum(axis=1).tolist(), strict=True))
    more = f" {len(chosen)} of {layers} layers; all are in routing/counts.npy." if len(chosen) < layers else ""
    span = f"{last} counted steps up to step {routing.steps[-1]}" if last > 1 else f"step {routing.steps[-1]}"
    return _there(
        [
            routing_heatmap(
                recent, routing.groups, title="Who goes to which expert",
                caption=f"Picks in {span}; layers count mixtures only.",
            ),
            use_over_time(
                panels, {f"MoE layer {k}": routing.groups[k] for k in chosen}, steps,
                caption="Blue on the right: text experts, orange: audio experts. Dark rows are experts hardly used."
                + more,
            ),
            _curves(
                over_layers, "Evenness of load", "entropy over that of even use",
                "1: all experts of a group take the same; mean over layers.",
            ),
            _curves(
                mass, "Score that a token's own group holds", "share of the score",
                "Before the other group is left out; mean over layers.",
            ),
            _curves({"dead experts": unused}, "Experts that no token of a counted step reached", "experts, all layers"),
        ]
    )  # fmt: skip


def _pairs(steps: Sequence[int], by_layer: np.ndarray) -> list[tuple[float, float]]:
    """Steps and means over layers of values (R, layers)."""
    return list(zip(steps, by_layer.mean(axis=1).tolist(), strict=True))


def _incidents(rows: Sequence[dict[str, Any]]) -> Piece:
    if not rows:
        return Text(text="None: every step was taken and every checkpoint written.")
    table = [
        (
            int(row["step"]),
            f"{row['kind']}{': ' + row['action'] if 'action' in row else ''}",
            str(row.get("reason", "")),
            ", ".join(str(w["id"]) for w in row.get("worst", [])[:4]),
        )
        for row in rows[-50:]
    ]
    note = "All ids and losses are in incidents.jsonl." + (f" The last 50 of {len(rows)}." if len(rows) > 50 else "")
    return Table(columns=["step", "what", "why", "worst examples"], rows=table, note=note)


def _what(recipe: dict[str, Any], plan: dict[str, Any] | None) -> list[Piece]:
    data = recipe["data"]
    facts: dict[str, object] = {
        "model": recipe["model"],
        "mixture": ", ".join(f"{k} {v:g}" for k, v in data["mixture"].items()) + f" (in {data['mixture_unit']})",
        "batch": f"{recipe['batch_size']} examples, {recipe['micro_batch_size'] or recipe['batch_size']} at once",
        "precision": recipe["precision"],
        "parts that learn": ", ".join(recipe["train"]["parts"]) + (" and LoRA" if recipe["train"]["lora"] else ""),
    }
    pieces: list[Piece] = [Facts(items=facts)]
    if plan is not None:
        rows = [
            (
                part.replace("_", " "),
                *(short(row[k]) if row[k] else "" for k in ("total", "active_text", "active_audio")),
            )
            for part, row in plan["parameters"].items()
            if row["total"]
        ]
        learns = ", ".join(f"{part.replace('_', ' ')} {short(n)}" for part, n in plan["trained"].items())
        columns = ["part", "parameters", "a text token uses", "an audio token uses"]
        pieces.append(Table(columns=columns, rows=rows, title="Parameters", note=f"Learning: {learns}."))
        pieces.append(Bullets(items=plan["advice"], title="Does it fit?") if plan["advice"] else Text(text=""))
    pieces.append(Details(summary="The recipe", text=json.dumps(recipe, indent=1, ensure_ascii=False)))
    return pieces


def _curves(
    curves: dict[str, list[tuple[float, float]]], title: str, y_label: str, caption: str = "", **how: Any
) -> Figure | None:
    """None where there is no finite point."""
    kept = {n: [(s, v) for s, v in p if np.isfinite(v) and (v > 0 or not how.get("log_y"))] for n, p in curves.items()}
    kept = {n: p[:: -(-len(p) // _POINTS)] for n, p in kept.items() if p}
    return loss_curves(kept, title=title, y_label=y_label, caption=caption, **how) if kept else None


def _there(pieces: Sequence[Piece | None]) -> list[Piece]:
    return [p for p in pieces if p is not None]


def _points(history: Sequence[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(row["step"], float(row[key])) for row in history if isinstance(row.get(key), int | float)]


def _keys(history: Sequence[dict[str, Any]], prefix: str) -> list[str]:
    return sorted({key for row in history for key in row if key.startswith(prefix)})


def _final(history: Sequence[dict[str, Any]], key: str) -> float | None:
    values = [v for _, v in _points(history, key) if np.isfinite(v)]
    return float(np.mean(values[-max(1, round(len(values) * _LAST)) :])) if values else None


def _first(history: Sequence[dict[str, Any]], key: str) -> float:
    return next((v for _, v in _points(history, key) if np.isfinite(v)), float("nan"))
