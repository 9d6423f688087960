"""Write a plan as safetensors shards: streamed, hashed on the way, resumable shard by shard."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from most.convert.plan import Plan, PlannedTensor, Range
from most.errors import MostError

CHUNK_BYTES = 1 << 20
"""Stays in a core's cache between being read, hashed and written."""
N_WRITERS = 2
"""Shards written at once: hashing one takes longer than copying it."""
ALIGN_BYTES = 64
"""Weights start at a multiple of it: they are used from a memory map, and matrix kernels like whole cache lines."""
_STATE = "unfinished.json"
_SPARE_BYTES = 64 << 20
_N_BUFFERS = 4


def write_plan(plan: Plan, out: Path, *, max_shard_bytes: int, progress: bool = True) -> dict[str, str]:
    """Write all tensors into `out` as model*.safetensors with an index; shards that are there already are kept.

    `out` is a folder of work in progress: `unfinished.json` in it says which plan it belongs to and which shards are
    whole, until `finish` takes it away.

    Returns:
        sha256 of each shard.

    Raises:
        MostError: too little space, checked before anything is written; or `out` belongs to another plan.
    """
    shards = _shards(plan.tensors, max_shard_bytes)
    fingerprint = _fingerprint(plan, max_shard_bytes)
    out.mkdir(parents=True, exist_ok=True)
    state = _claim(out, fingerprint)
    done: dict[str, str] = state["shards"]
    left = {name: rows for name, rows in shards.items() if name not in done}
    needed = sum(t.n_bytes for rows in left.values() for t in rows) + _SPARE_BYTES
    free = shutil.disk_usage(out).free
    if free < needed:
        raise MostError("out", out, f"needs {needed / 1e9:.2f} GB and the disk has {free / 1e9:.2f} GB left; make room")
    total = sum(t.n_bytes for t in plan.tensors)
    with tqdm(total=total, unit="B", unit_scale=True, desc="weights", disable=not progress) as bar:
        bar.update(total - sum(t.n_bytes for rows in left.values() for t in rows))
        stop = threading.Event()
        with ThreadPoolExecutor(N_WRITERS) as writers:
            names = {writers.submit(_write_shard, out / n, rows, bar, stop): n for n, rows in left.items()}
            try:
                for shard in as_completed(names):
                    done[names[shard]] = shard.result()
                    _write_state(out, state)
            except BaseException as e:
                stop.set()
                writers.shutdown(cancel_futures=True)
                if isinstance(e, OSError) and e.errno == errno.ENOSPC:
                    raise MostError("out", out, "the disk is full; make room and run it again, it goes on") from e
                raise
    if len(shards) > 1:
        weight_map = {t.name: name for name, rows in shards.items() for t in rows}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return {name: done[name] for name in shards}


def finish(part: Path, out: Path) -> None:
    """The folder is whole: give it its name."""
    (part / _STATE).unlink()
    os.replace(part, out)


def _shards(tensors: Sequence[PlannedTensor], max_bytes: int) -> dict[str, list[PlannedTensor]]:
    groups: list[list[PlannedTensor]] = [[]]
    size = 0
    for tensor in tensors:
        if groups[-1] and size + tensor.n_bytes > max_bytes:
            groups.append([])
            size = 0
        groups[-1].append(tensor)
        size += tensor.n_bytes
    if len(groups) == 1:
        return {"model.safetensors": groups[0]}
    return {f"model-{i + 1:05d}-of-{len(groups):05d}.safetensors": rows for i, rows in enumerate(groups)}


def _write_shard(path: Path, tensors: Sequence[PlannedTensor], bar: Any, stop: threading.Event) -> str:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        header[tensor.name] = {
            "dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [end, end + tensor.n_bytes]
        }  # fmt: skip
        end += tensor.n_bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % ALIGN_BYTES)
    part = path.with_name(path.name + ".part")
    digest = hashlib.sha256()
    # One thread hashes while this one reads and writes: hashlib lets go of the interpreter for large buffers.
    with ThreadPoolExecutor(max_workers=1) as hasher, part.open("wb", buffering=0) as f:
        pending: deque[Future[None]] = deque()
        for chunk in _chunks(len(text).to_bytes(8, "little") + text, tensors):
            if stop.is_set():
                raise InterruptedError("another shard failed")
            pending.append(hasher.submit(digest.update, chunk))
            _write_all(f, chunk)
            bar.update(len(chunk))
            if len(pending) == _N_BUFFERS - 1:
                pending.popleft().result()
        for waiting in pending:
            waiting.result()
        os.fsync(f.fileno())
    os.replace(part, path)
    return digest.hexdigest()


def _chunks(head: bytes, tensors: Sequence[PlannedTensor]) -> Iterator[memoryview]:
    """The bytes of a shard. What is read from a file is overwritten `_N_BUFFERS` chunks later."""
    yield memoryview(head)
    buffers = cycle([memoryview(bytearray(CHUNK_BYTES)) for _ in range(_N_BUFFERS)])
    opened: dict[Path, Any] = {}
    try:
        for tensor in tensors:
            for piece in tensor.pieces:
                if not isinstance(piece, Range):
                    made = piece.make().detach().contiguous().cpu()
                    if made.numel() * made.element_size() != piece.n_bytes:
                        raise AssertionError(f"{tensor.name}: {piece.key} made {tuple(made.shape)}")
                    yield made.flatten().view(torch.uint8).numpy().data
                    continue
                if piece.file not in opened:
                    opened[piece.file] = piece.file.open("rb", buffering=0)
                yield from _read(opened[piece.file], piece, buffers)
    finally:
        for file in opened.values():
            file.close()


def _read(file: Any, piece: Range, buffers: Iterator[memoryview]) -> Iterator[memoryview]:
    done = 0
    while done < piece.n_bytes:
        buffer = next(buffers)[: piece.n_bytes - done]
        n = os.preadv(file.fileno(), [buffer], piece.offset + done)
        if not n:
            raise MostError("source", piece.file, f"ended inside {piece.source} while it was read")
        done += n
        yield buffer[:n]


def _write_all(file: Any, chunk: memoryview) -> None:
    while len(chunk):
        chunk = chunk[file.write(chunk) :]


def _claim(out: Path, fingerprint: str) -> dict[str, Any]:
    path = out / _STATE
    if path.is_file():
        state = json.loads(path.read_text(encoding="utf-8"))
        if state.get("plan") != fingerprint:
            raise MostError("out", out, "is an unfinished run of another source or other settings; delete it")
        state["shards"] = {n: h for n, h in state["shards"].items() if (out / n).is_file()}
        return state
    if any(out.iterdir()):
        raise MostError("out", out, "is not empty; delete it")
    state = {"plan": fingerprint, "shards": {}}
    _write_state(out, state)
    return state


def _write_state(out: Path, state: dict[str, Any]) -> None:
    part = out / (_STATE + ".part")
    part.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    os.replace(part, out / _STATE)


def _fingerprint(plan: Plan, max_shard_bytes: int) -> str:
    digest = hashlib.sha256(str(max_shard_bytes).encode())
    stats: dict[Path, tuple[int, int]] = {}
    for tensor in plan.tensors:
        digest.update(f"{tensor.name} {tensor.dtype} {tensor.shape}\n".encode())
        for piece in tensor.pieces:
            if isinstance(piece, Range):
                if piece.file not in stats:
                    stat = piece.file.stat()
                    stats[piece.file] = (stat.st_size, stat.st_mtime_ns)
                digest.update(f"{piece.file} {stats[piece.file]} {piece.offset} {piece.n_bytes}\n".encode())
            else:
                digest.update(f"{piece.key} {piece.n_bytes}\n".encode())
    return digest.hexdigest()
