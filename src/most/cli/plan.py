"""`most plan`: what a recipe needs and how long it takes, before it runs. `most bench`: rates it can be planned by."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from most.cli.model import Overrides

Shape = Annotated[
    Path | None, typer.Option(help="Sizes of a model that is not there yet; shape.yaml or backbone.yaml beside RECIPE.")
]
Tokens = Annotated[int | None, typer.Option(help="Tokens of an example; else from the data, or max_length.")]


def plan(
    recipe: Path,
    overrides: Overrides = None,
    gpus: Annotated[int, typer.Option(help="How many devices.")] = 1,
    gpu: Annotated[str, typer.Option(help="H100, H200, A100-80, A100-40, L40S, RTX4090; cpu: this machine.")] = "cpu",
    bench: Annotated[Path | None, typer.Option(help="Rates that `most bench` measured.")] = None,
    shape: Shape = None,
    tokens: Tokens = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Parameters, memory, FLOPs and hours of a recipe on given hardware. Loads no weights."""
    from most.plan.batches import assumed
    from most.plan.machines import CPU, read_rates, stated_rates
    from most.plan.plan import plan as run
    from most.plan.rates import measure_rates
    from most.plan.shape import find_config
    from most.plan.text import as_text
    from most.settings import load_recipe
    from most.train.recipe import TrainRecipe

    read = load_recipe(TrainRecipe, recipe, overrides or ())
    config, _ = find_config(read.model, recipe, shape)
    if bench is not None:
        rates = read_rates(bench)
    else:
        rates = measure_rates(CPU) if gpu.lower() == CPU else stated_rates(gpu)
    batches = None if tokens is None else assumed(read, tokens)
    device = CPU if gpu.lower() == CPU else gpu
    made = run(read, config, rates, device=device, n_devices=gpus, batches=batches)
    print(jsonlib.dumps(made.to_json()) if json else as_text(made))


def bench(
    recipe: Path,
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="File to write; `most plan --bench` reads it.")] = Path("bench.json"),
    device: Annotated[str | None, typer.Option(help="torch's name; the first GPU, else the CPU.")] = None,
    layers: Annotated[int | None, typer.Option(help="Decoder layers; two with experts when left out.")] = None,
    shape: Shape = None,
    tokens: Tokens = None,
) -> None:
    """Measure this machine: products, memory, and a training step of the recipe's model at reduced depth."""
    from most.plan.batches import assumed
    from most.plan.bench import bench as run
    from most.plan.machines import rates_to_json
    from most.plan.shape import find_config
    from most.settings import load_recipe
    from most.train.recipe import TrainRecipe

    read = load_recipe(TrainRecipe, recipe, overrides or ())
    config, _ = find_config(read.model, recipe, shape)
    batches = None if tokens is None else assumed(read, tokens)
    found = run(read, config, device=device, layers=layers, batches=batches)
    out.write_text(rates_to_json(found.rates, found.about()), encoding="utf-8")
    r = found.rates
    print(f"products: {r.full_flops / 1e9:,.0f} GFLOP/s in float32, {r.half_flops / 1e9:,.0f} in bf16")
    print(f"memory: {r.bandwidth / 1e9:,.1f} GB/s; an operation: {1e6 * r.kernel_seconds:.1f} us")
    print(f"a step of {found.layers} layers, {found.rows} x {found.width}: {found.measured:.3f} s, ", end="")
    print(f"{r.step_ratio:.2f} times what these rates alone predict. Written to {out}")


def report(run: Annotated[Path, typer.Argument(help="A training run's output folder, finished or not.")]) -> None:
    """Write report.html of a training run: losses, routing over time, incidents, estimate and measured."""
    from most.train.watch.report import write_run_report

    print(write_run_report(run))


VERBS = (plan, bench, report)
