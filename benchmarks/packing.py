"""Padding and training speed, packed against padded, on a recipe's own data.

    python benchmarks/packing.py recipes/demo/stage1.yaml

Runs forward and backward over the same optimizer steps of a recipe (run `make demo` first for this one), in turn with
packing and without, and prints padding and examples a second of each. Matrix products are bound by the GEMM rate, so
what can be won is the padding saved, less what wider rows cost attention.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from most.data.dataset import Collator, StepOrder
from most.model.load import load_most
from most.settings import load_recipe
from most.train.recipe import TrainRecipe
from most.train.run import build_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*", help="key=value settings that win over the recipe")
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    recipe = load_recipe(TrainRecipe, args.recipe, args.overrides)
    model, processor = load_most(recipe.model)
    model.train()
    dataset = build_dataset(recipe, processor)
    order = list(StepOrder(dataset, recipe.batch_size))[: args.steps * recipe.batch_size]
    batches = [[dataset[i] for i in order[k : k + recipe.micro]] for k in range(0, len(order), recipe.micro)]
    collators = {n: Collator(processor.tokenizer.pad_token_id, packing=n == "packed") for n in ("padded", "packed")}
    positions = {name: 0 for name in collators}
    seconds: dict[str, list[float]] = {name: [] for name in collators}
    for k, items in enumerate([*batches[:2], *batches]):  # two to warm up
        for name, collate in collators.items():
            begin = time.perf_counter()
            batch = collate(items)
            model(**batch).loss.backward()
            model.zero_grad()
            if k >= 2:
                seconds[name].append(time.perf_counter() - begin)
                positions[name] += batch["input_ids"].numel()
    real = sum(len(i.encoded) for items in batches for i in items)
    n = len(order)
    print(f"{n} examples, {real / n:.0f} positions each, micro-batches of {recipe.micro}")
    for name in collators:
        rate = n / sum(seconds[name])
        spread = statistics.median(seconds[name])
        print(f"{name:8} padding {1 - real / positions[name]:6.1%}  {rate:6.1f} examples/s  median {spread:.3f} s")
    print(f"packed / padded: {sum(seconds['padded']) / sum(seconds['packed']):.2f} times the speed")


if __name__ == "__main__":
    main()
