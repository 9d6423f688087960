"""Files of any length: cut in pauses, heard once each, joined in order, whatever else is in the batch."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from most.errors import MostError
from most.generate.engine import Engine
from most.generate.transcribe import transcribe_files
from most.speech.audio import write_audio

RATE = 16000


@pytest.fixture(scope="module")
def engine(tiny_most, tiny_codec):
    return Engine.load(tiny_most, tiny_codec)


class Listener:
    """An engine that answers with what it was given: the pitch of each piece, in hundreds of Hz."""

    def __init__(self, processor):
        self.processor, self.waves, self.batches = processor, [], []

    def transcribe(self, waves, *, batch_size):
        self.waves += waves
        self.batches.append(len(waves))
        return [self._pitches(w) for w in waves]

    def _pitches(self, wav):
        frames = wav[: len(wav) // 1600 * 1600].reshape(-1, 1600)
        loud = [np.abs(np.fft.rfft(f)).argmax() / 10 for f in frames if np.abs(f).max() > 0.1]
        return " ".join(dict.fromkeys(f"{p:.0f}" for p in loud))


def tones(pitches, *, seconds=3.0, pause=0.5):
    t = np.arange(int(seconds * RATE)) / RATE
    rest = np.zeros(int(pause * RATE))
    return np.concatenate([np.r_[0.5 * np.sin(2 * np.pi * 100 * p * t), rest] for p in pitches]).astype(np.float32)


@pytest.fixture
def listener(engine):
    return Listener(engine.processor)


def test_a_long_file_is_heard_whole_and_in_order(listener, tmp_path):
    write_audio(tmp_path / "long.flac", tones(range(2, 18)), RATE)
    write_audio(tmp_path / "short.wav", tones([3]), RATE)
    names = [tmp_path / n for n in ("short.wav", "long.flac", "none.wav", "short.wav")]
    short, long, none, again = transcribe_files(listener, names, batch_size=3)
    assert (short.text, short.n_pieces, again.text) == ("3", 1, "3")
    assert long.text.split() == [str(p) for p in range(2, 18)], "a tone is cut by no piece, so it is heard once"
    assert long.seconds == pytest.approx(56)
    assert long.n_pieces >= 7
    assert (long.cut_in_speech, long.n_silent) == (0, 0)
    assert "none.wav" in str(none.error)
    assert max(len(w) for w in listener.waves) <= 8 * RATE + 1
    assert sum(len(w) for w in listener.waves) == pytest.approx((56 + 7) * RATE, abs=listener.batches[0] * 20)
    assert max(listener.batches) == 3


def test_silence_is_left_out_and_counted_and_speech_without_a_pause_is_cut(listener, tmp_path):
    wav = np.concatenate([tones([4]), np.zeros(20 * RATE, np.float32), tones([5], seconds=20)])
    write_audio(tmp_path / "a.wav", wav, RATE)
    (heard,) = transcribe_files(listener, [tmp_path / "a.wav"])
    assert heard.n_silent >= 1
    assert heard.cut_in_speech >= 1
    assert len(listener.waves) == heard.n_pieces - heard.n_silent
    assert heard.text.split() == ["4", *["5"] * heard.text.split().count("5")]


def test_bad_files_are_errors_of_their_own(listener, tmp_path):
    write_audio(tmp_path / "silent.wav", np.zeros(20 * RATE, np.float32), RATE)
    write_audio(tmp_path / "blip.wav", np.full(40, 0.5, np.float32), RATE)
    write_audio(tmp_path / "good.wav", tones([6]), RATE)
    write_audio(tmp_path / "half.flac", tones(range(2, 9)), RATE)
    whole = (tmp_path / "half.flac").read_bytes()
    (tmp_path / "half.flac").write_bytes(whole[: len(whole) // 2])
    names = [tmp_path / n for n in ("half.flac", "silent.wav", "blip.wav", "good.wav")]
    half, silent, blip, good = transcribe_files(listener, names, batch_size=2)
    assert "half.flac" in str(half.error)
    assert half.text == ""
    assert "is silent" in str(silent.error)
    assert "too short" in str(blip.error)
    assert good.text == "6"


def test_the_engine_hears_pieces_as_it_hears_files(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "transcribe", partial(engine.transcribe, max_new_tokens=8))
    write_audio(tmp_path / "a.wav", tones([3, 5, 7]), RATE)
    write_audio(tmp_path / "b.wav", tones([4]), RATE)
    alone = [next(iter(transcribe_files(engine, [tmp_path / n], batch_size=1))) for n in ("a.wav", "b.wav")]
    assert alone[0].n_pieces == 2
    assert list(transcribe_files(engine, [tmp_path / "a.wav", tmp_path / "b.wav"], batch_size=8)) == alone


@pytest.mark.parametrize("settings", [{"max_piece_seconds": 31}, {"max_piece_seconds": 0}, {"batch_size": 0}])
def test_settings_that_cannot_be(listener, settings):
    with pytest.raises(MostError, match=next(iter(settings))):
        transcribe_files(listener, [], **settings)
