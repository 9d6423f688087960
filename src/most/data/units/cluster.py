"""Shards on a Ray cluster: one actor a worker. Ray starts on this machine unless RAY_ADDRESS names a cluster.

Actors, not Ray Data's own pipeline: a part is written where it is made, so no array travels, and it is the caller that
counts on which shard a worker died. Every machine needs MoST installed and the same paths to audio and arrays.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from most.data.units.crew import Event
from most.data.units.plan import Shard
from most.data.units.shard import Done, encode_shard, one_thread
from most.errors import MostError
from most.speech.codec import Codec


class _Worker:
    def __init__(self, codec: Codec, threads: int) -> None:
        self.codec, self.threads = codec, threads

    def pid(self) -> int:
        return os.getpid()

    def encode(self, shard: Shard) -> Done:
        with one_thread():
            return encode_shard(shard, self.codec, threads=self.threads)


class RayCrew:
    """Raises MostError where Ray is not installed."""

    def __init__(self, codec: Codec, threads: int, workers: int = 1) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as e:
            raise MostError("engine", "ray", "is not installed; pip install 'most-speech[ray]'") from e
        self.ray: Any = ray
        self._ours = not ray.is_initialized()
        if self._ours and os.environ.get("RAY_ADDRESS"):
            ray.init(log_to_driver=False)
        elif self._ours:
            ray.init(
                num_cpus=workers * threads, include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING
            )
        self._codec = ray.put(Codec(codec.encoder, codec.quantizer, None, codec.settings))
        self._threads = threads
        self.actors: dict[int, Any] = {}
        self._at: dict[Any, int] = {}

    def start(self, slot: int) -> None:
        # No restarts by Ray: whose shard it was is counted by the caller.
        actor = self.ray.remote(_Worker).options(num_cpus=self._threads, max_restarts=0, max_task_retries=0)
        self.actors[slot] = actor.remote(self._codec, self._threads)

    def give(self, slot: int, shard: Shard) -> None:
        self._at[self.actors[slot].encode.remote(shard)] = slot

    def wait(self) -> list[Event]:
        (future,), _ = self.ray.wait(list(self._at), num_returns=1)
        slot = self._at.pop(future)
        try:
            done = self.ray.get(future)
        except self.ray.exceptions.RayTaskError as e:
            return [Event(slot, "fault", str(e.cause))]
        except self.ray.exceptions.RayError as e:
            self.actors.pop(slot)
            return [Event(slot, "died", str(e).strip().splitlines()[0])]
        return [Event(slot, "tick", done.seconds), Event(slot, "done", done)]

    def dismiss(self, slot: int) -> None:
        # Its place may be what another worker waits for.
        self.ray.kill(self.actors.pop(slot))

    def stop(self) -> None:
        for slot in list(self.actors):
            self.dismiss(slot)
        if self._ours:
            self.ray.shutdown()
