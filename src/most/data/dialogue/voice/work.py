"""Items spoken in this process or in several; what went wrong comes back as a row, not as an exception."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np

from most.data.dialogue.voice.pool import Voices, voices_of
from most.data.dialogue.voice.quality import NotUnderstood
from most.data.dialogue.voice.recipe import VoiceRecipe
from most.data.dialogue.voice.seam import Synthesizer, Unspeakable, VoiceFailed
from most.data.dialogue.voice.speaker import Counts, Speaker
from most.data.dialogue.voice.table import make_synthesizer
from most.errors import MostError

_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (NotUnderstood, "quality"), (Unspeakable, "text"), (VoiceFailed, "voice"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is done with an item, by functions that other processes can import.

    Args:
        id: its name.
        make: its record, from the item and what speaks it.
        reject: what stands in the record's place where it is left out, by kind and reason.
    """

    id: Callable[[Any], str]
    make: Callable[[Any, Speaker[Any, Any]], dict[str, Any]]
    reject: Callable[[Any, Speaker[Any, Any], str, str], dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """An item's record or rejection, what happened on the way, and how long it took."""

    id: str
    row: dict[str, Any]
    counts: dict[str, int]
    busy_seconds: float
    speech_seconds: float


def make_voices(recipe: VoiceRecipe) -> tuple[list[Synthesizer], Voices]:
    """The recipe's synthesizers and their pool; models are loaded when they first speak."""
    made = [make_synthesizer(v.kind, v.settings) for v in recipe.voices]
    return made, recipe.pool(voices_of(recipe.voices, made))


def outcomes(
    work: Work, recipe: VoiceRecipe, todo: Sequence[Any], synthesizers: Sequence[Synthesizer], pool: Voices,
    babble: Sequence[np.ndarray],
) -> Iterator[Outcome]:  # fmt: skip
    """Speak all of them, in any order.

    Raises:
        MostError: what a user has to mend (a model, a key); or a worker process died.
    """
    if recipe.workers == 1 or len(todo) <= 1:
        if not todo:
            return
        speaker = Speaker(recipe, synthesizers, pool, recipe.gate.make(), babble)
        for item in todo:
            yield _one(work, item, speaker)
        return
    # Spawned, not forked: the runtimes of voices and judges keep threads of their own.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(recipe.workers, mp_context=context, initializer=_begin, initargs=(recipe, babble))
    waiting: set[Future[Outcome | MostErrorParts]] = set()
    items = iter(todo)
    try:
        while True:
            for item in itertools.islice(items, 2 * recipe.workers - len(waiting)):
                waiting.add(executor.submit(_in_worker, work, item))
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                result = future.result()
                if isinstance(result, MostErrorParts):
                    raise MostError(result.field, result.value, result.remedy)
                yield result
    except BrokenProcessPool as e:
        raise MostError(
            "workers", recipe.workers, "one of them died (out of memory?); use fewer, the same command goes on"
        ) from e
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class MostErrorParts:
    """A MostError on its way between processes."""

    field: str
    value: str
    remedy: str


_speaker: Speaker[Any, Any] | MostErrorParts | None = None


def _begin(recipe: VoiceRecipe, babble: Sequence[np.ndarray]) -> None:
    """Load voices and judge in a worker, which ends with its parent even where that is killed."""
    global _speaker
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()
    try:
        made, pool = make_voices(recipe)
        _speaker = Speaker(recipe, made, pool, recipe.gate.make(), babble)
    except MostError as e:
        _speaker = MostErrorParts(e.field, str(e.value), e.remedy)


def _in_worker(work: Work, item: Any) -> Outcome | MostErrorParts:
    assert _speaker is not None
    if isinstance(_speaker, MostErrorParts):
        return _speaker
    try:
        return _one(work, item, _speaker)
    except MostError as e:
        return MostErrorParts(e.field, str(e.value), e.remedy)


def _one(work: Work, item: Any, speaker: Speaker[Any, Any]) -> Outcome:
    id = work.id(item)
    speaker.counts, begin = Counts(), time.monotonic()
    try:
        row = work.make(item, speaker)
    except tuple(kind for kind, _ in _KINDS) as e:
        kind = next(name for of, name in _KINDS if isinstance(e, of))
        row = work.reject(item, speaker, kind, str(e))
    except MostError as e:
        if e.field in ("espeak-ng", "onnxruntime"):
            raise
        raise MostError(e.field, e.value, f"{e.remedy} (at {id!r})") from e
    counts = {"retried": speaker.counts.retried, "remade": speaker.counts.remade, "made": int("reason" not in row)}
    return Outcome(id, row, counts, time.monotonic() - begin, speaker.counts.speech_seconds)
