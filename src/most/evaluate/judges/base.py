"""The seam of a judge: audio in, what it heard out, and nothing that an earlier call could have changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import soxr

from most.errors import MostError

_SILENCE = 1e-5


class Judge(Protocol):
    """A recogniser. What it hears depends on the audio alone, not on what it heard before."""

    @property
    def name(self) -> str:
        """As reports show it: the kind, and which weights."""
        ...

    @property
    def sample_rate(self) -> int: ...

    def transcribe(self, wav: np.ndarray, rate: int) -> str:
        """What is said in mono float32 `(T,)` at any rate; "" if nothing."""
        ...


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a judge wrote down and how sure it was.

    Args:
        logprob: mean log-probability of the tokens; that of the least sure window where there are several.
        no_speech: probability that nobody speaks, of the window where it is highest.
        compression: how far the text can be compressed, in the window where it repeats itself most.
    """

    text: str
    logprob: float = 0.0
    no_speech: float = 0.0
    compression: float = 0.0


@runtime_checkable
class SureJudge(Judge, Protocol):
    """A judge that also says how sure it is."""

    def hear(self, wav: np.ndarray, rate: int) -> Heard:
        """As `transcribe`, whose text it gives."""
        ...


def at_rate(wav: np.ndarray, rate: int, to: int) -> np.ndarray:
    """Mono `(T,)` at `rate` as float32 at `to` Hz.

    Raises:
        MostError: not mono, or with samples that are not finite.
    """
    wav = np.asarray(wav, dtype=np.float32)
    if wav.ndim != 1:
        raise MostError("wav", wav.shape, "must be mono, of shape (T,)")
    if not np.isfinite(wav).all():
        raise MostError("wav", f"{len(wav)} samples", "holds NaN or infinite samples; the speech cannot be judged")
    return wav if rate == to else soxr.resample(wav, rate, to, quality="HQ")


def is_silent(wav: np.ndarray) -> bool:
    """Whether there is nothing to hear: recognisers make something up of it."""
    return not len(wav) or float(np.abs(wav).max()) < _SILENCE
