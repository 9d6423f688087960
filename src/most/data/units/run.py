"""Fill stores: say what it reads, writes and costs, do it with the engine that was asked for, and count the outcome."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from most.data.arrays import ArrayStore
from most.data.units.crew import Crew, LocalCrew, Tally, share_out
from most.data.units.plan import Plan, Shard
from most.data.units.shard import encode_audio, encode_shard, one_thread, unit_dtype
from most.errors import MostError, nearest
from most.speech.audio import read_audio
from most.speech.codec import Codec

_PROBES = 3
_PROBE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Who does the work.

    Args:
        workers: processes; 0 does it in this one, which starts at once but cannot outlive a crash.
        threads: audios encoded at once in each; None for the cores divided by the workers.
        kind: one of `CREWS`.
        max_rejected: share of the audio that may be rejected before the command fails, at its end.
        progress: show a bar, in seconds of audio.
    """

    workers: int = 0
    threads: int | None = None
    kind: str = "local"
    max_rejected: float = 0.0
    progress: bool = True

    def __post_init__(self) -> None:
        if self.kind not in CREWS:
            raise MostError("engine", self.kind, nearest(self.kind, CREWS))
        if self.workers < 0:
            raise MostError("workers", self.workers, "must be 0 (in this process) or more")
        if self.workers == 0 and self.kind != "local":
            raise MostError("workers", 0, f"the engine {self.kind!r} needs at least one")
        if self.threads is not None and self.threads < 1:
            raise MostError("threads", self.threads, "must be at least 1")
        if not 0 <= self.max_rejected <= 1:
            raise MostError("max_rejected", self.max_rejected, "is a share, from 0 to 1")

    @property
    def threads_each(self) -> int:
        return self.threads or max(1, len(os.sched_getaffinity(0)) // max(1, self.workers))


def _ray_crew(codec: Codec, threads: int, workers: int) -> Crew:
    from most.data.units.cluster import RayCrew

    return RayCrew(codec, threads, workers)


CREWS: dict[str, Callable[[Codec, int, int], Crew]] = {
    "local": lambda codec, threads, workers: LocalCrew(codec, threads),
    "ray": _ray_crew,
}
"""`--engine` to what makes its crew: codec, threads each, number of workers."""


def fill(plans: Sequence[Plan], codec: Codec, engine: Engine, echo: Callable[[str], Any] = print) -> Tally:
    """Do all that is left of the plans, and seal their stores.

    Raises:
        MostError: shards on which workers died again and again, or more audio rejected than `max_rejected`; all else
            is done then, and stays.
    """
    for plan in plans:
        _announce(plan, codec, engine, echo)
    seconds = sum(plan.seconds for plan in plans)
    shards = itertools.chain.from_iterable(plans)
    began = time.monotonic()
    form = "{l_bar}{bar}| {n:.0f}/{total:.0f} s of sound [{elapsed}<{remaining}]"
    with tqdm(total=seconds, desc="encode", bar_format=form, disable=not engine.progress or not seconds) as bar:

        def tick(done: float) -> None:
            # The total is an estimate.
            bar.total = max(bar.total, bar.n + done)
            bar.update(done)

        tally = _work(shards, sum(map(len, plans)), codec, engine, tick)
    took = time.monotonic() - began
    if tally.n + tally.rejected:
        rate = tally.seconds / took
        echo(f"done    {tally.n} audios, {_length(tally.seconds)} of sound in {_length(took)}: {rate:.0f} s a second")
    stores = [ArrayStore(plan.job.folder, plan.job.about) for plan in plans]
    for store in stores:
        store.seal()
        if store.rejected:
            echo(f"        {len(store.rejected)} audios were rejected; {store.folder / 'rejected.jsonl'} says why")
    if tally.lost:
        shard, how = tally.lost[0]
        keys = ", ".join(key for key, _ in shard.items[:3])
        raise MostError(
            "shards", [s.name for s, _ in tally.lost],
            f"killed their workers again and again ({how}); the first holds {keys}, ... All else is done; the same "
            "command with --shard-size 1 finds the audio",
        )  # fmt: skip
    for store in stores:
        _check_rejected(store, engine.max_rejected)
    return tally


def _work(shards: Iterable[Shard], n: int, codec: Codec, engine: Engine, tick: Callable[[float], Any]) -> Tally:
    if n and engine.workers:
        workers = min(engine.workers, n)
        return share_out(shards, CREWS[engine.kind](codec, engine.threads_each, workers), workers, tick)
    tally = Tally()
    with one_thread():
        for shard in shards:
            tally.add(encode_shard(shard, codec, threads=engine.threads_each, tick=tick))
    return tally


def _announce(plan: Plan, codec: Codec, engine: Engine, echo: Callable[[str], Any]) -> None:
    job = plan.job
    before = f" ({plan.kept} are done" + (f", {plan.rejected} were rejected" if plan.rejected else "") + ")"
    names = ", ".join(m.name for m in plan.manifests)
    echo(f"reads   {plan.todo} audios of {names}{before}, {_length(plan.seconds)} of sound")
    if not plan.todo:
        return
    if job.kind == "units":
        row, what = unit_dtype(codec.n_units).itemsize, str(unit_dtype(codec.n_units))
    else:
        row, what = 2 * codec.encoder.hidden_size, f"float16, {codec.encoder.hidden_size} wide"
    size = plan.seconds * codec.unit_rate_hz * row
    echo(f"writes  {job.folder}: {job.kind} as {what}, {len(plan)} parts, about {size / 1e6:.1f} MB")
    # Workers beyond the shards would have nothing to do.
    workers = min(max(1, engine.workers), len(plan))
    rate = _probe(plan, codec)
    lanes = workers * engine.threads_each
    where = f"{workers} {engine.kind} workers of" if engine.workers else "this process with"
    cost = f"about {_length(plan.seconds / (rate * lanes))}" if rate else "unknown, for the sample cannot be read"
    echo(f"costs   {cost}: {where} {engine.threads_each} threads; one encodes {rate:.0f} s of sound a second")


def _probe(plan: Plan, codec: Codec) -> float:
    """Seconds of audio a second on one thread, of a few of the plan's own; 0 where none of those can be encoded."""
    sound = took = 0.0
    with one_thread():
        for n, ref in enumerate(plan.sample[: _PROBES + 1]):
            try:
                wav = read_audio(ref, codec.sample_rate, max_seconds=None)[: int(_PROBE_SECONDS * codec.sample_rate)]
                began = time.monotonic()
                encode_audio(wav, codec, plan.job)
            except MostError:
                continue
            # The first warms up.
            if n or len(plan.sample) == 1:
                took += time.monotonic() - began
                sound += len(wav) / codec.sample_rate
    return sound / took if took else 0.0


def _check_rejected(store: ArrayStore, share: float) -> None:
    n, total = len(store.rejected), len(store) + len(store.rejected)
    if n > share * total:
        key, row = next(iter(store.rejected.items()))
        raise MostError(
            "audio", key,
            f"{row['reason']} ({n} of {total} were rejected, {share:.2%} may be; all others are done, and "
            f"{store.folder / 'rejected.jsonl'} names these)",
        )  # fmt: skip


def unit_usage(n_units: int, units: Iterable[np.ndarray]) -> dict[str, float]:
    """How evenly units are used: the share in use, and the perplexity of their distribution (at most n_units)."""
    count = np.zeros(n_units, np.int64)
    for row in units:
        count += np.bincount(row, minlength=n_units)
    p = count[count > 0] / max(1, count.sum())
    return {"used": float((count > 0).mean()), "perplexity": float(np.exp(-(p * np.log(p)).sum()))}


def _length(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
