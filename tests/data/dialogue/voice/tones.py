"""A stand-in for a voice: a tone a word, its pitch by voice, at two rates. As a script it runs `most data speak`.

python tones.py RECIPE [overrides]
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np

from most.data.dialogue.voice.seam import Unspeakable
from most.data.dialogue.voice.table import SYNTHESIZERS


class Tones:
    """Deterministic in text, voice, seed and speed; `fails` calls fail first. TONES_SLOW_SECONDS are slept a chunk."""

    name = "tones"
    licence = "CC0-1.0"

    def __init__(self, voices=("low", "high", "mid"), sample_rate: int = 12000, fails: int = 0) -> None:
        self.voices, self.sample_rate, self.fails = tuple(voices), sample_rate, fails
        self.calls: list[tuple[str, str, int, float]] = []

    def synthesize(self, text: str, voice: str, seed: int, *, speed: float = 1.0) -> np.ndarray:
        self.calls.append((text, voice, seed, speed))
        if self.fails:
            self.fails -= 1
            raise ConnectionError("the voice is away")
        if "unspeakable" in text:
            raise Unspeakable(text)
        time.sleep(float(os.environ.get("TONES_SLOW_SECONDS", "0")))
        rng = np.random.default_rng(seed)
        n = round(0.1 * self.sample_rate / speed)
        t = np.arange(n) / self.sample_rate
        pitch = 150 * (1 + self.voices.index(voice))
        words = [np.sin(2 * np.pi * pitch * (1 + 0.1 * rng.random()) * t) for _ in text.split()]
        edge = np.zeros(self.sample_rate // 5)
        return np.concatenate([edge, 0.3 * np.concatenate(words), edge]).astype(np.float32)


SYNTHESIZERS.setdefault("tones", Tones)

if __name__ == "__main__":
    from most.data.dialogue.voice.pipeline import speak
    from most.data.dialogue.voice.recipe import SpeakRecipe
    from most.settings import load_recipe

    speak(load_recipe(SpeakRecipe, sys.argv[1], sys.argv[2:]), progress=False)
