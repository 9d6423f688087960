"""The mean of several checkpoints of one model: often better than any of them (model soups, arXiv 2203.05482).

They must lie on one way of training, as stages and checkpoints of one run do; the mean of models that were trained
apart is worth nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from most.convert.plan import DTYPES, Made, Plan, PlannedTensor, read
from most.convert.source import StoredTensor, read_tensors
from most.convert.write import finish, write_plan
from most.errors import MostError

REPORT = "average.json"
_OWN = {"_name_or_path", "transformers_version", "dtype", "torch_dtype"}
"""Of a config, what may differ between checkpoints of one model."""


def average(
    models: Sequence[Path], out: Path, *, max_shard_bytes: int = 4_000_000_000, echo: Callable[[str], Any] = print,
    progress: bool = True,
) -> Path:  # fmt: skip
    """Write the mean of the models' weights, taken in float32; all else is the last model's. Returns the folder.

    Raises:
        MostError: fewer than two models, an existing output, or models that are not of one shape.
    """
    if len(models) < 2:
        raise MostError("models", [str(m) for m in models], "name two or more")
    if out.exists():
        raise MostError("out", out, "exists; choose another folder or delete it")
    *others, last = models
    sources = [read_tensors(model) for model in models]
    for model, tensors in zip(others, sources, strict=False):
        _require_alike(model, tensors, last, sources[-1])
    plan = Plan([_mean([tensors[name] for tensors in sources]) for name in sources[-1]])
    echo(f"average: {', '.join(map(str, models))} -> {out}: reads all, writes {plan.n_bytes / 1e9:.3f} GB")
    part = out.with_name(out.name + ".part")
    checksums = write_plan(plan, part, max_shard_bytes=max_shard_bytes, progress=progress)
    weights = {t.file.name for t in sources[-1].values()} | {"model.safetensors.index.json"}
    for file in last.iterdir():
        if file.is_file() and file.name not in weights:
            shutil.copyfile(file, part / file.name)
    report = {"models": [str(m) for m in models], "sha256": checksums}
    (part / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    finish(part, out)
    return out


def _mean(tensors: Sequence[StoredTensor]) -> PlannedTensor:
    last = tensors[-1]
    key = "mean of " + ", ".join(f"{t.file}:{t.offset}" for t in tensors)
    made = Made(last.n_bytes, key, partial(_computed, tensors), last.name)
    return PlannedTensor(last.name, last.dtype, last.shape, (made,))


def _computed(tensors: Sequence[StoredTensor]) -> torch.Tensor:
    total = torch.zeros(tensors[-1].shape)
    for tensor in tensors:
        total += read(tensor).float()
    return (total / len(tensors)).to(DTYPES[tensors[-1].dtype])


def _require_alike(
    model: Path, tensors: dict[str, StoredTensor], last: Path, wanted: dict[str, StoredTensor]
) -> None:  # fmt: skip
    shapes, others = ({name: t.shape for name, t in found.items()} for found in (tensors, wanted))
    if shapes != others:
        name = next(n for n in sorted({*shapes, *others}) if shapes.get(n) != others.get(n))
        found = f"{name} {shapes.get(name, 'missing')}"
        raise MostError(
            "models", str(model), f"has {found}, and {last} has {others.get(name, 'none')}; name models alike"
        )
    a, b = (json.loads((folder / "config.json").read_text(encoding="utf-8")) for folder in (model, last))
    for key in sorted({*a, *b} - _OWN):
        if a.get(key) != b.get(key):
            raise MostError(
                "models", str(model), f"has another {key} in its config.json than {last}; name models alike"
            )
