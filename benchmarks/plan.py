"""What `most plan` predicts against what training does: seconds a step, and memory.

    most demo --out runs/demo                                 # once, for its data and its model before training
    python benchmarks/plan.py recipes/demo/stage1.yaml --steps 200

Measures the machine's rates (`most bench`, which times a step of the model at reduced depth), plans the recipe with
them, then trains that many steps of it in a process of its own. Prints predicted, measured and their ratio: seconds of
a step (mean), and how far anonymous memory grew until the last step, at its peak over what it was before loading.
Micro-batches differ in size, so the planned ones and the real ones are the same first steps of the recipe.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from most.plan.batches import measured
from most.plan.bench import bench
from most.plan.line import BENCH
from most.plan.machines import CPU, rates_to_json
from most.plan.plan import plan
from most.plan.shape import find_config
from most.plan.text import as_text, size
from most.settings import load_recipe
from most.train.recipe import TrainRecipe

CHILD = """
import json, sys, threading, time
from pathlib import Path
import torch
from most.settings import load_recipe
from most.train import run
from most.train.recipe import TrainRecipe
import most.train.models, most.train.trainer, transformers
recipe = load_recipe(TrainRecipe, sys.argv[1], sys.argv[2:])
opened = run.open_model
before, seconds, peak = [], [], [0]
def anonymous():
    # Without mapped files: training reads its data from some, and what is read stays resident until memory is short.
    # Not ru_maxrss: a child begins with what its parent held.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
def watch():
    while not peak[0] or threading.main_thread().is_alive():
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.002)
def open_model(*args, **kwargs):
    before.append(anonymous())
    threading.Thread(target=watch, daemon=True).start()
    return opened(*args, **kwargs)
run.open_model = open_model
step = run.MostTrainer._maybe_log_save_evaluate
def ends(self, *args, **kwargs):
    seconds.append(time.perf_counter())
    return step(self, *args, **kwargs)
run.MostTrainer._maybe_log_save_evaluate = ends
finish, trained = run._finish, []
def finished(*args, **kwargs):
    trained.append(peak[0])
    return finish(*args, **kwargs)
run._finish = finished
run.train(recipe, echo=lambda _: None, progress=False)
print(json.dumps({"before": before[0], "peak": trained[0], "ends": seconds}))
"""
_WARM_SHARE = 0.5
"""Of the steps: a new process is slow for some seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*", help="key=value settings that win over the recipe")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--bench-layers", type=int, help="depth that is timed for the prediction; default 2 mixtures")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            *args.overrides, f"output={folder}/run", f"steps={args.steps}", f"checkpoint_every={args.steps + 1}",
            "warmup_steps=1", "watch.report=false",
        ]  # fmt: skip
        recipe = load_recipe(TrainRecipe, args.recipe, overrides)
        config, _ = find_config(recipe.model, args.recipe)
        batches = measured(recipe)
        if batches is None:
            raise SystemExit(f"{recipe.model} or its data is not there; run the demo first")
        found = bench(recipe, config, device="cpu", layers=args.bench_layers, batches=batches)
        made = plan(recipe, config, found.rates, device=CPU, batches=batches)
        print(as_text(made), "\n")
        recipe.output.mkdir()
        # Or else training would measure the machine itself, in memory that is not training's.
        (recipe.output / BENCH).write_text(rates_to_json(found.rates, found.about()), encoding="utf-8")
        command = [sys.executable, "-c", CHILD, str(args.recipe), *overrides]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    ends = row["ends"][int(_WARM_SHARE * args.steps) :]
    seconds = statistics.mean(b - a for a, b in itertools.pairwise(ends))
    grown = row["peak"] - row["before"]
    layers = config.text_config.num_hidden_layers
    print(f"timed for the prediction: {found.layers} of {layers} layers, {found.rows} x {found.width} positions")
    print(f"a step: predicted {made.time.total:.4f} s, measured {seconds:.4f} s, ratio {seconds / made.time.total:.2f}")
    print(f"memory: predicted {size(made.used.total)}, measured {size(grown)}, ratio {grown / made.used.total:.2f}")


if __name__ == "__main__":
    main()
