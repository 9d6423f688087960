"""Microphone and loudspeaker over a stand-in for sounddevice, and the end of speech over recorded people."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from most.data.fsdd import Recordings
from most.errors import MostError
from most.speech import devices
from most.speech.audio import resample

RATE = 16000
pytest.importorskip("pocketsphinx")


class PortAudioError(Exception):
    pass


class FakeSound:
    """What devices.py uses of sounddevice: a microphone that hears `heard`, a loudspeaker that keeps what it plays.

    From `full_at` seconds on it takes no more than it plays.
    """

    PortAudioError = PortAudioError

    def __init__(self, heard=None, rates=(16000,), device=True, full_at=None, broken=False):
        self.heard, self.rates, self.device, self.full_at, self.broken = heard, rates, device, full_at, broken
        self.played, self.position, self.ended = np.zeros(0, np.float32), 0, None
        self.full, self.closed = threading.Event(), False

    def query_devices(self, kind):
        if not self.device:
            raise PortAudioError("Error querying device -1")
        return {"default_samplerate": float(self.rates[0])}

    def check_input_settings(self, channels, dtype, samplerate):
        if samplerate not in self.rates:
            raise PortAudioError("Invalid sample rate")

    check_output_settings = check_input_settings

    def InputStream(self, samplerate, channels, dtype, blocksize):
        self.check_input_settings(channels, dtype, samplerate)
        return _Stream(self, samplerate)

    def OutputStream(self, samplerate, channels, dtype):
        return self.InputStream(samplerate, channels, dtype, 0)


class _Stream:
    latency = 0.1

    def __init__(self, sound, rate):
        self.sound, self.rate = sound, rate

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sound.ended = self.sound.ended or "stop"

    def read(self, n):
        s = self.sound
        part = s.heard[s.position : s.position + n]
        s.position += n
        return np.pad(part, (0, n - len(part)))[:, None], False

    def write(self, block):
        if self.sound.broken:
            raise PortAudioError("Unanticipated host error")
        self.sound.played = np.concatenate([self.sound.played, block[:, 0]])
        at = self.sound.full_at
        if at is not None and len(self.sound.played) >= at * self.rate:
            self.sound.full.set()
            time.sleep(0.05)  # as a device does whose buffer is full

    def start(self):
        pass

    def close(self):
        self.sound.closed = True

    def stop(self):
        self.sound.ended = "stop"

    def abort(self):
        self.sound.ended = "abort"


@pytest.fixture
def plug(monkeypatch):
    def put(**settings):
        sound = FakeSound(**settings)
        monkeypatch.setitem(sys.modules, "sounddevice", sound)
        return sound

    return put


@pytest.fixture(scope="module")
def spoken():
    """A second of quiet, two digits half a second apart, and quiet; and where the second digit ends."""
    recordings, rng = Recordings(), np.random.default_rng(0)
    one, two = (resample(recordings.wav(recordings.ids("theo", d)[0]), 8000, RATE) for d in (5, 9))
    wav = np.concatenate([np.zeros(RATE), one, np.zeros(RATE // 2), two, np.zeros(5 * RATE)])
    return (wav + 1e-3 * rng.normal(size=len(wav))).astype(np.float32), len(wav) / RATE - 5


def test_recording_ends_with_the_pause_behind_speech(plug, spoken):
    wav, end = spoken
    plug(heard=wav)
    got = devices.record(30, lambda: False)
    assert end + 0.5 < len(got) / RATE < end + 1.5
    np.testing.assert_array_equal(got, wav[: len(got)])
    plug(heard=wav)
    assert len(devices.record(30, lambda: False, pause_seconds=2.0)) > len(got) + RATE // 2


def test_recording_ends_on_enter_and_at_its_longest_and_not_in_silence(plug, spoken):
    wav, _ = spoken
    presses = iter([False] * 9 + [True])
    plug(heard=wav)
    assert len(devices.record(30, lambda: next(presses))) == 10 * 480
    plug(heard=np.zeros(RATE, np.float32))
    assert len(devices.record(4, lambda: False)) == pytest.approx(4 * RATE, abs=480)


def test_a_microphone_of_another_rate(plug, spoken):
    wav, end = spoken
    plug(heard=resample(wav, RATE, 44100), rates=(44100,))
    got = devices.record(30, lambda: False)
    assert end + 0.5 < len(got) / RATE < end + 1.5
    near = slice(RATE // 2, int(end * RATE))
    assert np.corrcoef(got[near], wav[near])[0, 1] > 0.999


def test_playing_goes_on_to_the_end_of_what_came(plug):
    wav = np.linspace(-0.5, 0.5, 2 * RATE, dtype=np.float32)
    sound = plug()
    with devices.Player(RATE) as player:
        for part in np.split(wav, 4):
            player.play(part)
    assert player.heard_seconds == 2.0
    np.testing.assert_array_equal(sound.played, wav)
    assert (sound.ended, sound.closed) == ("stop", True)


def test_playing_is_stopped_at_once_and_says_what_was_heard(plug):
    for at in (0.01, 1.0):
        sound = plug(full_at=at)
        player = devices.Player(RATE)
        with suppress(KeyboardInterrupt), player:
            player.play(np.zeros(20 * RATE, np.float32))
            assert sound.full.wait(10)
            raise KeyboardInterrupt
        assert sound.ended == "abort"
        assert sound.closed
        written = len(sound.played) / RATE
        assert written < 2
        assert player.heard_seconds == pytest.approx(max(0.0, written - 0.1))


def test_a_loudspeaker_of_another_rate_and_one_that_breaks(plug):
    wav = np.sin(np.arange(RATE) / 20).astype(np.float32)
    sound = plug(rates=(48000,))
    with devices.Player(RATE) as player:
        for part in np.split(wav, 8):
            player.play(part)
    np.testing.assert_allclose(sound.played, resample(wav, RATE, 48000), atol=2e-3)
    assert player.heard_seconds == pytest.approx(1.0, abs=1e-3)
    plug(broken=True)
    with pytest.raises(MostError, match="Unanticipated"), devices.Player(RATE) as player:
        player.play(wav)


def test_what_is_missing_is_said(plug, monkeypatch):
    plug(device=False, heard=np.zeros(1, np.float32))
    for use in (lambda: devices.record(1, lambda: False), lambda: devices.require_devices("input")):
        with pytest.raises(MostError, match=r"microphone.*device"):
            use()
    with pytest.raises(MostError, match="loudspeaker"):
        devices.Player(RATE)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MostError, match=r"most-speech\[mic\]"):
        devices.require_devices("output")
    monkeypatch.delitem(sys.modules, "sounddevice")

    class NoLibrary:
        def find_spec(self, name, *_):
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.setattr(sys, "meta_path", [NoLibrary(), *sys.meta_path])
    with pytest.raises(MostError, match="libportaudio2"):
        devices.require_devices("output")


def test_seconds_must_be_some(plug):
    plug()
    with pytest.raises(MostError, match="seconds"):
        devices.record(0, lambda: False)
