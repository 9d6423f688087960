"""Cuts by energy: whole, in pauses where there are any, never too long or too short, whatever the sound."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from most.manifest import AudioRef
from most.speech.cut import Levels, cut, frame_levels

STEP = 0.02


@given(st.floats(0.1, 200.0), st.integers(0, 2**32 - 1), st.sampled_from([1.0, 5.0, 20.0]))
@settings(max_examples=60)
def test_pieces_cover_everything_and_keep_their_bounds(seconds, seed, max_seconds):
    rng = np.random.default_rng(seed)
    power = rng.exponential(size=int(seconds / STEP)) * rng.choice([1e-6, 1.0], size=int(seconds / STEP))
    min_seconds = max_seconds / 4
    cuts = cut(Levels(power, STEP), seconds, min_seconds=min_seconds, max_seconds=max_seconds)
    starts, ends = zip(*cuts.bounds, strict=True)
    assert (starts[0], ends[-1]) == (0.0, seconds)
    assert starts[1:] == ends[:-1]
    lengths = np.subtract(ends, starts)
    assert lengths.max() <= max_seconds + 1e-3
    assert len(lengths) == 1 or lengths.min() >= min_seconds - 1e-3
    assert 0 <= cuts.in_speech < max(1, len(lengths))


def test_it_cuts_in_the_pause_and_says_where_there_was_none():
    power = np.ones(round(30 / STEP))
    power[round(14 / STEP) : round(14.4 / STEP)] = 1e-6
    found = cut(Levels(power, STEP), 30.0, min_seconds=0.5, max_seconds=20.0)
    assert found.in_speech == 0
    assert found.bounds[0][1] == pytest.approx(14.2, abs=0.12)
    assert len(found.bounds) == 2
    even = cut(Levels(np.ones(round(30 / STEP)), STEP), 30.0, min_seconds=0.5, max_seconds=20.0)
    assert (len(even.bounds), even.in_speech) == (2, 1)


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_levels_keep_time_over_blocks_at_any_rate(tmp_path, rate):
    wav = np.zeros((26 * rate, 2), dtype=np.float32)
    wav[21 * rate :] = 0.5
    soundfile.write(tmp_path / "a.wav", wav, rate)
    levels = frame_levels(AudioRef(path=tmp_path / "a.wav"))
    first = int(np.flatnonzero(levels.power > 0.1)[0])
    assert first * levels.frame_seconds == pytest.approx(21.0, abs=0.03)
    assert levels.power[-1] == pytest.approx(0.25, rel=1e-3)
    part = frame_levels(AudioRef(path=tmp_path / "a.wav", start=20.0, duration=2.0))
    assert len(part.power) * part.frame_seconds == pytest.approx(2.0, abs=0.03)
    assert int(np.flatnonzero(part.power > 0.1)[0]) * part.frame_seconds == pytest.approx(1.0, abs=0.03)
