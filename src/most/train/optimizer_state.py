"""An optimizer's state by weight name, as safetensors and JSON: for sharded runs, at any number of ranks.

Not torch's distributed format: its index and its numbers are pickles, and are read back as such. Rank 0 writes, a
tensor at a time; the price is that one disk takes the whole state.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor, Replicate

from most.errors import MostError

NUMBERS = "numbers.json"
SHARD_BYTES = 4_000_000_000
# By name: ranks of another mesh have other groups of parameters.
_OPTIONS = StateDictOptions(flatten_optimizer_state_dict=True)


def save_optimizer(model: Any, optimizer: torch.optim.Optimizer, folder: Path, *, writes: bool) -> None:
    """Write the state into `folder`; every rank must call it, those that do not write help to gather."""
    state = get_optimizer_state_dict(model, optimizer, options=_OPTIONS)
    numbers, shard, n_bytes, n_shards = {}, {}, 0, 0
    if writes:
        folder.mkdir(parents=True, exist_ok=True)

    def flush() -> None:
        nonlocal shard, n_bytes, n_shards
        save_file(shard, folder / f"state-{n_shards:05d}.safetensors")
        shard, n_bytes, n_shards = {}, 0, n_shards + 1

    for name in sorted(state):
        value = state[name]
        if not isinstance(value, torch.Tensor):
            numbers[name] = value
            continue
        whole = value.full_tensor() if isinstance(value, DTensor) else value
        if writes:
            shard[name] = whole.detach().cpu().contiguous()
            n_bytes += whole.nbytes
            if n_bytes >= SHARD_BYTES:
                flush()
    if writes:
        if shard:
            flush()
        (folder / NUMBERS).write_text(json.dumps(numbers, indent=1), encoding="utf-8")


def load_optimizer(model: Any, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Read what `save_optimizer` wrote; every rank must call it.

    Raises:
        MostError: the folder holds no such state, or lacks a part of it.
    """
    if not (folder / NUMBERS).is_file():
        raise MostError("checkpoint", folder, "holds no sharded optimizer state; is it of another recipe?")
    state: dict[str, Any] = get_optimizer_state_dict(model, optimizer, options=_OPTIONS)
    numbers = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
    left = {name for name, value in state.items() if isinstance(value, torch.Tensor)}
    lost = sorted(set(state) - left - set(numbers))
    state |= {name: _like(numbers[name], value) for name, value in state.items() if name in numbers}
    for file in sorted(folder.glob("state-*.safetensors")):
        with safe_open(file, "pt") as stored:
            for name in sorted(left & set(stored.keys())):
                fill(state[name], stored.get_tensor(name))
                left.discard(name)
    if lost := lost + sorted(left):
        raise MostError("checkpoint", folder, f"lacks {len(lost)} values, such as {lost[0]}")
    set_optimizer_state_dict(model, optimizer, state, options=_OPTIONS)


@torch.no_grad()
def fill(target: torch.Tensor, whole: torch.Tensor) -> None:
    """Copy a whole tensor into one that may be sharded."""
    if isinstance(target, DTensor):
        copies = [Replicate()] * target.device_mesh.ndim
        local = whole.to(target.to_local().device)
        spread = DTensor.from_local(local, target.device_mesh, copies, run_check=False)
        target.to_local().copy_(spread.redistribute(placements=target.placements).to_local())
    else:
        target.copy_(whole)


def _like(value: Any, example: Any) -> Any:
    """JSON has no tuples: AdamW's betas are one."""
    return tuple(value) if isinstance(example, tuple) else value
