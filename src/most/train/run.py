"""`most train`: one stage of training from a recipe, resumed from its last checkpoint when there is one."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from most.data.arrays import ArrayStore
from most.data.dataset import Collator, ExampleEncoder, MixtureDataset, Sourced, describe
from most.data.mixture import Mixture, TokenMixture
from most.errors import MostError
from most.manifest import read_examples
from most.model.load import load_most
from most.settings import to_plain
from most.train.recipe import TrainRecipe
from most.train.trainer import HistoryWriter, MostTrainer


def train(recipe: TrainRecipe, *, echo: Any = print, progress: bool = True) -> Path:
    """Run a recipe to its end. Interrupted, the same call goes on from the last checkpoint.

    Returns:
        The folder of the trained model (`<output>/final`), which loads with `from_pretrained`.

    Raises:
        MostError: data or model do not fit the recipe, or `output` holds another recipe's run.
    """
    final = recipe.output / "final"
    if final.exists():
        raise MostError("output", recipe.output, "holds a finished run; choose another output or delete it")
    claim(recipe)
    model, processor = load_most(recipe.model)
    dataset = build_dataset(recipe, processor)
    arguments = _arguments(recipe, progress)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    echo(f"train: {recipe.model} -> {final}")
    echo(f"  reads {describe([e for rows in dataset.examples.values() for _, e in rows])}")
    echo(f"  {recipe.steps} steps of {recipe.batch_size} examples; {trained / 1e6:.1f} M trained parameters")
    n_copies = recipe.keep_checkpoints + 1
    echo(f"  writes up to {n_copies} checkpoints of about {16 * trained / 1e6:.0f} MB in {recipe.output}")
    trainer = MostTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        data_collator=Collator(processor.tokenizer.pad_token_id, packing=recipe.data.packing),
        callbacks=[HistoryWriter(recipe.output / "history.jsonl")],
    )
    last = last_checkpoint(recipe.output)
    if last is not None:
        echo(f"  goes on from {last.name}")
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    part = recipe.output / "final.part"
    model.save_pretrained(part)
    processor.save_pretrained(part)
    os.replace(part, final)
    return final


def build_dataset(recipe: TrainRecipe, processor: Any) -> MixtureDataset:
    """The recipe's examples in the order in which the run will read them.

    Raises:
        MostError: a task without data, missing arrays, or not as many folders of them as manifests.
    """
    data = recipe.data
    arrays = data.arrays if isinstance(data.arrays, tuple) else (data.arrays,) * len(data.manifests)
    if len(arrays) != len(data.manifests):
        remedy = f"name one folder for all, or one for each of the {len(data.manifests)} manifests"
        raise MostError("data.arrays", [str(a) for a in arrays], remedy)
    encoders: dict[tuple[Path, Path | None], ExampleEncoder] = {}
    examples: dict[str, list[Sourced]] = {}
    for manifest, folder in zip(data.manifests, arrays, strict=True):
        key = (manifest.parent, folder)
        if key not in encoders:
            encoders[key] = ExampleEncoder(
                processor.builder,
                manifest.parent,
                frames=ArrayStore(folder / "frames") if folder else None,
                units=ArrayStore(folder / "units") if folder else None,
                stack=processor.audio_stack,
                max_length=data.max_length,
            )
        for example in read_examples(manifest):
            examples.setdefault(example.task, []).append((encoders[key], example))
    if data.mixture_unit == "tokens":
        used = {task: rows for task, rows in examples.items() if data.mixture.get(task)}
        lengths = {task: [len(encode(row).encoded) for encode, row in rows] for task, rows in used.items()}
        mixture: Mixture | TokenMixture = TokenMixture(lengths, data.mixture, recipe.seed)
    else:
        mixture = Mixture({task: len(rows) for task, rows in examples.items()}, data.mixture, recipe.seed)
    return MixtureDataset(examples, mixture, recipe.steps * recipe.batch_size)


def claim(recipe: TrainRecipe) -> None:
    """Write the recipe into its output folder; refuse a folder that holds a run of another one."""
    path = recipe.output / "recipe.json"
    plain = to_plain(recipe)
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [key for key in plain if before.get(key) != plain[key]]
        if changed:
            raise MostError("output", recipe.output, f"holds a run with another {changed[0]}; choose another output")
    recipe.output.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain, indent=1), encoding="utf-8")


def last_checkpoint(output: Path) -> Path | None:
    """The newest complete checkpoint of a run (the Trainer writes its state file last)."""
    done = [p for p in output.glob("checkpoint-*") if (p / "trainer_state.json").is_file()]
    return max(done, key=lambda p: int(p.name.split("-")[1]), default=None)


def _arguments(recipe: TrainRecipe, progress: bool) -> TrainingArguments:
    fields = {f.name for f in dataclasses.fields(TrainingArguments)}
    schedule: dict[str, Any] = {"lr_scheduler_type": "constant_with_warmup"}
    if recipe.schedule == "cosine":
        ratio = {"min_lr_rate": recipe.min_learning_rate_ratio}
        schedule = {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": ratio}
    elif recipe.schedule == "linear":
        schedule = {"lr_scheduler_type": "linear"}
    # The option's name is newer than the oldest transformers we take.
    name = "activation_checkpointing" if "activation_checkpointing" in fields else "gradient_checkpointing"
    checkpointing = {name: True, f"{name}_kwargs": {"use_reentrant": False}} if recipe.gradient_checkpointing else {}
    return TrainingArguments(
        output_dir=str(recipe.output),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.micro,
        gradient_accumulation_steps=recipe.batch_size // recipe.micro,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        adam_beta2=recipe.adam_beta2,
        max_grad_norm=recipe.max_grad_norm,
        bf16=recipe.precision == "bf16",
        **checkpointing,
        save_steps=recipe.checkpoint_every,
        save_total_limit=recipe.keep_checkpoints,
        logging_steps=recipe.log_every,
        logging_nan_inf_filter=False,
        seed=recipe.seed,
        data_seed=recipe.seed,
        dataloader_num_workers=recipe.data.workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        disable_tqdm=not progress,
        report_to=[],
        **schedule,
    )
