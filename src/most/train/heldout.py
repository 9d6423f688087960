"""Loss of each task on examples that are not trained on, before, during and after: what is learned and forgotten."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from most.data.dataset import Collator, Item
from most.errors import MostError
from most.files import append_lines, read_lines, write_text
from most.train.corpus import read_sources, sources_of
from most.train.recipe import HeldOutSettings
from most.train.step_view import IGNORE

HELD_OUT = "held_out.jsonl"


def read_held_out(settings: HeldOutSettings, processor: Any, max_length: int) -> dict[str, list[Item]]:
    """The first examples of each task that are not too long.

    Raises:
        MostError: manifests or arrays that cannot be read, or a task of which every example is too long.
    """
    examples = read_sources(sources_of(settings, "held_out"), processor, (), None)
    out: dict[str, list[Item]] = {}
    for task, rows in sorted(examples.items()):
        items: list[Item] = []
        for encode, example in rows:
            if len(items) < settings.max_examples and len(encode.encode(example)) <= max_length:
                items.append(encode(example))
        if not items:
            raise MostError("held_out", task, f"every example is longer than max_length {max_length}")
        out[task] = sorted(items, key=lambda item: len(item.encoded))
    return out


@torch.no_grad()
def held_out_losses(model: Any, items: Mapping[str, Sequence[Item]], collate: Collator, batch: int) -> dict[str, float]:
    """Mean loss of a label, for each task. Draws nothing at random and leaves the model in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for task, rows in items.items():
        for k in range(0, len(rows), batch):
            inputs = {name: x.to(device) for name, x in collate(rows[k : k + batch]).items()}
            output = model(**inputs)
            sums[task][0] += float(output.token_losses.sum())
            sums[task][1] += int((inputs["labels"][:, 1:] != IGNORE).sum())
    return {task: total / n for task, (total, n) in sums.items()}


class HeldOut(TrainerCallback):
    """Evaluates before the first step, every so many, and after the last; writes `held_out.jsonl`.

    Args:
        trainer: set before training begins; its wrapped model is what is run.
    """

    def __init__(
        self, path: Path, items: Mapping[str, Sequence[Item]], collate: Collator, *, every: int, batch: int
    ) -> None:
        self.path, self.items, self.collate = path, items, collate
        self.every, self.batch = every, batch
        self.trainer: Any = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        rows = [row for row in read_lines(self.path) if row["step"] <= state.global_step]
        if state.is_world_process_zero:
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in rows))
        if state.global_step == 0:
            self._evaluate(state)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self._evaluate(state)

    def _evaluate(self, state: TrainerState) -> None:
        losses = held_out_losses(self.trainer.model_wrapped, self.items, self.collate, self.batch)
        if state.is_world_process_zero and all(r["step"] != state.global_step for r in read_lines(self.path)):
            append_lines(self.path, [{"step": state.global_step, "loss": losses}])


def forgetting(output: Path) -> dict[str, dict[str, float]]:
    """Of a run's held-out losses by task: `before`, `after`, `change` (after minus before) and `best` on the way.

    Empty when the run measured none.
    """
    rows = read_lines(output / HELD_OUT)
    if len(rows) < 2:
        return {}
    before, after = rows[0]["loss"], rows[-1]["loss"]
    return {
        task: {
            "before": before[task],
            "after": after[task],
            "change": after[task] - before[task],
            "best": min(row["loss"][task] for row in rows),
        }
        for task in before
    }
