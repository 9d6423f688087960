"""Run by `test_parallel.py` under torchrun on CPU processes. Arguments: a job, and the folder that results go to."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, ParallelismConfig
from accelerate.state import AcceleratorState
from accelerate.utils import FullyShardedDataParallelPlugin
from torch.distributed.tensor import DTensor
from transformers import AutoProcessor, TrainingArguments

from most.data.arrays import ArrayStore
from most.data.dataset import Collator, ExampleEncoder, MixtureDataset, StepOrder
from most.data.mixture import Mixture
from most.manifest import read_examples
from most.model import MostForConditionalGeneration
from most.train.parallel import (
    ParallelSettings,
    accumulation_steps,
    check_parallel,
    distributed_config,
    join_processes,
    parallel_arguments,
)
from most.train.sharded import ShardedCheckpoints, whole_state

ALPHAS = (0.0, 0.1)
ENGINES = {
    "ddp": ParallelSettings(data="ddp", timeout_seconds=60),
    "fsdp": ParallelSettings(data="fsdp", timeout_seconds=60),
    "experts": ParallelSettings(data="fsdp", experts=2, timeout_seconds=60),
    "tensor": ParallelSettings(data="none", tensor=2, timeout_seconds=60),
    "tensor and experts": ParallelSettings(data="none", tensor=2, experts=2, timeout_seconds=60),
}


def arguments(
    settings: ParallelSettings, config: Any, out: Path, *, world: int = 2, **others: Any
) -> TrainingArguments:
    AcceleratorState._reset_state()  # several engines, one after another, in one process
    return TrainingArguments(
        output_dir=str(out), use_cpu=True, report_to=[], disable_tqdm=True, remove_unused_columns=False,
        **parallel_arguments(settings, world, config), **others,
    )  # fmt: skip


def full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gradients(folder: Path, rank: int) -> None:
    """Each engine's gradient on batches that differ in modality: rank 0 reads text, rank 1 hears and says."""
    join_processes(ENGINES["ddp"])
    for name, settings in ENGINES.items():
        source = folder / "placed"
        config = MostForConditionalGeneration.config_class.from_pretrained(source)
        args = arguments(settings, config, folder / "out")
        model = MostForConditionalGeneration.from_pretrained(source, distributed_config=distributed_config(settings, 2))
        model.train()
        wrapped: Any = model
        if not settings.sharded_at_load:
            plugin = args.fsdp_plugin_args and FullyShardedDataParallelPlugin(**args.fsdp_plugin_args)
            accelerator = Accelerator(cpu=True, fsdp_plugin=plugin)
            optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad])
            wrapped, _ = accelerator.prepare(model, optimizer)
        n = settings.data_ranks(2)
        batch = torch.load(folder / ("batches.pt" if n == 2 else "joined.pt"), weights_only=True)
        batch, n_labels = (batch[rank] if n == 2 else batch), torch.load(folder / "n_labels.pt")
        for alpha in ALPHAS:
            model.config.balance_loss_alpha = alpha
            wrapped.zero_grad()
            output = wrapped(**batch, num_items_in_batch=n_labels)
            (output.loss * n).backward()  # as the Trainer does: engines average over ranks
            found = {k.removeprefix("module."): full(p.grad) for k, p in wrapped.named_parameters() if p.requires_grad}
            loss = output.loss.detach().clone()
            if n == 2:
                torch.distributed.all_reduce(loss)
            if rank == 0:
                torch.save({"loss": loss, "gradients": found}, folder / f"{name} {alpha}.pt")


class Run(ShardedCheckpoints):
    """The Trainer with our order of examples; keeps which examples this rank was given and each step's loss."""

    def _get_train_sampler(self, train_dataset: Any = None) -> StepOrder:
        return StepOrder(self.train_dataset, BATCH)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            self.losses.append((self.state.global_step, logs["loss"], logs["grad_norm"]))


class Recorder:
    def __init__(self, collator: Collator) -> None:
        self.collator, self.ids = collator, []

    def __call__(self, items: Any) -> Any:
        self.ids.append([item.id for item in items])
        return self.collator(items)


BATCH, MICRO, STEPS = 8, 2, 4
# accelerate refuses to describe tensor parallelism on CPU processes, though everything behind the check runs on them.
ParallelismConfig._validate_accelerator = lambda self, accelerator: None


def mixture_of(plan: dict[str, str]) -> MixtureDataset:
    manifest, arrays = Path(plan["manifest"]), Path(plan["arrays"])
    processor = AutoProcessor.from_pretrained(plan["model"])
    encode = ExampleEncoder(
        processor.builder, manifest.parent, frames=ArrayStore(arrays / "frames"), units=ArrayStore(arrays / "units"),
        stack=processor.audio_stack, max_length=256,
    )  # fmt: skip
    examples: dict[str, list[Any]] = {}
    for example in read_examples(manifest):
        examples.setdefault(example.task, []).append((encode, example))
    sizes = {task: len(rows) for task, rows in examples.items()}
    return MixtureDataset(examples, Mixture(sizes, {"asr": 0.4, "tts": 0.4, "text": 0.2}, seed=0), STEPS * BATCH)


def train(folder: Path, engine: str, *, world: int, rank: int, out: Path, resume: Path | None = None) -> None:
    """One run of an engine; writes its losses, the examples of this rank and the model."""
    assert join_processes(ENGINES[engine]) == world
    settings = ENGINES[engine]
    plan = json.loads((folder / "plan.json").read_text())
    config = MostForConditionalGeneration.config_class.from_pretrained(plan["model"])
    check_parallel(settings, world, config, batch_size=BATCH, micro_batch_size=MICRO)
    args = arguments(
        settings, config, out, world=world, max_steps=STEPS, per_device_train_batch_size=MICRO, learning_rate=1e-2,
        gradient_accumulation_steps=accumulation_steps(settings, world, BATCH, MICRO), logging_steps=1, save_steps=2,
        save_total_limit=3, seed=0, data_seed=0, warmup_steps=1,
        adam_beta2=0.98, lr_scheduler_type="linear",
    )  # fmt: skip
    model = MostForConditionalGeneration.from_pretrained(
        plan["model"], distributed_config=distributed_config(settings, world)
    )
    dataset = mixture_of(plan)
    recorder = Recorder(Collator(0, packing=True))
    trainer = Run(model=model, args=args, train_dataset=dataset, data_collator=recorder, parallel=settings)
    trainer.losses = []
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    whole = trainer.accelerator.unwrap_model(trainer.model)
    whole.save_pretrained(out / "final", state_dict=whole_state(trainer), is_main_process=args.should_save)
    (out / f"rank{rank}.json").write_text(json.dumps({"losses": trainer.losses, "ids": recorder.ids}))


def training(folder: Path, rank: int) -> None:
    for engine in ENGINES:
        out = folder / engine
        train(folder, engine, world=2, rank=rank, out=out)
        train(folder, engine, world=2, rank=rank, out=folder / f"{engine} resumed", resume=out / "checkpoint-2")


def alone(folder: Path, rank: int) -> None:
    train(folder, "ddp", world=1, rank=rank, out=folder / "alone")


def alone_resumed(folder: Path, rank: int) -> None:
    """One process goes on from what two wrote."""
    for before, engine in (("ddp", "ddp"), ("fsdp", "fsdp"), ("experts", "fsdp")):
        out = folder / f"{before} resumed alone"
        train(folder, engine, world=1, rank=rank, out=out, resume=folder / before / "checkpoint-2")


def killed(folder: Path, rank: int) -> None:
    """Rank 1 dies without a word."""
    waiting(folder, rank, lambda: os.kill(os.getpid(), signal.SIGKILL))


def silent(folder: Path, rank: int) -> None:
    """Rank 1 stops answering."""
    waiting(folder, rank, lambda: time.sleep(600))


def waiting(folder: Path, rank: int, fails: Any) -> None:
    join_processes(ParallelSettings(timeout_seconds=5))
    torch.distributed.all_reduce(torch.ones(1))
    if rank == 1:
        fails()
    torch.distributed.all_reduce(torch.ones(1))


def main(job: str, folder: Path) -> None:
    torch.set_num_threads(1)
    globals()[job](folder, int(os.environ["RANK"]))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
