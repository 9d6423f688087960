"""What a new checkpoint is made of: for each tensor its pieces, most of them byte ranges of another checkpoint.

Fusing experts, splitting, copying and cutting vocabularies only move whole rows, so nothing needs to be decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from most.convert.source import ITEM_BYTES, StoredTensor
from most.errors import MostError

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}


@dataclass(frozen=True)
class Range:
    """`n_bytes` of a source file."""

    file: Path
    offset: int
    n_bytes: int
    source: str


@dataclass(frozen=True)
class Made:
    """Bytes that are computed when they are written. `key` says from what: equal keys give equal bytes."""

    n_bytes: int
    key: str
    make: Callable[[], torch.Tensor]
    source: str | None = None


Piece = Range | Made


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor to write; its pieces follow one another in memory."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]

    @property
    def n_bytes(self) -> int:
        return sum(p.n_bytes for p in self.pieces)


@dataclass
class Plan:
    """Everything a new checkpoint holds, and what of the old one it leaves out."""

    tensors: list[PlannedTensor] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    """Source tensor -> reason."""

    @property
    def n_bytes(self) -> int:
        return sum(t.n_bytes for t in self.tensors)

    def used(self) -> set[str]:
        return {p.source for t in self.tensors for p in t.pieces if p.source is not None}


def whole(tensor: StoredTensor) -> Range:
    return Range(tensor.file, tensor.offset, tensor.n_bytes, tensor.name)


def rows_of(tensor: StoredTensor, rows: Iterable[int]) -> list[Piece]:
    """Rows along the first dimension; neighbours become one range."""
    size = tensor.row_bytes
    if isinstance(rows, range) and rows.step == 1:
        span = Range(tensor.file, tensor.offset + rows.start * size, len(rows) * size, tensor.name)
        return [span] if rows else []
    out: list[Range] = []
    for row in rows:
        offset = tensor.offset + row * size
        if out and out[-1].offset + out[-1].n_bytes == offset:
            out[-1] = Range(tensor.file, out[-1].offset, out[-1].n_bytes + size, tensor.name)
        else:
            out.append(Range(tensor.file, offset, size, tensor.name))
    return list(out)


def part_of(tensor: StoredTensor, index: int, part: int = 0, n_parts: int = 1) -> Range:
    """Of element `index` along the first dimension, the `part`-th of `n_parts` equal runs."""
    size = tensor.row_bytes // n_parts
    return Range(tensor.file, tensor.offset + index * tensor.row_bytes + part * size, size, tensor.name)


def made(tensor: torch.Tensor, key: str) -> Made:
    """Bytes of a tensor that is in memory already."""
    return Made(tensor.numel() * tensor.element_size(), key, lambda: tensor)


def read(tensor: StoredTensor, rows: tuple[int, int] | None = None) -> torch.Tensor:
    """Load a tensor, or its rows `[first, stop)`."""
    first, stop = rows or (0, tensor.shape[0])
    if first == stop:
        return torch.empty(0, *tensor.shape[1:], dtype=DTYPES[tensor.dtype])
    data = bytearray((stop - first) * tensor.row_bytes)
    with tensor.file.open("rb") as f:
        f.seek(tensor.offset + first * tensor.row_bytes)
        if f.readinto(data) != len(data):
            raise MostError("source", tensor.file, f"ends inside {tensor.name}; copy it again")
    return torch.frombuffer(data, dtype=DTYPES[tensor.dtype]).view(stop - first, *tensor.shape[1:])


def check(
    plan: Plan,
    targets: Mapping[str, tuple[int, ...]],
    sources: Sequence[str],
    *,
    wrong: Sequence[str] = (),
) -> None:
    """Every target has its shape and its bytes, every source tensor is used or dropped with a reason.

    Args:
        targets: name -> shape of what the model holds.
        sources: names of the source checkpoint.
        wrong: mismatches found while planning.

    Raises:
        MostError: that lists names and shapes.
    """
    found = list(wrong)
    planned = {t.name: t for t in plan.tensors}
    found += [f"{name} {list(shape)}: no source" for name, shape in targets.items() if name not in planned]
    found += [f"{name}: the model has no such tensor" for name in planned if name not in targets]
    for name, tensor in planned.items():
        shape = targets.get(name)
        if shape is not None and tuple(shape) != tensor.shape:
            found.append(f"{name}: the model has {list(shape)}, the source {list(tensor.shape)}")
        elif tensor.n_bytes != _numel(tensor.shape) * ITEM_BYTES[tensor.dtype]:
            found.append(f"{name} {list(tensor.shape)}: its pieces have {tensor.n_bytes} bytes")
    used = plan.used()
    found += [
        f"{name}: is in the source and would be left out" for name in sources if name not in used | set(plan.dropped)
    ]
    if found:
        more = f" and {len(found) - 12} more" if len(found) > 12 else ""
        listed = "; ".join(found[:12]) + more
        raise MostError("source", f"{len(found)} tensors do not fit", f"is config.json of this checkpoint? {listed}")


def _numel(shape: Sequence[int]) -> int:
    n = 1
    for size in shape:
        n *= size
    return n
