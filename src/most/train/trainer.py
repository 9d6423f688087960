"""transformers' Trainer with our order of examples and losses reported per modality."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from most.data.dataset import StepOrder


class MostTrainer(Trainer):
    """Reads the dataset in its own order (the mixture is already shuffled) and logs a loss per modality."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sums: dict[str, float] = defaultdict(float)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler:
        step_size = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return StepOrder(train_dataset or self.train_dataset, step_size)  # type: ignore[arg-type]

    def compute_loss(  # type: ignore[override]
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        output = model(**inputs, num_items_in_batch=num_items_in_batch)
        for name, loss, count in (
            ("text_loss", output.text_loss, output.n_text_labels),
            ("audio_loss", output.audio_loss, output.n_audio_labels),
        ):
            if int(count):
                self._sums[name] += float(loss.detach()) * int(count)
                self._sums[f"{name}/tokens"] += int(count)
        if output.balance_loss is not None:
            self._sums["balance_loss"] += float(output.balance_loss.detach())
            self._sums["balance_loss/tokens"] += 1
        mask = inputs["token_mask"] if "token_mask" in inputs else inputs["attention_mask"]
        self._sums["positions"] += mask.numel()
        self._sums["pads"] += int((mask == 0).sum())
        return (output.loss, output) if return_outputs else output.loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        for name in ("text_loss", "audio_loss", "balance_loss"):
            if tokens := self._sums.get(f"{name}/tokens"):
                logs[name] = self._sums[name] / tokens
        if self._sums.get("positions"):
            logs["padding"] = self._sums["pads"] / self._sums["positions"]
        self._sums.clear()
        super().log(logs, start_time)


class HistoryWriter(TrainerCallback):
    """Appends every log line to `history.jsonl`; after a resume, lines past the checkpoint are dropped first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        kept = [row for row in read_history(self.path) if row["step"] <= state.global_step]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        if state.is_world_process_zero and logs and "loss" in logs:
            with self.path.open("a", encoding="utf-8") as f:
                f.write(json.dumps({"step": state.global_step, **logs}) + "\n")


def read_history(path: Path) -> list[dict[str, float]]:
    """The logged steps of a run, oldest first; empty when nothing was logged yet."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
