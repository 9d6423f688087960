from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from most.data.dialogue.voice import augment as a
from most.data.dialogue.voice.rooms import ROOMS, exponential_response
from most.errors import MostError

RATE = 16000


def tone(seconds: float = 1.0, hz: float = 300) -> np.ndarray:
    return (0.2 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def power_db(x: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(x.astype(np.float64) ** 2)))


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(a.NOISES)), st.floats(-5, 40), st.integers(0, 99))
def test_noise_has_the_ratio_asked_for(kind, snr_db, seed):
    rng = np.random.default_rng(seed)
    bank = [tone(0.3, 200), tone(0.7, 500), tone(0.5, 900)]
    wav = tone()
    noisy = a.add_noise(wav, a.NOISES[kind](len(wav), rng, bank), snr_db)
    assert len(noisy) == len(wav)
    assert power_db(wav) - power_db(noisy - wav) == pytest.approx(snr_db, abs=0.05)


def test_pink_noise_falls_by_three_decibels_an_octave():
    power = np.abs(np.fft.rfft(a.pink_noise(1 << 16, np.random.default_rng(0)))) ** 2
    low, high = power[100:200].mean(), power[1600:3200].mean()
    assert 10 * np.log10(low / high) == pytest.approx(12, abs=1)


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1, 1.37])
def test_speed_changes_length_and_pitch(factor):
    fast = a.change_speed(tone(1.0, 300), factor)
    assert len(fast) == pytest.approx(RATE / factor, abs=2)
    peak = np.argmax(np.abs(np.fft.rfft(fast))) * RATE / len(fast)
    assert peak == pytest.approx(300 * factor, rel=0.01)


def test_an_exponential_room_falls_by_sixty_decibels_in_its_time():
    rng = np.random.default_rng(1)
    response = np.mean([np.abs(exponential_response(RATE, 0.4, rng)) for _ in range(200)], axis=0)
    early, late = response[1600:1900].mean(), response[1600 + 3200 : 1900 + 3200].mean()
    assert 20 * np.log10(early / late) == pytest.approx(30, abs=1.5)  # half of 0.4 s


@pytest.mark.parametrize("kind", sorted(ROOMS))
def test_a_room_keeps_length_power_and_onset(kind):
    if kind == "image":
        pytest.importorskip("pyroomacoustics")
    response = ROOMS[kind](RATE, 0.3, np.random.default_rng(0))
    assert response[0] == 1.0
    wav = np.concatenate([np.zeros(2000, np.float32), tone(0.5), np.zeros(4000, np.float32)])
    wet = a.reverberate(wav, response)
    assert len(wet) == len(wav)
    assert power_db(wet) == pytest.approx(power_db(wav), abs=0.01)
    assert np.abs(wet[:1990]).max() < 1e-4 < np.abs(wet[2000:2100]).max()
    assert np.abs(wet[10500:]).max() > 1e-3, "no tail"


def test_draws_depend_on_the_generator_alone():
    settings_ = a.AugmentSettings(noise=a.NoiseSettings(share=1.0), room=a.RoomSettings(share=1.0))
    bank = [tone(0.5)]
    first, done = a.augment(tone(), RATE, settings_, "user", np.random.default_rng(3), bank)
    again, _ = a.augment(tone(), RATE, settings_, "user", np.random.default_rng(3), bank)
    other, _ = a.augment(tone(), RATE, settings_, "user", np.random.default_rng(4), bank)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert set(done) == {"noise", "room"}
    untouched, nothing = a.augment(tone(), RATE, settings_, "assistant", np.random.default_rng(3), bank)
    assert np.array_equal(untouched, tone())
    assert nothing == {}


def test_wrong_settings_name_the_key():
    with pytest.raises(MostError, match="snr_db"):
        a.NoiseSettings(snr_db=(30, 10))
    with pytest.raises(MostError, match="did you mean 'pink'"):
        a.NoiseSettings(kinds=("pinc",))
    with pytest.raises(MostError, match="share"):
        a.RoomSettings(share=1.5)
