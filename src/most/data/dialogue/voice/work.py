"""Items spoken in this process or in several; what went wrong comes back as a row, not as an exception."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from most.data.dialogue.voice.pool import Voices, voices_of
from most.data.dialogue.voice.quality import NotUnderstood
from most.data.dialogue.voice.recipe import VoiceRecipe
from most.data.dialogue.voice.seam import Synthesizer, Unspeakable, VoiceFailed
from most.data.dialogue.voice.speaker import Counts, Speaker
from most.data.dialogue.voice.table import make_synthesizer
from most.data.processes import in_processes
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
    yield from in_processes(recipe.workers, _speaker, (recipe, babble), functools.partial(_in_worker, work), todo)


def _speaker(recipe: VoiceRecipe, babble: Sequence[np.ndarray]) -> Speaker[Any, Any]:
    """Voices and judge of a worker."""
    made, pool = make_voices(recipe)
    return Speaker(recipe, made, pool, recipe.gate.make(), babble)


def _in_worker(work: Work, speaker: Speaker[Any, Any], item: Any) -> Outcome:
    return _one(work, item, speaker)


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
