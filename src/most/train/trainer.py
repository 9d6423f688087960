"""transformers' Trainer with our order of examples, checkpoints that survive anything, a guard, and who to tell."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list, gather_object
from torch.utils.data import Dataset, Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from most.data.dataset import StepOrder
from most.errors import MostError
from most.files import append_lines, is_disk_full, read_lines, write_text
from most.train import checkpoint
from most.train.guard import Guard, GuardSettings, Verdict
from most.train.incidents import Incidents
from most.train.sharded import ShardedCheckpoints
from most.train.stats import BatchStats, added
from most.train.step_view import StepObserver, StepView
from most.train.trainable import Trainable

STATE = "most_state.json"
"""In a checkpoint: what of a run's state the Trainer does not know of."""
_PICKLED_ARGUMENTS = "training_args.bin"


class MostTrainer(ShardedCheckpoints):
    """Reads the dataset in its own order, for the mixture is already shuffled.

    Args:
        trainable: what `select` decided about the model; everything that requires gradients when absent.
        guard: what to do about bad steps.
        keep_checkpoints: how many to keep; None for all.
        observers: called with each micro-batch.
        echo: where to say what a user should know.
        args, kwargs: as in transformers.
    """

    def __init__(
        self,
        *args: Any,
        trainable: Trainable | None = None,
        guard: GuardSettings | None = None,
        keep_checkpoints: int | None = None,
        observers: Sequence[StepObserver] = (),
        echo: Callable[[str], Any] = print,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.trainable = trainable or Trainable()
        self.guard = Guard(guard or GuardSettings())
        self.keep_checkpoints, self.echo = keep_checkpoints, echo
        self.step_observers: list[StepObserver] = list(observers)
        self.batch_stats = BatchStats()
        """Of what was trained on since the last log line."""
        self.output = Path(str(self.args.output_dir))
        self.incidents = Incidents(self.output)
        self._views: list[StepView] = []
        self._step_loss: torch.Tensor | float = 0.0
        self._passed = 0
        self._writing: Path | None = None

    # Order

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        if resume_from_checkpoint is not None:
            folder = Path(resume_from_checkpoint)
            self._passed = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]
            self.guard.restore(json.loads((folder / STATE).read_text(encoding="utf-8"))["guard"])
        if self.is_world_process_zero():
            self.incidents.forget_after(self._passed)
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler:
        ranks = self.args.world_size // self.get_tp_size()
        step_size = self.args.train_batch_size * self.args.gradient_accumulation_steps * ranks
        return StepOrder(train_dataset or self.train_dataset, step_size, self._passed)  # type: ignore[arg-type]

    # One micro-batch

    def compute_loss(  # type: ignore[override]
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        named = {name: inputs.pop(name) for name in ("ids", "tasks", "sequence_ids") if name in inputs}
        step = self.state.global_step + 1
        wanted = any(o.wants_router_logits(step) for o in self.step_observers if hasattr(o, "wants_router_logits"))  # type: ignore[attr-defined]
        extra: dict[str, Any] = {"output_router_logits": True} if wanted else {}
        transcribed = inputs.pop("transcribed", None)
        if self.accelerator.unwrap_model(model).config.ctc_loss_weight > 0:
            extra["transcribed"] = transcribed
        output = model(**inputs, **extra, num_items_in_batch=num_items_in_batch)
        loss = output.loss
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            # Gradients are averaged over ranks, the labels of all ranks were counted.
            loss = loss * (self.accelerator.num_processes // self.get_tp_size())
        if named:
            self._views.append(self._view(step, inputs, output, named))
        return (loss, output) if return_outputs else loss

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        self._step_loss = self._step_loss + loss
        if self._views:
            view = self._views[-1]
            for observe in self.step_observers:
                observe(view)
            self._views[-1] = replace(view, router_logits=None)  # large, and nobody asks for them again
            self.batch_stats.add(self._views[-1])
        return loss

    def _view(self, step: int, inputs: dict[str, Any], output: Any, named: dict[str, Any]) -> StepView:
        config: Any = self.accelerator.unwrap_model(self.model).config
        logits = output.router_logits
        return StepView(
            step=step,
            micro=len(self._views),
            ids=tuple(named["ids"]),
            tasks=tuple(named["tasks"]),
            sequence_ids=named["sequence_ids"],
            labels=inputs["labels"],
            modality_ids=config.vocab.modality_of(inputs["input_ids"]),
            token_losses=output.token_losses,
            balance_loss=output.balance_loss,
            ctc_loss=output.ctc_loss,
            router_logits=None if logits is None else tuple(x.detach() for x in logits),
        )

    # One optimizer step

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        optimizer = super().create_optimizer(*args, **kwargs)
        if self.trainable.frozen_rows:
            optimizer.register_step_pre_hook(self.trainable.decay_hook(self.model, self.args.weight_decay))  # type: ignore[arg-type]
        return optimizer

    def get_decay_parameter_names(self, model: Any) -> list[str]:
        return [n for n in super().get_decay_parameter_names(model) if n not in self.trainable.frozen_rows]

    def _clip_grad_norm(self, model: Any) -> Any:
        self.trainable.mask_gradients(self.model)  # type: ignore[arg-type]
        return super()._clip_grad_norm(model)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The last that the Trainer does before the optimizer's step, so the guard judges here."""
        if grad_norm is None:
            self.trainable.mask_gradients(self.model)  # type: ignore[arg-type]
        grad_norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if hasattr(grad_norm, "full_tensor"):
            grad_norm = grad_norm.full_tensor()
        loss: Any = torch.as_tensor(self._step_loss, dtype=torch.float32)
        if self.args.world_size > 1:
            loss = self.accelerator.reduce(loss.to(self.args.device), reduction="mean")
        self._judge(float(loss), float(grad_norm))
        self._views.clear()
        self._step_loss = 0.0
        return grad_norm

    def _judge(self, loss: float, grad_norm: float) -> None:
        verdict = self.guard.judge(loss, grad_norm)
        self.batch_stats.add_step(loss, taken=verdict is None)
        if verdict is None:
            return
        self._report(verdict, loss, grad_norm)
        if verdict.action == "stop":
            remedy = f"{verdict.reason}; the examples are in {self.incidents.path}; guard.nan and guard.spike can skip"
            raise MostError("guard", f"step {self.state.global_step + 1}", remedy)
        # Without gradients the optimizer leaves weights, moments and its count of steps alone, and decays nothing.
        for parameter in self.model.parameters():  # type: ignore[union-attr]
            parameter.grad = None

    def _report(self, verdict: Verdict, loss: float, grad_norm: float) -> None:
        losses = [
            (i, s / n if n else 0.0)
            for view in self._views
            for i, s, n in zip(view.ids, *(t.tolist() for t in view.example_losses), strict=True)
        ]
        losses = gather_object(losses) if self.args.world_size > 1 else losses
        if self.is_world_process_zero():
            step = self.state.global_step + 1
            self.incidents.bad_step(step, verdict.action, verdict.reason, loss, grad_norm, losses)
            self.echo(f"  step {step}: {verdict.reason}: {verdict.action} (see {self.incidents.path.name})")

    # Logging

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if self.batch_stats and "loss" in logs:
            totals = self.batch_stats.totals()
            totals = added(gather_object([totals])) if self.args.world_size > 1 else totals
            means = self.batch_stats.means(totals)
            del logs["loss"]  # the Trainer's would count steps that were left out
            logs |= means
            self.batch_stats.clear()
        super().log({k: v for k, v in logs.items() if not isinstance(v, float) or math.isfinite(v)}, start_time)

    # Checkpoints

    def _get_output_dir(self, trial: Any = None) -> str:
        return super()._get_output_dir(trial) if self._writing is None else str(self._writing)

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        """The Trainer writes into a folder aside; only when that is whole on disk does it get its name."""
        output, name = self.output, f"checkpoint-{self.state.global_step}"
        if self._agreed(lambda: checkpoint.lacks_space(output, self._checkpoint_bytes(output))):
            return
        self._writing = output / checkpoint.UNFINISHED
        try:
            if self.is_world_process_zero():
                checkpoint.clear_unfinished(output)
            self.accelerator.wait_for_everyone()
            self._write(model, trial, self._writing / name)
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                checkpoint.seal(self._writing / name)
                checkpoint.publish(self._writing / name, output / name)
                if self.keep_checkpoints is not None:
                    checkpoint.rotate(output, self.keep_checkpoints)
                checkpoint.clear_unfinished(output)
        except Exception as e:
            if not is_disk_full(e):
                raise
            checkpoint.clear_unfinished(output)
            if self.args.world_size > 1:
                raise MostError("output", output, f"the disk is full; {name} was not written, earlier ones are") from e
            self._say_unsaved("the disk is full")
        finally:
            self._writing = None
        self.accelerator.wait_for_everyone()

    def _write(self, model: Any, trial: Any, folder: Path) -> None:
        # Rotation is ours: the Trainer would count what lies in the folder aside.
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        if self.is_world_process_zero():
            (folder / _PICKLED_ARGUMENTS).unlink(missing_ok=True)
            (folder / STATE).write_text(json.dumps({"guard": self.guard.state()}), encoding="utf-8")

    def _agreed(self, check: Callable[[], str | None]) -> bool:
        """Whether rank 0 finds a reason not to write; it says so."""
        reason = check() if self.is_world_process_zero() else None
        if reason is not None:
            self._say_unsaved(reason)
        answer = [reason is not None]
        if self.args.world_size > 1:
            broadcast_object_list(answer)
        return answer[0]

    def _say_unsaved(self, reason: str) -> None:
        step = self.state.global_step
        self.echo(f"  step {step}: no checkpoint: {reason}. Earlier ones are as they were; training goes on")
        self.incidents.unsaved(step, reason)

    def _checkpoint_bytes(self, output: Path) -> int:
        """About what the next one will take: as much as the last, or by count of weights and of Adam's moments."""
        for folder in reversed(checkpoint.checkpoints(output)):
            with contextlib.suppress(OSError):
                return math.ceil(1.02 * sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()))
        parameters = list(self.model.parameters())  # type: ignore[union-attr]
        weights = sum(p.numel() * p.element_size() for p in parameters)
        return math.ceil(1.02 * (weights + 8 * sum(p.numel() for p in parameters if p.requires_grad)))


class LogBeforeSaving(TrainerCallback):
    """A log line at every checkpoint, so that no sum is under way when a run is cut there."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        if control.should_save:
            control.should_log = True
        return control


class HistoryWriter(TrainerCallback):
    """Appends every log line to `history.jsonl`; after a resume, lines past the checkpoint are dropped first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[dict[str, Any]] = []
        """Lines that a full disk did not take."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            kept = [row for row in read_history(self.path) if row["step"] <= state.global_step]
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        if state.is_world_process_zero and logs and ("loss" in logs or "skipped_steps" in logs):
            self._waiting.append({"step": state.global_step, **logs})
            if append_lines(self.path, self._waiting):
                self._waiting.clear()


def read_history(path: Path) -> list[dict[str, float]]:
    """The logged steps of a run, oldest first; empty when nothing was logged yet."""
    return read_lines(path)
