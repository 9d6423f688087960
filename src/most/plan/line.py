"""The estimate that a training run prints before its first step and leaves in its folder, for its report."""

from __future__ import annotations

import json
from typing import Any

import torch

from most.model.configuration import MostConfig
from most.plan.batches import Batches, assumed, measured
from most.plan.bench import bench
from most.plan.machines import CPU, GPUS, Rates, read_rates, stated_rates
from most.plan.plan import plan
from most.plan.rates import device_name, measure_rates
from most.plan.shape import wrapped
from most.plan.text import headline
from most.train.recipe import TrainRecipe

PLAN, BENCH = "plan.json", "bench.json"


def estimate_line(recipe: TrainRecipe, model: Any, n_devices: int = 1) -> str:
    """The estimate in one line; all of it goes to `<output>/plan.json`.

    Rates are those of `<output>/bench.json` where `most bench` wrote one. Else a CPU is measured now, as `most bench`
    would, which takes a few steps' time; a GPU's are stated ones, for its memory is the training's.

    Args:
        model: the one that will be trained; only its config is read.
    """
    config, batches = wrapped(model.config), measured(recipe) or assumed(recipe)
    with torch.random.fork_rng(devices=[]):  # training goes on from the state that it had
        device, rates = _device(recipe, config, batches)
        made = plan(recipe, config, rates, device=device, n_devices=n_devices, batches=batches)
    recipe.output.mkdir(parents=True, exist_ok=True)
    (recipe.output / PLAN).write_text(json.dumps(made.to_json(), indent=1) + "\n", encoding="utf-8")
    return headline(made)


def _device(recipe: TrainRecipe, config: MostConfig, batches: Batches) -> tuple[str, Rates]:
    device = "cuda" if torch.cuda.is_available() else CPU
    if (recipe.output / BENCH).is_file():
        return device, read_rates(recipe.output / BENCH)
    if device == CPU:
        return CPU, bench(recipe, config, device=CPU, batches=batches).rates
    # A GPU's network cannot be measured alone; the table knows what it has.
    name = device_name(device).upper().replace(" ", "")
    stated = next((g for g in ("H200", "H100", "L40S", "RTX4090") if g in name and g in GPUS), None)
    stated = stated or ("A100-80" if "A100" in name and "80" in name else "A100-40" if "A100" in name else None)
    return device, stated_rates(stated) if stated else measure_rates(device)
