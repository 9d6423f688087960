"""The work on one shard: read, encode, write one part. The same function under every engine.

Each audio runs through the encoder by itself, on one thread of the tensor library: a matrix product of more rows rounds
otherwise, so only thus are the bits the same whatever the batch, the worker and the number of threads. Threads encode
different audios instead. Batches go by duration, bound what is in memory, and are read while the one before is encoded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from most.data.arrays import write_part
from most.data.units.plan import Job, Shard, audio_seconds, stamp
from most.errors import MostError
from most.manifest import AudioRef
from most.speech.audio import read_audio
from most.speech.codec import Codec

Batch = list[tuple[str, AudioRef, float]]
"""Key, audio, seconds."""
READERS = 2
BATCH_SECONDS = 60.0
"""Audio of a batch, for each thread that encodes; two batches are in memory at a time, 64 kB a second."""


@dataclass(frozen=True)
class Done:
    """What became of a shard's audio."""

    n: int
    rejected: int
    seconds: float


def unit_dtype(n_units: int) -> np.dtype:
    return np.dtype(np.int16 if n_units - 1 <= np.iinfo(np.int16).max else np.int32)


def encode_audio(wav: np.ndarray, codec: Codec, job: Job) -> np.ndarray:
    """(T,) at the codec's rate -> unit ids (U,), or frames (F, H) float16."""
    if job.kind == "units":
        return codec.encode(wav).astype(unit_dtype(codec.n_units))
    frames, _ = codec.encoder(torch.from_numpy(wav)[None], torch.tensor([len(wav)]), layer=job.layer)
    return frames[0].to(torch.float16).numpy()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of the tensor library in each thread of ours, while it lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def by_duration(items: Sequence[tuple[str, AudioRef]], batch_seconds: float) -> Iterator[Batch]:
    """Batches of items, longest first, each at most `batch_seconds` in all when padded to its longest (or one item)."""
    timed = sorted(((key, ref, audio_seconds(ref) or 0.0) for key, ref in items), key=lambda row: (-row[2], row[0]))
    batch: Batch = []
    for row in timed:
        if batch and (len(batch) + 1) * batch[0][2] > batch_seconds:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def encode_shard(
    shard: Shard,
    codec: Codec,
    *,
    threads: int = 1,
    batch_seconds: float = BATCH_SECONDS,
    tick: Callable[[float], Any] = lambda seconds: None,
) -> Done:
    """Encode a shard's audio and write its part. Audio that cannot be encoded is named in the part, with the reason.

    Args:
        threads: audios encoded at once; call it under `one_thread`.
        tick: told the seconds of audio that each batch held, encoded or rejected.
    """
    job, arrays, rejected, total = shard.job, {}, {}, 0.0

    def read(ref: AudioRef) -> np.ndarray | str:
        silence = job.kind != "units"
        return _or_reason(
            lambda: read_audio(ref, codec.sample_rate, max_seconds=job.max_seconds, allow_silence=silence)
        )

    def encode(wav: np.ndarray | str) -> np.ndarray | str:
        return wav if isinstance(wav, str) else _or_reason(lambda: encode_audio(wav, codec, job))

    with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(threads) as encoders:

        def begin(batch: Batch) -> tuple[Batch, list[Future[np.ndarray | str]]]:
            return batch, [readers.submit(read, ref) for _, ref, _ in batch]

        batches = map(begin, by_duration(shard.items, batch_seconds * threads))
        ahead = next(batches, None)
        while ahead is not None:
            batch, reading = ahead
            waves = [future.result() for future in reading]
            ahead = next(batches, None)
            for (key, ref, _), wav, made in zip(batch, waves, encoders.map(encode, waves), strict=True):
                if isinstance(made, str):
                    path = os.path.relpath(ref.path, shard.root)
                    rejected[key] = {"path": path, "reason": made, "stamp": stamp(ref, job)}
                else:
                    arrays[key] = made
                    total += len(wav) / codec.sample_rate
            tick(sum(seconds for _, _, seconds in batch))
    ordered = {key: arrays[key] for key, _ in shard.items if key in arrays}
    write_part(job.folder, shard.name, job.about, ordered, rejected)
    return Done(len(arrays), len(rejected), total)


def _or_reason(work: Callable[[], np.ndarray]) -> np.ndarray | str:
    """What `work` returns, or why it failed. One audio, whatever a decoder finds in it, never stops the others."""
    try:
        return work()
    except MostError as e:
        return str(e)
    except Exception as e:
        return f"{type(e).__name__}: {e}"
