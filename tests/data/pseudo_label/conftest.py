"""Speech of tones, a word a tone with silence between, and judges that really listen for them."""

from __future__ import annotations

import numpy as np
import pytest

from most.data.prompts import DIGIT_WORDS
from most.evaluate.judges import JUDGES, Heard
from most.speech.audio import write_audio

RATE, TONE_SECONDS, GAP_SECONDS = 16000, 0.3, 0.3


def tones(words: str, noise: float = 0.0, seed: int = 0, gap: float = GAP_SECONDS) -> np.ndarray:
    """A tone of 300 Hz and more for each word (zero to nine), with a gap behind it."""
    times = np.arange(round(TONE_SECONDS * RATE)) / RATE
    quiet = np.zeros(round(gap * RATE))
    parts = [p for w in words.split() for p in (0.4 * np.sin(2 * np.pi * _hz(w) * times), quiet)]
    wav = np.concatenate(parts)
    return (wav + noise * np.random.default_rng(seed).normal(size=len(wav))).astype(np.float32)


def _hz(word: str) -> float:
    return 300.0 + 100.0 * DIGIT_WORDS.index(word)


class ToneJudge:
    """Writes a word for each tone; `mishears` some for others."""

    name, sample_rate = "tone-judge:a", RATE

    def __init__(self, mishears: dict[str, str] | None = None) -> None:
        self.mishears = mishears or {}

    def transcribe(self, wav: np.ndarray, rate: int) -> str:
        assert rate == RATE
        frame = RATE // 50
        frames = wav[: len(wav) // frame * frame].reshape(-1, frame)
        loud = np.sqrt(np.mean(frames**2, axis=1)) > 0.1
        edges = np.flatnonzero(np.diff(np.concatenate(([0], loud.astype(int), [0]))))
        words = []
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            part = frames[start:end].reshape(-1)
            if len(part) >= 4 * frame:
                hz = np.argmax(np.abs(np.fft.rfft(part))) * RATE / len(part)
                words.append(DIGIT_WORDS[int(np.clip(round((hz - 300) / 100), 0, 9))])
        return " ".join(self.mishears.get(w, w) for w in words).capitalize() + ("." if words else "")


class OtherJudge(ToneJudge):
    name = "tone-judge:b"


class SureToneJudge(ToneJudge):
    """The noisier, the less sure; above one level it hears nobody speak."""

    name = "sure-judge"

    def hear(self, wav: np.ndarray, rate: int) -> Heard:
        noise = float(np.sqrt(np.mean(wav[-RATE // 5 :] ** 2)))
        return Heard(text=self.transcribe(wav, rate), logprob=-10 * noise, no_speech=min(1.0, 5 * noise))


@pytest.fixture(autouse=True)
def judges(monkeypatch):
    for name, kind in (("tones", ToneJudge), ("tones-too", OtherJudge), ("tones-sure", SureToneJudge)):
        monkeypatch.setitem(JUDGES, name, kind)


@pytest.fixture
def speak(tmp_path):
    """Writes a recording below `tmp_path/in`."""

    def speak(name: str, words: str, **more: float) -> None:
        write_audio(tmp_path / "in" / name, tones(words, **more), RATE)

    return speak
