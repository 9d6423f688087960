"""Sound of a talk that no item holds yet."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Buffer:
    """Sound that is no item yet, at the model's rate; `start` is its first sample's number since the talk began."""

    wav: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    start: int = 0

    @property
    def end(self) -> int:
        return self.start + len(self.wav)

    def drop(self, until: int) -> np.ndarray:
        """Take what lies before a sample."""
        n = min(len(self.wav), max(0, until - self.start))
        taken, self.wav = self.wav[:n], self.wav[n:]
        self.start += n
        return taken
