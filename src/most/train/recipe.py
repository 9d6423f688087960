"""What a training recipe may say, checked before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from most.errors import MostError
from most.train.guard import GuardSettings
from most.train.parallel import ParallelSettings
from most.train.trainable import TrainableSettings
from most.train.watch.settings import WatchSettings

Manifests = tuple[Path, ...] | dict[str, tuple[Path, ...]]
Arrays = tuple[Path, ...] | dict[str, tuple[Path, ...] | Path] | Path | None


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """What is read.

    Args:
        manifests: example manifests (JSONL); a list, or lists by the name of a group.
        arrays: the folder `most data encode` wrote: one for all manifests, one for each, or either by group; None, or
            no entry for a group, for text.
        words: folders that `most data align` wrote, named as `arrays`: each word of what is said then stands in front
            of its units, and the model that is trained says its words one by one (guided speech); None leaves that.
        mixture: shares, which sum to 1. A key is a task; where manifests are grouped also a group, for all that is in
            it, or `group/task`.
        mixture_unit: what shares count: `examples`, as in the paper, or `tokens`.
        max_length: tokens per example.
        too_long: what becomes of longer examples: the run is refused, or they are left out, counted and listed.
        packing: examples of a micro-batch may share rows, which leaves little padding; results are the same.
        workers: loader processes; 0 loads in the training process.
    """

    manifests: Manifests
    arrays: Arrays = None
    words: Arrays = None
    mixture: dict[str, float] = field(default_factory=lambda: {"asr": 0.4, "tts": 0.4, "text": 0.2})
    mixture_unit: Literal["examples", "tokens"] = "examples"
    max_length: int = 2048
    too_long: Literal["refuse", "leave_out"] = "refuse"
    packing: bool = True
    workers: int = 0

    def __post_init__(self) -> None:
        if not self.manifests:
            raise MostError("data.manifests", self.manifests, "names no manifest")
        if self.max_length < 2:
            raise MostError("data.max_length", self.max_length, "must be at least 2: nothing predicts a first token")
        if self.workers < 0:
            raise MostError("data.workers", self.workers, "must be at least 0")


@dataclass(frozen=True, kw_only=True)
class HeldOutSettings:
    """Loss of each task on examples that are not trained on; nothing here changes what is learned.

    Args:
        manifests, arrays, words: as in `data`.
        every: optimizer steps between two evaluations; there is one before the first step and one after the last, too.
        max_examples: of each task, the first ones.
    """

    manifests: Manifests
    arrays: Arrays = None
    words: Arrays = None
    every: int = 1000
    max_examples: int = 200

    def __post_init__(self) -> None:
        for name in ("every", "max_examples"):
            if getattr(self, name) < 1:
                raise MostError(f"held_out.{name}", getattr(self, name), "must be at least 1")


@dataclass(frozen=True, kw_only=True)
class TrainRecipe:
    """One stage of training.

    Args:
        model: folder or hub id to start from: a converted MoST, or a plain language model to train on text.
        output: where checkpoints and the final model go.
        train: which weights learn.
        steps: optimizer steps; batch_size: examples per step; micro_batch_size: examples at once on one device.
        schedule: of the learning rate after `warmup_steps`: down to `min_learning_rate_ratio` by a cosine; linearly to
            0; constant; or constant (wsd) until the last `decay_steps`, then down to the ratio.
        precision: of forward and backward pass; weights and optimizer state are float32 in either.
        gradient_checkpointing: compute activations again in the backward pass; less memory, the same result.
        balance_loss_alpha: weight of the balance loss; the model's own when absent.
        text_loss_weight: how often a text label counts, against an audio label; the model's own when absent.
        ctc_loss_weight: how often a CTC term of a transcript's token counts, against an audio label; the model's own
            when absent.
        experts_implementation: kernel of the routed experts; `auto_mm` when absent.
        guard: what to do about losses and gradients that are not numbers, or spikes.
        held_out: what to measure forgetting on.
    """

    model: Path
    output: Path
    data: DataSettings
    train: TrainableSettings = field(default_factory=TrainableSettings)
    parallel: ParallelSettings = field(default_factory=ParallelSettings)
    watch: WatchSettings = field(default_factory=WatchSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    held_out: HeldOutSettings | None = None
    steps: int
    batch_size: int
    micro_batch_size: int | None = None
    learning_rate: float
    min_learning_rate_ratio: float = 0.1
    warmup_steps: int = 0
    schedule: Literal["cosine", "linear", "constant", "wsd"] = "cosine"
    decay_steps: int | None = None
    weight_decay: float = 0.01
    adam_beta2: float = 0.98
    max_grad_norm: float = 1.0
    balance_loss_alpha: float | None = None
    text_loss_weight: float | None = None
    ctc_loss_weight: float | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    gradient_checkpointing: bool = False
    experts_implementation: str | None = None
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    log_every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "checkpoint_every", "log_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise MostError(name, getattr(self, name), "must be at least 1")
        if self.micro < 1 or self.batch_size % self.micro:
            raise MostError("micro_batch_size", self.micro, f"must divide batch_size {self.batch_size}")
        if not self.learning_rate > 0:
            raise MostError("learning_rate", self.learning_rate, "must be > 0")
        if not 0 <= self.warmup_steps < self.steps:
            raise MostError("warmup_steps", self.warmup_steps, f"must lie in 0..{self.steps - 1}")
        if self.balance_loss_alpha is not None and self.balance_loss_alpha < 0:
            raise MostError("balance_loss_alpha", self.balance_loss_alpha, "must be >= 0; 0 turns it off")
        if self.ctc_loss_weight is not None and self.ctc_loss_weight < 0:
            raise MostError("ctc_loss_weight", self.ctc_loss_weight, "must be >= 0; 0 turns it off")
        if self.text_loss_weight is not None and not self.text_loss_weight > 0:
            raise MostError("text_loss_weight", self.text_loss_weight, "must be > 0; 1 counts every label alike")
        if (self.schedule == "wsd") != (self.decay_steps is not None):
            raise MostError("decay_steps", self.decay_steps, "belongs to schedule wsd, which needs it")
        if self.decay_steps is not None and not 1 <= self.decay_steps <= self.steps - self.warmup_steps:
            raise MostError("decay_steps", self.decay_steps, "must lie between 1 and what warmup_steps leaves of steps")

    @property
    def micro(self) -> int:
        return self.micro_batch_size or self.batch_size


FREE_TO_CHANGE = ("guard", "watch", "keep_checkpoints")
"""Keys that may differ when a run goes on: they do not change what an undisturbed run computes."""

LENGTH = ("steps", "decay_steps")
"""Keys that may differ, too, while the learning rate is constant and would be in either case."""
