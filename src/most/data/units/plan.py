"""What is to be encoded: the audio that manifests name, less what a store holds, split into shards.

Manifests are streamed, twice: once to count, once to hand out the work. What stays in memory is 40 bytes an audio.
"""

from __future__ import annotations

import hashlib
import os
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile

from most.data.arrays import ArrayStore, audio_key, key_digest
from most.errors import MostError, nearest
from most.manifest import ROLES, AudioRef, _lines, _ref
from most.speech.audio import MAX_SECONDS

Kind = Literal["units", "frames"]
Wanted = Literal["heard", "said", "all"]
_SAMPLE = 64


@dataclass(frozen=True, kw_only=True)
class Job:
    """One store to fill.

    Args:
        folder: of the store.
        kind: unit ids, or encoder frames.
        about: what the arrays are; a store of other arrays is refused.
        wanted: audio that is heard (user, system), said (assistant, document), or all; an utterance is both.
        layer: encoder layer of frames; None for the final output. Units have the codec's own.
        max_seconds: longer audio is rejected.
    """

    folder: Path
    kind: Kind
    about: dict[str, Any]
    wanted: Wanted = "all"
    layer: int | None = None
    max_seconds: float = MAX_SECONDS


@dataclass(frozen=True)
class Shard:
    """Audio that becomes one part of a store; named after its keys, so the same work has the same name everywhere.

    `root` is the folder that the keys are relative to.
    """

    job: Job
    root: Path
    items: tuple[tuple[str, AudioRef], ...]

    @property
    def name(self) -> str:
        return hashlib.blake2b("\n".join(key for key, _ in self.items).encode(), digest_size=8).hexdigest()


def stamp(ref: AudioRef, job: Job) -> list[float | int] | None:
    """What must change before rejected audio is tried again: the file, or the bound on its length."""
    try:
        stat = os.stat(ref.path)
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns, job.max_seconds]


def audio_seconds(ref: AudioRef) -> float | None:
    """How long an audio is, by manifest or file header; None where neither can say."""
    if ref.duration is not None:
        return ref.duration
    try:
        return max(0.0, soundfile.info(os.fspath(ref.path)).duration - ref.start)
    except (soundfile.LibsndfileError, OSError):
        return None


def audio_of(manifests: Sequence[Path], wanted: Wanted) -> Iterator[AudioRef]:
    """Stream the audio of manifests of utterances and examples, a row at a time, whatever their number.

    Raises:
        MostError: a line that is not JSON, has neither audio nor turns, or a role that does not exist.
    """
    roles = {"heard": ("user", "system"), "said": ("assistant", "document"), "all": ROLES}[wanted]
    for path in manifests:
        for number, row in _lines(path):
            where = f"{path}:{number}"
            if "audio" in row:
                yield _ref(row["audio"], path.parent, where)
                continue
            if not isinstance(row.get("turns"), list):
                raise MostError("manifest", where, "has neither 'audio' (an utterance) nor 'turns' (an example)")
            for turn in row["turns"]:
                if (role := turn.get("role")) not in ROLES:
                    raise MostError("turn.role", f"{where}: {role}", nearest(str(role), ROLES))
                if role in roles and turn.get("audio") is not None:
                    yield _ref(turn["audio"], path.parent, where)


class Plan:
    """The shards of a job that are still to do. Iterating streams them, in the manifests' order.

    Args:
        manifests: in one folder, which the keys are relative to.
        shard_size: audios a shard.

    Attributes:
        total, kept, rejected, todo: different audios; those in the store; those rejected before and unchanged since;
            the others.
        seconds: of what is to do; a sample of file headers stands for durations that the manifests leave out.
        sample: some of the audio, drawn evenly.

    Raises:
        MostError: manifests of several folders, a bad line, or a store of other arrays.
    """

    def __init__(self, manifests: Sequence[Path], job: Job, shard_size: int) -> None:
        if len({m.parent.resolve() for m in manifests}) != 1:
            raise MostError("manifests", [str(m) for m in manifests], "must lie in one folder")
        if shard_size < 1:
            raise MostError("shard_size", shard_size, "must be at least 1 audio")
        self.manifests, self.job, self.shard_size = manifests, job, shard_size
        self.folder = manifests[0].parent
        digests, seconds, self.sample = self._count()
        order = np.lexsort((digests[:, 1], digests[:, 0]))
        first = np.ones(len(order), bool)
        first[1:] = (digests[order][1:] != digests[order][:-1]).any(axis=1)
        first = np.sort(order[first])
        store = ArrayStore(job.folder, job.about)
        kept, settled = store.present(digests[first]), self._settled(store, digests[first])
        self.total, self.kept, self.rejected = len(first), int(kept.sum()), int(settled.sum())
        self._todo = first[~kept & ~settled]
        known = seconds[self._todo]
        unknown = np.isnan(known)
        probed = [s for s in map(audio_seconds, self.sample) if s is not None] if unknown.any() else []
        self.seconds = float(known[~unknown].sum() + unknown.sum() * (np.mean(probed) if probed else 0.0))

    def _count(self) -> tuple[np.ndarray, np.ndarray, list[AudioRef]]:
        """Digests (N, 2) and seconds (N,), NaN where not given, of all mentions; and a sample of them."""
        digests, seconds = bytearray(), array("d")
        sample: list[AudioRef] = []
        rng = random.Random(0)
        for n, ref in enumerate(audio_of(self.manifests, self.job.wanted)):
            digests += key_digest(audio_key(ref, self.folder))
            seconds.append(np.nan if ref.duration is None else ref.duration)
            if len(sample) < _SAMPLE:
                sample.append(ref)
            elif (k := rng.randrange(n + 1)) < _SAMPLE:
                sample[k] = ref
        halves = np.frombuffer(bytes(digests), dtype=">u8").astype(np.uint64).reshape(-1, 2)
        return halves, np.frombuffer(seconds, dtype=np.float64), sample

    def _settled(self, store: ArrayStore, digests: np.ndarray) -> np.ndarray:
        """Which of the audios were rejected and have not changed since."""
        unchanged = [
            key
            for key, row in store.rejected.items()
            if row["stamp"] == stamp(AudioRef(path=self.folder / row["path"]), self.job)
        ]
        halves = np.frombuffer(b"".join(map(key_digest, unchanged)), dtype=">u8").astype(np.uint64).reshape(-1, 2)
        return np.isin(digests[:, 0], halves[:, 0]) & np.isin(digests[:, 1], halves[:, 1])

    @property
    def todo(self) -> int:
        return len(self._todo)

    def __len__(self) -> int:
        """Number of shards."""
        return -(-self.todo // self.shard_size)

    def __iter__(self) -> Iterator[Shard]:
        items: list[tuple[str, AudioRef]] = []
        at = 0
        for n, ref in enumerate(audio_of(self.manifests, self.job.wanted) if self.todo else ()):
            if at == self.todo or n != self._todo[at]:
                continue
            at += 1
            items.append((audio_key(ref, self.folder), ref))
            if len(items) == self.shard_size or at == self.todo:
                yield Shard(self.job, self.folder, tuple(items))
                items = []
