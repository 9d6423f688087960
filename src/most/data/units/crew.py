"""Workers that shards are shared out to, and what happens when one dies. Local processes here, Ray in `cluster`.

Shards are handed out one at a time, by pipes and not by a queue of the system: a process that is killed while it holds
such a queue's lock would stop all others. A shard whose worker died goes to another; its part is written whole or not
at all, so nothing is lost and nothing is there twice.
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Literal, Protocol

from most.data.units.plan import Shard
from most.data.units.shard import Done, encode_shard, one_thread
from most.errors import MostError
from most.speech.codec import Codec

DEATHS = 3
"""Of workers on one shard, before it is left out and named."""


@dataclass(frozen=True)
class Event:
    """What a worker reports: it is `ready`, has done seconds of audio (`tick`) or a shard, met a fault, or has died."""

    slot: int
    kind: Literal["ready", "tick", "done", "fault", "died"]
    value: Any = None


class Crew(Protocol):
    """The seam: workers in numbered slots, each with at most one shard."""

    def start(self, slot: int) -> None:
        """A new worker in the slot; it need not be ready."""
        ...

    def give(self, slot: int, shard: Shard) -> None: ...

    def wait(self) -> list[Event]:
        """Whatever happened next, to workers that hold a shard."""
        ...

    def dismiss(self, slot: int) -> None:
        """There is no more work for this worker."""
        ...

    def stop(self) -> None:
        """End all workers at once, whatever they do."""
        ...


@dataclass
class Tally:
    """What a run came to: audios, rejected audios, seconds of audio; shards given up and the last sign of them."""

    n: int = 0
    rejected: int = 0
    seconds: float = 0.0
    lost: list[tuple[Shard, str]] = field(default_factory=list)

    def add(self, done: Done) -> None:
        self.n += done.n
        self.rejected += done.rejected
        self.seconds += done.seconds


def share_out(
    shards: Iterable[Shard], crew: Crew, workers: int, tick: Callable[[float], Any] = lambda seconds: None
) -> Tally:
    """Have a crew of `workers` do all shards.

    Raises:
        MostError: a shard failed by a fault of the machine or of ours (the message says which), or workers die on
            whatever they are given.
    """
    left, again = iter(shards), deque[Shard]()
    at: dict[int, Shard] = {}
    deaths, tally = Counter[str](), Tally()

    def next_for(slot: int, alive: bool = True) -> None:
        shard = again.popleft() if again else next(left, None)
        if shard is None:
            if alive:
                crew.dismiss(slot)
            return
        if not alive:
            crew.start(slot)
        at[slot] = shard
        crew.give(slot, shard)

    def died(slot: int, how: str) -> None:
        shard = at.pop(slot)
        deaths[shard.name] += 1
        if deaths[shard.name] < DEATHS:
            again.append(shard)
        else:
            tally.lost.append((shard, how))
            if len(tally.lost) == DEATHS and not tally.n:
                raise MostError("worker", how, f"workers died {DEATHS} times on each of {DEATHS} shards, none is done")
        next_for(slot, alive=False)

    try:
        for slot in range(workers):
            next_for(slot, alive=False)
        while at:
            for event in crew.wait():
                match event.kind:
                    case "tick":
                        tick(event.value)
                    case "done":
                        del at[event.slot]
                        tally.add(event.value)
                        next_for(event.slot)
                    case "fault":
                        raise MostError("shard", at[event.slot].name, f"failed: {event.value}")
                    case "died":
                        died(event.slot, event.value)
    finally:
        crew.stop()
    return tally


class LocalCrew:
    """Processes of this machine, spawned, each with a codec of its own.

    A script that starts one needs `if __name__ == "__main__":`, as all that spawns processes.
    """

    def __init__(self, codec: Codec, threads: int) -> None:
        self.threads = threads
        self.processes: dict[int, SpawnProcess] = {}
        self._pipes: dict[int, Connection] = {}
        # On disk once: an argument would be piped to each worker while the others wait.
        self._folder = tempfile.TemporaryDirectory(prefix="most-codec-")
        Codec(codec.encoder, codec.quantizer, None, codec.settings).save(self._folder.name)

    def start(self, slot: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes[slot], theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._folder.name, self.threads), daemon=True)
        process.start()
        theirs.close()
        self.processes[slot] = process

    def give(self, slot: int, shard: Shard) -> None:
        # Where it has died, `wait` will say so.
        with suppress(OSError):
            self._pipes[slot].send(shard)

    def wait(self) -> list[Event]:
        slots = {id(pipe): slot for slot, pipe in self._pipes.items()}
        events = []
        for pipe in wait(list(self._pipes.values())):
            slot = slots[id(pipe)]
            try:
                kind, value = pipe.recv()  # type: ignore[union-attr]
            except (EOFError, OSError):
                process = self.processes[slot]
                process.join()
                kind, value = "died", f"process {process.pid} ended with exit code {process.exitcode}"
                self._pipes.pop(slot).close()
            events.append(Event(slot, kind, value))
        return events

    def dismiss(self, slot: int) -> None:
        self._pipes.pop(slot).close()

    def stop(self) -> None:
        for pipe in self._pipes.values():
            pipe.close()
        self._pipes.clear()
        for process in self.processes.values():
            process.terminate()
            process.join()
        self._folder.cleanup()


def _work(pipe: Connection, codec_folder: str, threads: int) -> None:
    # Ctrl-C reaches the whole group; the parent ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        codec = Codec.load(Path(codec_folder))
        pipe.send(("ready", None))
        with one_thread():
            while True:
                shard = pipe.recv()
                try:
                    done = encode_shard(shard, codec, threads=threads, tick=lambda s: pipe.send(("tick", s)))
                except (BrokenPipeError, ConnectionResetError):
                    raise
                except Exception as e:
                    pipe.send(("fault", f"{type(e).__name__}: {e}"))
                else:
                    pipe.send(("done", done))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
