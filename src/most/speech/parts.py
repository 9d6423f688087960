"""Work done a part at a time and kept on disk, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from most.errors import MostError

T = TypeVar("T")


def claim(folder: Path, state: Mapping[str, Any]) -> None:
    """Begin work in `folder`, or go on with work begun under the same `state` (JSON types).

    Raises:
        MostError: the folder holds work begun under another state; the first difference is named.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, state = folder / "settings.json", json.loads(json.dumps(state))
    if not path.exists():
        write_json(path, state)
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    for key in sorted(set(before) | set(state)):
        if before.get(key) != state.get(key):
            was = f"was begun with {key} = {before.get(key)!r}, now {state.get(key)!r}"
            raise MostError("out", folder, f"{was}; name a new folder or remove this one")


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write safetensors whole or not at all."""
    part = path.with_name(path.name + ".part")
    save_file({k: v.contiguous() for k, v in tensors.items()}, part)
    os.replace(part, path)


def in_parts(
    folder: Path,
    items: Sequence[T],
    make: Callable[[T], dict[str, torch.Tensor]],
    *,
    desc: str,
    size: int = 100,
) -> list[dict[str, torch.Tensor]]:
    """`make` for every item, `size` items a file.

    A part holds, for each name, the items' tensors joined along the first dimension and, as `name.n`, their lengths.

    Returns:
        the parts in order, each name to its joined tensor.
    """
    out = []
    for number, start in enumerate(tqdm(range(0, len(items), size), desc=desc, unit=f"x{size}")):
        path = folder / f"{number:05d}.safetensors"
        if not path.exists():
            rows = [make(item) for item in items[start : start + size]]
            joined = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
            lengths = {f"{name}.n": torch.tensor([len(row[name]) for row in rows]) for name in rows[0]}
            write_tensors(path, joined | lengths)
        out.append(load_file(path))
    return out
