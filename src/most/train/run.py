"""`most train`: one stage of training from a recipe, resumed from its newest sound checkpoint when there is one."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import TrainingArguments, set_seed

from most.data.dataset import Collator
from most.errors import MostError
from most.files import held, is_disk_full, write_text
from most.model.configuration import MostConfig
from most.model.plain import is_plain
from most.plan.line import estimate_line
from most.settings import to_plain
from most.train import checkpoint
from most.train.checkpoint import newest_sound
from most.train.corpus import build_dataset, sources_of
from most.train.heldout import HELD_OUT, HeldOut, forgetting, read_held_out
from most.train.models import Trained, open_model
from most.train.parallel import (
    accumulation_steps,
    check_parallel,
    distributed_config,
    join_processes,
    parallel_arguments,
)
from most.train.preflight import check_arrays, check_length
from most.train.recipe import FREE_TO_CHANGE, LENGTH, TrainRecipe
from most.train.sharded import whole_state
from most.train.step_view import StepObserver
from most.train.stopping import StopOnSignal
from most.train.trainable import Trainable, select
from most.train.trainer import HistoryWriter, LogBeforeSaving, MostTrainer
from most.train.watch.watch import Watch

__all__ = ["build_dataset", "train"]
RECIPE = "recipe.json"
"""In a run's output: what it was started with, written once all checks have passed."""


def train(
    recipe: TrainRecipe,
    *,
    echo: Callable[[str], Any] = print,
    progress: bool = True,
    observers: Sequence[StepObserver] = (),
    estimate: bool = True,
) -> Path:
    """Run a recipe to its end. Interrupted, the same call goes on from the last checkpoint.

    Args:
        observers: called with each micro-batch (`most.train.step_view`).
        estimate: measure the machine first and say how long the run will take.

    Returns:
        The folder of the trained model (`<output>/final`), which loads with `from_pretrained`.

    Raises:
        MostError: data or model do not fit the recipe, `output` holds another recipe's run or one that is under way, or
            the guard stopped the run.
        KeyboardInterrupt: a signal stopped it; the step under way was finished, and there is a checkpoint behind it.
    """
    final = recipe.output / "final"
    if final.exists():
        raise MostError("output", recipe.output, "holds a finished run; choose another output or delete it")
    world_size, rank = join_processes(recipe.parallel), int(os.environ.get("RANK", 0))
    echo = echo if rank == 0 else _silent
    config = _config(recipe, world_size)
    with claimed(recipe, rank, echo):
        arguments = _arguments(recipe, progress and rank == 0, world_size, config)
        sources = sources_of(recipe.data)
        load = {"distributed_config": c} if (c := distributed_config(recipe.parallel, world_size)) else {}
        opened = open_model(recipe, **load)
        check_length(recipe.data.max_length, opened.model.config.text_config)
        if not opened.plain:
            check_arrays(sources, opened.model.config, recipe.model)
        with arguments.main_process_first(desc="check examples"):
            dataset = build_dataset(recipe, opened.processor, echo=echo)
        set_seed(recipe.seed)  # adapters draw their first weights
        trainable = select(opened.model, recipe.train)
        echo(f"train: {recipe.model} -> {final}")
        echo(f"  reads {describe_sizes(dataset.examples)}")
        echo(f"  {recipe.steps} steps of {recipe.batch_size} examples; {_parts(trainable)}")
        if rank == 0 and estimate:
            _say_estimate(recipe, opened.model, world_size, echo)
        _say_space(recipe, opened, trainable, echo)
        _say_order(recipe, echo)
        stop = StopOnSignal(echo)
        trainer = _trainer(recipe, opened, trainable, dataset, arguments, stop, echo)
        trainer.step_observers.extend(observers)
        if rank == 0:
            write_text(recipe.output / RECIPE, json.dumps(to_plain(recipe), indent=1))
        last = _newest(recipe.output, trainer, echo)
        with stop:
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        if stop.stopped:
            raise KeyboardInterrupt
        _finish(recipe, opened, trainable, trainer, final)
        if rank == 0 and recipe.watch.report:
            _write_report(recipe.output, echo)
        for task, row in forgetting(recipe.output).items():
            echo(
                f"  held out, {task}: loss {row['before']:.3f} before, {row['after']:.3f} after ({row['change']:+.3f})"
            )
    return final


def describe_sizes(examples: Any) -> str:
    """Counts per key of the mixture, for saying what a run reads."""
    return ", ".join(f"{len(rows)} {key}" for key, rows in sorted(examples.items()))


def _config(recipe: TrainRecipe, world_size: int) -> Any:
    """The model's config, held against the number of ranks before anything is loaded."""
    if is_plain(recipe.model):
        if recipe.parallel.sharded:
            raise MostError("parallel.data", recipe.parallel.data, "a plain LM trains with ddp; or convert it first")
        from transformers import AutoConfig

        text: Any = AutoConfig.from_pretrained(str(recipe.model))
        config = MostConfig(text_config=text, text_size=max(1, text.vocab_size - 6), n_units=1, modality_routing=False)
    else:
        config = MostConfig.from_pretrained(str(recipe.model))
    if recipe.train.lora is not None and recipe.parallel.sharded:
        raise MostError("train.lora", recipe.train.lora.rank, "adapters train with `parallel.data: ddp` alone")
    check_parallel(
        recipe.parallel, world_size, config, batch_size=recipe.batch_size, micro_batch_size=recipe.micro
    )  # fmt: skip
    return config


def _trainer(
    recipe: TrainRecipe, opened: Trained, trainable: Trainable, dataset: Any, arguments: TrainingArguments,
    stop: StopOnSignal, echo: Any,
) -> MostTrainer:  # fmt: skip
    collate = Collator(opened.processor.tokenizer.pad_token_id, packing=recipe.data.packing, named=True)
    watch = Watch(recipe, opened.model)
    callbacks: list[Any] = [stop, LogBeforeSaving(), watch, HistoryWriter(recipe.output / "history.jsonl")]
    held_out = None
    if recipe.held_out is not None:
        items = read_held_out(recipe.held_out, opened.processor, recipe.data.max_length)
        plain_collate = dataclasses.replace(collate, named=False)
        held_out = HeldOut(
            recipe.output / HELD_OUT, items, plain_collate, every=recipe.held_out.every, batch=recipe.micro
        )  # fmt: skip
        callbacks.insert(0, held_out)  # before the watch, which would count it as waiting for the loader
    trainer = MostTrainer(
        model=opened.model,
        args=arguments,
        train_dataset=dataset,
        data_collator=collate,
        callbacks=callbacks,
        parallel=recipe.parallel,
        trainable=trainable,
        guard=recipe.guard,
        keep_checkpoints=recipe.keep_checkpoints,
        observers=[watch],
        echo=echo,
    )
    if held_out is not None:
        held_out.trainer = trainer
    return trainer


def _finish(recipe: TrainRecipe, opened: Trained, trainable: Trainable, trainer: MostTrainer, final: Path) -> None:
    """Write the trained model, whole or not at all."""
    part = recipe.output / checkpoint.UNFINISHED / "final"
    shutil.rmtree(part, ignore_errors=True)
    if trainable.adapters is not None:
        trainable.adapters.merge_and_unload()
    state = whole_state(trainer)
    try:
        opened.save(part, state, trainer.args.should_save)
        if trainer.args.should_save:
            checkpoint.seal(part)
            (part / checkpoint.MANIFEST).unlink()
            checkpoint.publish(part, final)
            checkpoint.clear_unfinished(recipe.output)
    except Exception as e:
        if not is_disk_full(e):
            raise
        checkpoint.clear_unfinished(recipe.output)
        remedy = "the disk is full; make room and run the same command: it goes on from the last checkpoint"
        raise MostError("output", recipe.output, remedy) from e
    trainer.accelerator.wait_for_everyone()


@contextmanager
def claimed(recipe: TrainRecipe, rank: int, echo: Callable[[str], Any]) -> Iterator[None]:
    """Hold the output folder for this run.

    Raises:
        MostError: it holds a run of another recipe, or one that is under way.
    """
    if rank:
        yield
        return
    with held(recipe.output):
        _check_recipe(recipe, echo)
        checkpoint.clear_unfinished(recipe.output)
        yield


def _check_recipe(recipe: TrainRecipe, echo: Callable[[str], Any]) -> None:
    path = recipe.output / RECIPE
    if not path.is_file():
        return
    before, plain = json.loads(path.read_text(encoding="utf-8")), to_plain(recipe)
    changed = [key for key in plain if before.get(key) != plain[key]]
    free = {*FREE_TO_CHANGE, *(LENGTH if _length_may_change(recipe, before) else ())}
    if fixed := [key for key in changed if key not in free]:
        raise MostError("output", recipe.output, f"holds a run with another {fixed[0]}; choose another output")
    if changed:
        echo(f"  goes on with another {', '.join(changed)}")


def _length_may_change(recipe: TrainRecipe, before: dict[str, Any]) -> bool:
    """Whether the run is where it would be, too, had it been planned for another number of steps.

    The order of examples does not hang on the number; the learning rate does not while it is constant.
    """
    if recipe.schedule not in ("wsd", "constant") or before.get("schedule") != recipe.schedule:
        return False
    passed = max(map(checkpoint.step_of, checkpoint.checkpoints(recipe.output)), default=0)
    ends = (before["steps"] - (before["decay_steps"] or 0), recipe.steps - (recipe.decay_steps or 0))
    return passed <= min(ends)


def _newest(output: Path, trainer: MostTrainer, echo: Callable[[str], Any]) -> Path | None:
    """Rank 0 verifies, all go on from the same."""
    found: list[Any] = [newest_sound(output, echo) if trainer.is_world_process_zero() else None]
    if trainer.args.world_size > 1:
        broadcast_object_list(found)
    if found[0] is not None:
        echo(f"  goes on from {found[0].name}")
    elif list(output.glob("checkpoint-*.torn")):
        echo("  no checkpoint is whole; begins anew")
    return found[0]


def _say_space(recipe: TrainRecipe, opened: Trained, trainable: Trainable, echo: Callable[[str], Any]) -> None:
    n_bytes = 4 * sum(p.numel() for p in opened.model.parameters()) + 8 * trainable.total
    copies = recipe.keep_checkpoints + 1
    echo(f"  writes up to {copies} checkpoints of about {n_bytes / 1e6:.0f} MB in {recipe.output}")
    if wrong := checkpoint.lacks_space(recipe.output, n_bytes):
        remedy = f"not even one checkpoint fits: {wrong}; make room or choose another output"
        raise MostError("output", recipe.output, remedy)


def _say_estimate(recipe: TrainRecipe, model: Any, world_size: int, echo: Callable[[str], Any]) -> None:
    try:
        echo(f"  {estimate_line(recipe, model, world_size)}")
    except Exception as e:  # a model that cannot be traced can still be trained
        echo(f"  no estimate: {str(e).splitlines()[0] if str(e) else type(e).__name__}")


def _say_order(recipe: TrainRecipe, echo: Callable[[str], Any]) -> None:
    """Warn of a stage that would see again what the stage before it began with, and little else."""
    before = Path(str(recipe.model)).parent
    if not (before / RECIPE).is_file():
        return
    old, mine = json.loads((before / RECIPE).read_text(encoding="utf-8")), to_plain(recipe)
    if old["seed"] == mine["seed"] and _files(old) & _files(mine):
        same = f"{before} read these manifests in the same order (seed {recipe.seed})"
        echo(f"  warning: {same}, so this run begins with the same examples; give it another seed")


def _files(recipe: dict[str, Any]) -> set[str]:
    """The manifests of a recipe's plain form."""
    manifests = recipe["data"]["manifests"]
    groups = manifests.values() if isinstance(manifests, dict) else [manifests]
    return {str(file) for group in groups for file in group}


def _write_report(output: Path, echo: Callable[[str], Any]) -> None:
    """The model is written by then: nothing that is wrong with a page may end the run in an error."""
    try:
        from most.train.watch.report import write_run_report

        echo(f"  report: {write_run_report(output)}")
    except (MostError, ImportError, OSError) as e:
        echo(f"  no report: {e}")


def _parts(trainable: Trainable) -> str:
    parts = ", ".join(f"{name} {n / 1e6:.2f} M" for name, n in trainable.counts.items())
    return f"trains {trainable.total / 1e6:.2f} M weights: {parts}"


def _silent(_: str) -> None:
    return None


def _arguments(recipe: TrainRecipe, progress: bool, world_size: int, config: Any) -> TrainingArguments:
    fields = {f.name for f in dataclasses.fields(TrainingArguments)}
    ratio = {"min_lr_rate": recipe.min_learning_rate_ratio}
    schedules: dict[str, dict[str, Any]] = {
        "cosine": {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": ratio},
        "linear": {"lr_scheduler_type": "linear"},
        "constant": {"lr_scheduler_type": "constant_with_warmup"},
        "wsd": {
            "lr_scheduler_type": "warmup_stable_decay",
            "lr_scheduler_kwargs": {
                "num_decay_steps": recipe.decay_steps,
                "min_lr_ratio": recipe.min_learning_rate_ratio,
            },
        },
    }
    # The option's name is newer than the oldest transformers we take.
    name = "activation_checkpointing" if "activation_checkpointing" in fields else "gradient_checkpointing"
    checkpointing = {name: True, f"{name}_kwargs": {"use_reentrant": False}} if recipe.gradient_checkpointing else {}
    return TrainingArguments(
        output_dir=str(recipe.output),
        use_cpu=not torch.accelerator.is_available(),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.micro,
        gradient_accumulation_steps=accumulation_steps(recipe.parallel, world_size, recipe.batch_size, recipe.micro),
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        adam_beta2=recipe.adam_beta2,
        max_grad_norm=recipe.max_grad_norm,
        bf16=recipe.precision == "bf16",
        **checkpointing,
        save_steps=recipe.checkpoint_every,
        logging_steps=recipe.log_every,
        logging_nan_inf_filter=False,
        seed=recipe.seed,
        data_seed=recipe.seed,
        dataloader_num_workers=recipe.data.workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        disable_tqdm=not progress,
        report_to=[],
        **schedules[recipe.schedule],
        **parallel_arguments(recipe.parallel, world_size, config),
    )
