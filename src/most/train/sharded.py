"""Checkpoints of a run whose weights are sharded: whole safetensors, and the optimizer's state by weight name.

What is written does not depend on how many ranks wrote it, so a run goes on with any number of them. The Trainer
alone would write FSDP's weights twice, and refuses to resume a model that `from_pretrained` sharded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import Trainer

from most.errors import MostError
from most.train.optimizer_state import fill, load_optimizer, save_optimizer
from most.train.parallel import ParallelSettings

OPTIMIZER = "optimizer"
SCHEDULER = "scheduler.pt"


class ShardedCheckpoints(Trainer):
    """A Trainer whose checkpoints any number of ranks can resume, where `parallel.sharded`; else as it was.

    Args:
        parallel: how the run is spread.
    """

    def __init__(self, *args: Any, parallel: ParallelSettings | None = None, **kwargs: Any) -> None:
        self.parallel = parallel or ParallelSettings()
        arguments = kwargs.get("args")
        only_model = None if arguments is None else arguments.save_only_model
        if arguments is not None and self.parallel.sharded_at_load:
            arguments.save_only_model = True  # or else the Trainer refuses, see above
        super().__init__(*args, **kwargs)
        if arguments is not None:
            arguments.save_only_model = only_model

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.parallel.sharded:
            return super()._save_optimizer_and_scheduler(output_dir)
        writes = self.args.should_save
        save_optimizer(self.model, _plain(self.optimizer), Path(output_dir, OPTIMIZER), writes=writes)
        if self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir, SCHEDULER))  # type: ignore[union-attr]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not self.parallel.sharded:
            return super()._load_from_checkpoint(resume_from_checkpoint, model)
        load_whole(self.model, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not self.parallel.sharded:
            return super()._load_optimizer_and_scheduler(checkpoint)
        load_optimizer(self.model, _plain(self.optimizer), Path(checkpoint, OPTIMIZER))
        schedule: Any = self.lr_scheduler
        state = torch.load(Path(checkpoint, SCHEDULER), weights_only=True)
        schedule.load_state_dict(_for_groups(state, len(schedule.base_lrs)))


@torch.no_grad()
def load_whole(model: Any, folder: Path) -> None:
    """Read a checkpoint's safetensors into a model that may be sharded, a tensor at a time; every rank must call it.

    Not torch's `set_model_state_dict`: it misplaces rows of what a tensor plan packs (gate and up in one matrix).

    Raises:
        MostError: a weight is missing.
    """
    targets = model.state_dict()
    left = set(targets)
    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(file, "pt") as stored:
            for name in left & set(stored.keys()):
                fill(targets[name], stored.get_tensor(name))
                left.discard(name)
    tied = getattr(model, "all_tied_weights_keys", {})  # stored once
    if lost := sorted(name for name in left if tied.get(name) not in set(targets) - left):
        raise MostError("checkpoint", folder, f"lacks {len(lost)} weights, such as {lost[0]}")


def whole_state(trainer: Trainer) -> dict[str, Any] | None:
    """The trained weights gathered from all ranks, to save as one process would; every rank must call it.

    None where the model itself gathers them, or where each rank holds them all.
    """
    return trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None


def _for_groups(state: dict[str, Any], n: int) -> dict[str, Any]:
    """A schedule's state for `n` parameter groups: meshes have groups of their own, all with one learning rate."""
    return {key: value[:1] * n if isinstance(value, list) else value for key, value in state.items()}


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    """torch's optimizer inside accelerate's."""
    return getattr(optimizer, "optimizer", optimizer)
