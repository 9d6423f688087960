"""Watches a training run: speed, waiting, gradients by part, routing. Adds them to the log lines that others write."""

from __future__ import annotations

import json
import time
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from most.plan.line import PLAN
from most.plan.rates import gemm_rate
from most.train.recipe import TrainRecipe
from most.train.step_view import StepView
from most.train.watch import board, routing
from most.train.watch.gradients import GradientNorms


class Watch(TrainerCallback):
    """A callback and an observer of steps in one.

    As a callback it comes before the one that writes `history.jsonl`, and after all that work when a step has ended.

    Log lines gain `tokens_per_second` (without padding, of all ranks), `share_of_peak` (of the rate of matrix products
    measured at the start, where `plan.json` tells the model's FLOPs), `loader_wait` (share of the time between steps),
    `grad_norm/PART` (of the logged step, before clipping) and `routing/...`.
    """

    def __init__(self, recipe: TrainRecipe, model: Any) -> None:
        self.settings, self.recipe, self.model = recipe.watch, recipe, model
        self._counter = routing.RoutingCounter(model.language_model) if self.settings.routing_every else None
        self._log: routing.RoutingLog | None = None
        self._board: board.Board | None = None
        self._gradients: GradientNorms | None = None
        self._extra: dict[str, float] = {}
        self._norms: dict[str, float] = {}
        self._waited = self._worked = 0.0
        self._ready = self._began = 0.0
        self._flops_per_token = self._peak = 0.0
        self._windows = 0

    # As an observer

    def wants_router_logits(self, step: int) -> bool:
        every = self.settings.routing_every
        return bool(every) and step % every == 0

    def __call__(self, view: StepView) -> None:
        if self._counter is not None:
            self._counter.add(view)

    # As a callback

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        output, last = self.recipe.output, state.global_step
        if self.settings.gradients:
            self._gradients = GradientNorms(self.model)
        if state.is_world_process_zero:
            if self._counter is not None and self._counter.installed:
                self._log = routing.RoutingLog(output / routing.FOLDER, self._counter.groups, last)
            if self.settings.tensorboard:
                self._board = board.Board(output / board.FOLDER, last)
        if (output / PLAN).is_file():
            flops = json.loads((output / PLAN).read_text(encoding="utf-8"))["flops_per_position"]
            self._flops_per_token = sum(flops["forward"].values()) + flops["backward"]
            dtype = torch.bfloat16 if self.recipe.precision == "bf16" else torch.float32
            self._peak = gemm_rate(args.device, dtype) * args.world_size
        self._ready = time.perf_counter()

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._began = time.perf_counter()
        self._waited += self._began - self._ready

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        step = state.global_step + 1
        if self._gradients is not None and _is_logged(step, args, state):
            self._norms = self._gradients.measure()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._worked += time.perf_counter() - self._began

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        begin = time.perf_counter()
        if self._counter is not None and (row := self._counter.close()) is not None:
            self._extra |= routing.summary(row, self._counter.groups)
            if self._log is not None:
                self._log.append(state.global_step, row)
            every = self.settings.images_every
            if self._board is not None and every and self._windows % every == 0:
                self._board.heatmap(state.global_step, row.counts)
            self._windows += 1
        self._ready = time.perf_counter()
        self._worked += self._ready - begin

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        if logs and "tokens" in logs:
            logs |= self._speed(logs["tokens"]) | self._by_part(logs.get("grad_norm")) | self._extra
            self._extra, self._norms = {}, {}
            self._waited = self._worked = 0.0
        if self._board is not None and logs:
            self._board.scalars(state.global_step, logs)
        self._ready = time.perf_counter()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._ready = time.perf_counter()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._ready = time.perf_counter()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._board is not None:
            self._board.close()

    def _speed(self, tokens: float) -> dict[str, float]:
        seconds = self._waited + self._worked
        if not seconds:
            return {}
        out = {"tokens_per_second": tokens / seconds, "loader_wait": self._waited / seconds}
        if self._peak:
            out["share_of_peak"] = tokens / seconds * self._flops_per_token / self._peak
        return out

    def _by_part(self, grad_norm: Any) -> dict[str, float]:
        """The norms of the logged step. They were measured after clipping, which scaled all of them alike."""
        clipped = sum(n * n for n in self._norms.values()) ** 0.5
        if grad_norm is None or not clipped > 0:
            return {}
        return {f"grad_norm/{part}": n * float(grad_norm) / clipped for part, n in sorted(self._norms.items())}


def _is_logged(step: int, args: TrainingArguments, state: TrainerState) -> bool:
    every = (state.logging_steps or args.logging_steps, state.save_steps or args.save_steps)
    return step == state.max_steps or any(n and step % int(n) == 0 for n in every)
