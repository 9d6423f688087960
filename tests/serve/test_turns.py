"""Turns in recorded speech: found where they are, whatever the chunks, and never in silence or hum."""

from __future__ import annotations

import numpy as np
import pytest

from most.errors import MostError
from most.serve.realtime.turns import SAMPLE_RATE, TurnDetector, TurnSettings

PAUSE = np.zeros(SAMPLE_RATE, dtype=np.float32)


def found(wav, chunk, settings=None, sample=0):
    detector = TurnDetector(settings or TurnSettings(), sample)
    pieces = (wav[i : i + chunk] for i in range(0, len(wav), chunk))
    return [(b.kind, b.sample / SAMPLE_RATE) for piece in pieces for b in detector(piece)]


@pytest.mark.parametrize("chunk", [160, 512, 1000, 16000, 10**6])
def test_turns_are_found_whatever_the_chunks(spoken_digits, chunk):
    wav = np.concatenate([PAUSE, spoken_digits, PAUSE, PAUSE, spoken_digits, PAUSE])
    seconds = len(spoken_digits) / SAMPLE_RATE
    (first, a), (second, b), (third, c), (fourth, d) = found(wav, chunk)
    assert [first, second, third, fourth] == ["began", "ended"] * 2
    assert 0.5 < a < 1.1
    assert seconds + 1.2 < b < seconds + 1.8
    assert seconds + 2.5 < c < seconds + 3.1
    assert d - b == pytest.approx(seconds + 2, abs=0.2)
    assert found(wav, chunk, sample=SAMPLE_RATE)[0][1] == pytest.approx(a + 1)


def test_settings_move_the_bounds(spoken_digits):
    wav = np.concatenate([PAUSE, spoken_digits, PAUSE])
    (_, a), (_, b) = found(wav, 512)
    (_, early), (_, late) = found(wav, 512, TurnSettings(prefix_seconds=0.5, silence_seconds=0.8))
    assert early == pytest.approx(a - 0.2)
    assert late == pytest.approx(b + 0.3, abs=0.04)


def test_silence_noise_and_hum_are_no_turns():
    rng, t = np.random.default_rng(0), np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    for wav in (0 * t, 0.02 * rng.normal(size=len(t)), 0.1 * np.sin(2 * np.pi * 50 * t)):
        assert found(wav.astype(np.float32), 1600) == []


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"threshold": 1.0}, "threshold"), ({"prefix_seconds": 3}, "prefix"), ({"silence_seconds": 0}, "silence")],
)
def test_settings_that_cannot_be(settings, name):
    with pytest.raises(MostError, match=name):
        TurnSettings(**settings)
