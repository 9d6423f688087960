"""What a training recipe may say, checked before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from most.errors import MostError


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """What is read.

    Args:
        manifests: example manifests (JSONL).
        arrays: the folder `most data encode` wrote, for all manifests or one for each; None for text alone.
        mixture: share of each task; sums to 1.
        mixture_unit: what shares count: `examples`, as in the paper, or `tokens`.
        max_length: tokens per example; longer ones are refused.
        packing: examples of a micro-batch may share rows, which leaves little padding; results are the same.
        workers: loader processes; 0 loads in the training process.
    """

    manifests: tuple[Path, ...]
    arrays: Path | tuple[Path, ...] | None = None
    mixture: dict[str, float] = field(default_factory=lambda: {"asr": 0.4, "tts": 0.4, "text": 0.2})
    mixture_unit: Literal["examples", "tokens"] = "examples"
    max_length: int = 2048
    packing: bool = True
    workers: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainRecipe:
    """One stage of training.

    Args:
        model: folder or hub id of a converted MoST to start from.
        output: where checkpoints and the final model go.
        steps: optimizer steps; batch_size: examples per step; micro_batch_size: examples at once on one device.
        schedule: of the learning rate, after `warmup_steps`.
        precision: of the forward and backward pass.
    """

    model: Path
    output: Path
    data: DataSettings
    steps: int
    batch_size: int
    micro_batch_size: int | None = None
    learning_rate: float
    min_learning_rate_ratio: float = 0.1
    warmup_steps: int = 0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: float = 0.01
    adam_beta2: float = 0.98
    max_grad_norm: float = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"
    gradient_checkpointing: bool = False
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    log_every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "checkpoint_every", "log_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise MostError(name, getattr(self, name), "must be at least 1")
        if self.batch_size % self.micro:
            raise MostError("micro_batch_size", self.micro, f"must divide batch_size {self.batch_size}")
        if not self.learning_rate > 0:
            raise MostError("learning_rate", self.learning_rate, "must be > 0")
        if not 0 <= self.warmup_steps < self.steps:
            raise MostError("warmup_steps", self.warmup_steps, f"must lie in 0..{self.steps - 1}")

    @property
    def micro(self) -> int:
        return self.micro_batch_size or self.batch_size
