"""Recordings opened and cut into what the judges hear, or rejected by name where there is no sound to be read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import soundfile

from most.data.corpora.base import Item
from most.data.corpora.check import DAMAGED, Limits, Record, check
from most.data.pseudo_label.recipe import PseudoLabelRecipe
from most.data.pseudo_label.source import Recording
from most.manifest import AudioRef
from most.speech.cut import cut, frame_levels


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What is heard at once: a recording, or a stretch of one (`recording` then names it)."""

    id: str
    audio: AudioRef
    speaker: str
    recording: str = ""

    @property
    def item(self) -> Item:
        return Item(id=self.id, audio=self.audio, speaker=self.speaker, recording=self.recording)


def opened(recordings: Sequence[Recording], recipe: PseudoLabelRecipe) -> Iterator[Record]:
    """A record of each recording in order: why it is left out, or its `seconds` and, where it is cut, `bounds` in
    seconds of the recording and how many cuts lie `in_speech`.
    """
    pool = ThreadPoolExecutor(recipe.workers)
    try:
        yield from pool.map(lambda r: _open(r, recipe), recordings)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _open(recording: Recording, recipe: PseudoLabelRecipe) -> Record:
    # Only the audio is looked at; what is said in it nobody knows yet.
    item = Item(id=recording.id, audio=recording.audio, text="unheard", speaker=recording.speaker)
    limits = Limits(min_seconds=recipe.min_seconds, max_seconds=math.inf)
    record = check(item, recipe.output, limits, seen=recording.seen)
    row = {k: record[k] for k in ("id", "audio", "reason", "detail", "seconds") if k in record}
    if "reason" in row or row["seconds"] <= recipe.max_seconds:
        return row
    try:
        levels = frame_levels(recording.audio)
    except (soundfile.LibsndfileError, RuntimeError) as e:
        return row | {"reason": DAMAGED, "detail": str(e)}
    cuts = cut(levels, row["seconds"], min_seconds=recipe.min_seconds, max_seconds=recipe.max_seconds)
    return row | {"bounds": cuts.bounds, "in_speech": cuts.in_speech}


def pieces_of(recording: Recording, record: Record) -> list[Piece]:
    """What is heard of a recording: itself or its pieces; nothing where it was left out."""
    if "reason" in record:
        return []
    if "bounds" not in record:
        return [Piece(id=recording.id, audio=recording.audio, speaker=recording.speaker)]
    path, begin = Path(recording.audio.path), recording.audio.start
    return [
        Piece(
            id=f"{recording.id}@{start:.2f}", speaker=recording.speaker, recording=recording.id,
            audio=AudioRef(path=path, start=round(begin + start, 3), duration=round(end - start, 3)),
        )
        for start, end in record["bounds"]
    ]  # fmt: skip
