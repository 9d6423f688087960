"""A run that is told to stop finishes its step, writes a checkpoint and ends: Ctrl-C, or SIGTERM from a scheduler."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
import torch.distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(TrainerCallback):
    """Heeds signals while it is entered, in the main thread of a process. A second one stops at once.

    One signalled rank is enough: all ranks agree at the end of each step, and so write the same checkpoint.
    """

    def __init__(self, echo: Callable[[str], Any]) -> None:
        self.echo, self.stopped = echo, False
        """`stopped`: whether the run was ended by a signal, behind a checkpoint."""
        self._received = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._heed) for s in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        if self._any_rank(args) and state.global_step < state.max_steps:
            self.stopped = control.should_save = control.should_training_stop = True
        return control

    def _any_rank(self, args: TrainingArguments) -> bool:
        if not torch.distributed.is_initialized():
            return self._received
        flag = torch.tensor(int(self._received), device=args.device)
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
        return bool(flag)

    def _heed(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            self.__exit__()
            raise KeyboardInterrupt
        self._received = True
        name = signal.Signals(number).name
        self.echo(f"{name}: stops after this step, behind a checkpoint; once more stops at once")
