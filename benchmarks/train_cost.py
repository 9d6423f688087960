"""What training costs against sequence length, batch and number of experts, at the demo's shape.

    python benchmarks/train_cost.py --plot docs/train_cost.png

Times forward and backward of the demo's model (random weights, random ids, half of them units) on rows of each length,
on batches of each number of rows, and with each number of experts, all else as in the demo; settings take turns, so
that a busy moment of the machine does not fall on one. Prints a table in Markdown: milliseconds, positions a second,
and what `most plan` makes of the machine's measured rates (its shape, not its height: the factor that fits the first
row is taken for all).
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from most.convert.info import part_of
from most.model.configuration import MostConfig
from most.model.modeling import MostForConditionalGeneration
from most.plan.rates import measure_rates
from most.plan.shape import find_config, meta_model
from most.plan.timing import kernel_seconds
from most.plan.trace import trace

LENGTHS, ROWS, EXPERTS = (64, 128, 256, 512, 1024), (1, 2, 4, 8, 16, 32), (8, 16, 32, 64)
POSITIONS = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=Path, default=Path("recipes/demo/backbone.yaml"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    config, _ = find_config(Path("-"), shape=args.shape)
    experts = config.text_config.n_routed_experts
    rows = [("sequence length", n, (POSITIONS // n, n, experts)) for n in LENGTHS]
    rows += [("rows of 128", n, (n, 128, experts)) for n in ROWS]
    rows += [("experts", n, (POSITIONS // 128, 128, n)) for n in EXPERTS]
    cases = {case: build(config, *case) for _, _, case in rows}
    seconds: dict[Any, list[float]] = {case: [] for case in cases}
    for k in range(args.repeats + 1):
        for case, (model, inputs) in cases.items():
            begin = time.perf_counter()
            model(**inputs).loss.backward()
            if k:
                seconds[case].append(time.perf_counter() - begin)
            model.zero_grad()
    rates = measure_rates("cpu")
    planned = {case: sum(kernel_seconds(traced(config, *case), rates)) for case in cases}
    measured = {case: statistics.median(s) for case, s in seconds.items()}
    first = rows[0][2]
    factor = measured[first] / planned[first]
    print("| what | | rows x length | experts | ms | positions/s | plan, ms |\n|---|---|---|---|---|---|---|")
    for what, n, case in rows:
        ms, rate = 1000 * measured[case], case[0] * case[1] / measured[case]
        plan = 1000 * planned[case] * factor
        print(f"| {what} | {n} | {case[0]} x {case[1]} | {case[2]} | {ms:.1f} | {rate:,.0f} | {plan:.1f} |")
    print(f"\nplan: times {factor:.2f}, which fits the first row")
    if args.plot is not None:
        draw(args.plot, rows, measured, {case: factor * s for case, s in planned.items()})


def with_experts(config: MostConfig, n: int) -> MostConfig:
    config = copy.deepcopy(config)
    config.text_config.n_routed_experts = n  # type: ignore[union-attr]
    return config


def build(config: MostConfig, rows: int, length: int, experts: int) -> tuple[Any, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = MostForConditionalGeneration(with_experts(config, experts)).float().train()
    vocab, shape = config.vocab, (rows, length)
    units = vocab.unit_id(0) + torch.randint(vocab.n_units, shape)
    ids = torch.where(torch.rand(shape) < 0.5, torch.randint(vocab.text_size, shape), units)
    return model, {"input_ids": ids, "labels": ids, "attention_mask": torch.ones(shape, dtype=torch.long)}


def traced(config: MostConfig, rows: int, length: int, experts: int) -> Any:
    kind = config.text_config.model_type  # type: ignore[union-attr]
    model = meta_model(with_experts(config, experts))
    for p in model.audio_encoder.parameters():
        p.requires_grad_(False)
    return trace(model, rows, length, checkpointing=False, part_of=lambda name: part_of(name, kind))


def draw(path: Path, rows: Any, measured: Any, planned: Any) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(what for what, _, _ in rows))
    fig = Figure(figsize=(9, 2.9), layout="constrained")
    FigureCanvasAgg(fig)
    for ax, kind in zip(fig.subplots(1, len(kinds)), kinds, strict=True):
        points = [(n, case) for what, n, case in rows if what == kind]
        per = [1e6 / (case[0] * case[1]) for _, case in points]
        x = [n for n, _ in points]
        ax.plot(x, [measured[c] * p for (_, c), p in zip(points, per, strict=True)], "o-", label="measured")
        ax.plot(x, [planned[c] * p for (_, c), p in zip(points, per, strict=True)], "--", label="plan")
        ax.set_xscale("log", base=2)
        ax.set_xticks(x, [str(n) for n in x])
        ax.set_ylim(bottom=0)
        ax.set_xlabel(kind)
        ax.grid(alpha=0.2)
    fig.axes[0].set_ylabel("microseconds a position")
    fig.axes[0].legend(frameon=False)
    fig.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
