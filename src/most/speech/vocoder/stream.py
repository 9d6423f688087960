"""Vocoding while units are still being made: chunk by chunk, each with the units around it as context.

What a chunk sounds like depends on the units on both sides of it. With a look-ahead of `UnitVocoder.context_units` a
stream gives the samples of `synthesize`; with less, speech begins sooner and differs a little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from most.errors import MostError

if TYPE_CHECKING:
    from most.speech.vocoder.base import UnitVocoder

Span = Callable[[torch.Tensor, int, int], torch.Tensor]
"""Units so far (U,) and a span of them to its samples. Called with spans that follow each other from 0 on."""


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """Sizes in units.

    Args:
        first: of the first chunk, which is what a listener waits for.
        chunk: of the others at least.
        look_ahead: units that must be known behind a chunk; None for all that can change it.
    """

    first: int = 10
    chunk: int = 25
    look_ahead: int | None = 20

    def __post_init__(self) -> None:
        for name in ("first", "chunk"):
            if getattr(self, name) < 1:
                raise MostError(name, getattr(self, name), "must be >= 1 unit")
        if self.look_ahead is not None and self.look_ahead < 0:
            raise MostError("look_ahead", self.look_ahead, "must be >= 0 units")


class VocoderStream:
    """One utterance. `push` units as they come, then `finish`; both return the samples (T,) float32 that are ready."""

    def __init__(self, vocoder: UnitVocoder, span: Span, settings: StreamSettings) -> None:
        self._vocoder, self._span, self.settings = vocoder, span, settings
        context = vocoder.context_units
        self._look_ahead = context if settings.look_ahead is None else min(context, settings.look_ahead)
        self._units, self._done = torch.zeros(0, dtype=torch.long), 0

    @property
    def sample_rate(self) -> int:
        return self._vocoder.sample_rate

    def push(self, units: Sequence[int] | np.ndarray) -> np.ndarray:
        """Samples of the units that are far enough behind the newest one; often none.

        Raises:
            MostError: a unit that the vocoder does not have.
        """
        from most.speech.codec import check_units

        if len(units):
            self._units = torch.cat([self._units, torch.from_numpy(check_units(units, self._vocoder.n_units))])
        ready = len(self._units) - self._look_ahead
        enough = self._done + (self.settings.chunk if self._done else self.settings.first)
        return self._render(ready) if ready >= enough else np.zeros(0, dtype=np.float32)

    def finish(self) -> np.ndarray:
        """The rest."""
        return self._render(len(self._units))

    @property
    def n_samples(self) -> int:
        """Handed out so far."""
        return self._done * self._vocoder.samples_per_unit

    @torch.no_grad()
    def _render(self, end: int) -> np.ndarray:
        if end <= self._done:
            return np.zeros(0, dtype=np.float32)
        wav = self._span(self._units, self._done, end)
        self._done = end
        return wav.clamp(-1, 1).float().cpu().numpy()
