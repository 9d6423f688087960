"""What a voice is to the rest: one small interface, and two ways to fail that differ in what is done about them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from most.errors import MostError
from most.speech.audio import SILENCE_PEAK

T = TypeVar("T")
LONGEST_WAIT_SECONDS = 60.0


class Synthesizer(Protocol):
    """Text to speech: `synthesize` returns float32 `(T,)` in [-1, 1] at `sample_rate`.

    The same text, voice, seed and speed give the same samples, in whatever order they are asked for, where the engine
    allows it; an engine that does not says so. `licence` is that of the voices, "" where the engine cannot know it.

    Raises:
        Unspeakable: this text can never be said; the dialogue is left out at once.
        MostError: the settings are wrong (a missing model, a refused key); the run stops.
        Exception: anything else is a failure that may pass; it is retried, then the dialogue is left out.
    """

    @property
    def name(self) -> str: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def voices(self) -> tuple[str, ...]: ...
    @property
    def licence(self) -> str: ...
    def synthesize(self, text: str, voice: str, seed: int, *, speed: float = 1.0) -> np.ndarray: ...


@runtime_checkable
class PhoneSynthesizer(Synthesizer, Protocol):
    """A voice that can be told how a word sounds: CMUdict's phones, one word a call, spelled nowhere."""

    def synthesize_phones(self, phones: Sequence[str], voice: str, seed: int, *, speed: float = 1.0) -> np.ndarray: ...


class Unspeakable(Exception):
    """A text that a voice can never say."""


class VoiceFailed(Exception):
    """A voice that failed although it was retried; `retry_after` is what a server asked for, in seconds."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def with_retries(
    call: Callable[[], T], *, attempts: int, wait_seconds: float, sleep: Callable[[float], None] = time.sleep
) -> tuple[T, int]:
    """Call until it succeeds, at most `attempts` times; waits double from `wait_seconds`, or as a server asks.

    Returns:
        The result and how many attempts failed before it.

    Raises:
        VoiceFailed: every attempt failed; names the last reason.
        Unspeakable, MostError: at once, for trying again cannot help.
    """
    for failed in range(attempts):
        try:
            return call(), failed
        except (MostError, Unspeakable):
            raise
        except Exception as e:
            if failed == attempts - 1:
                raise VoiceFailed(f"{attempts} attempts failed, the last with {type(e).__name__}: {e}") from e
            asked = e.retry_after if isinstance(e, VoiceFailed) else None
            sleep(min(LONGEST_WAIT_SECONDS, wait_seconds * 2**failed if asked is None else asked))
    raise MostError("attempts", attempts, "must be at least 1")


def check_speech(wav: np.ndarray, voice: str) -> np.ndarray:
    """What a voice returned, as float32 `(T,)`.

    Raises:
        VoiceFailed: another shape, no sample, NaN, or silence: a failure that may pass.
    """
    wav = np.asarray(wav, dtype=np.float32)
    if wav.ndim != 1 or not len(wav) or not np.isfinite(wav).all() or np.abs(wav).max() <= SILENCE_PEAK:
        raise VoiceFailed(f"{voice} returned no speech (shape {wav.shape}; empty, not finite or silent)")
    return wav


def seed_of(*parts: object) -> int:
    """A seed from what it is for (a run's seed, a dialogue's id, a turn): the same in any order and any process."""
    text = "\x1f".join(str(p) for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def generator(*parts: object) -> np.random.Generator:
    return np.random.default_rng(seed_of(*parts))
