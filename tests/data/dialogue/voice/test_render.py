from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from most.data.dialogue.voice.render import fade_out, to_level, trim_end, trim_silence, two_channels
from most.data.dialogue.voice.timeline import Placed

RATE = 16000


def tone(n: int, level: float = 0.2) -> np.ndarray:
    return (level * np.sin(np.arange(n) * 0.3)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9000), st.integers(800, 9000), st.integers(0, 9000))
def test_trimming_keeps_speech_and_little_more(before, n, after):
    rng = np.random.default_rng(n)
    wav = np.concatenate([np.zeros(before), tone(n), np.zeros(after)]).astype(np.float32)
    wav += 1e-4 * rng.normal(size=len(wav)).astype(np.float32)
    trimmed = trim_silence(wav, RATE)
    assert n <= len(trimmed) <= n + 2 * (160 + 320)
    assert np.mean(trimmed**2) * len(trimmed) == pytest.approx(np.mean(wav**2) * len(wav), rel=0.01)


def test_a_cut_voice_stops_while_it_sounds():
    wav = np.concatenate([tone(4000), tone(4000) * np.exp(-np.arange(4000) / 800)]).astype(np.float32)
    cut = trim_end(wav, RATE)
    assert 4000 < len(cut) < 4000 + 2.4 * 800 + 160
    assert np.array_equal(cut, wav[: len(cut)])


def test_level_is_that_of_speech_not_of_its_pauses():
    wav = np.concatenate([tone(RATE), np.zeros(3 * RATE, np.float32), tone(RATE)])
    for level in (-30.0, -20.0):
        active = to_level(wav, RATE, level)[:RATE]
        assert 10 * np.log10(np.mean(active**2)) == pytest.approx(level, abs=0.1)
    peaky = np.zeros(RATE, np.float32)
    peaky[::400] = 0.01
    assert np.abs(to_level(peaky, RATE, -10)).max() <= 0.951


def test_a_fade_ends_in_silence_and_leaves_the_rest():
    wav = np.ones(1000, np.float32)
    faded = fade_out(wav, 100)
    assert np.array_equal(faded[:900], wav[:900])
    assert np.all(np.diff(faded[899:]) < 0)
    assert faded[-1] == pytest.approx(0, abs=1e-3)
    assert len(fade_out(wav, 5000)) == 1000


def test_channels_are_the_roles_and_a_sum_never_clips():
    user = Placed(kind="turn", index=0, role="user", start=0.0, end=0.5)
    assistant = Placed(kind="turn", index=1, role="assistant", start=0.25, end=0.75)
    both = two_channels([(user, tone(8000, 0.8)), (assistant, tone(8000, 0.8))], RATE, 0.75)
    assert both.shape == (12000, 2)
    assert np.abs(both[8000:, 0]).max() == 0
    assert np.abs(both[:4000, 1]).max() == 0
    assert np.abs(both.sum(axis=1)).max() <= 0.9901
