"""Judges: the digit judge hears clean digits, silence is no words, and what was never spoken counts as deleted."""

import builtins

import numpy as np
import pytest
import soxr

from most.data.digits import connect
from most.data.fsdd import Recordings
from most.errors import MostError
from most.evaluate.judges import PocketSphinxDigits, fill_upper_band, make_judge, score_speech


@pytest.fixture(scope="module")
def theo():
    """Two connected digit utterances by one person, 16 kHz, with their texts."""
    recordings, rng = Recordings(), np.random.default_rng(0)
    wavs = []
    for digits in ((8, 3, 1), (7, 3, 2)):
        parts = [recordings.wav(recordings.ids("theo", d)[10]) for d in digits]
        wavs.append(soxr.resample(connect(parts, rng, (0.2, 0.25)), 8000, 16000))
    return wavs, ["eight three one", "seven three two"]


class Parrot:
    """A judge that says what it was told to."""

    name = "parrot"
    sample_rate = 16000

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)

    def transcribe(self, wav: np.ndarray, rate: int) -> str:
        return self.lines.pop(0)


def test_speech_never_made_counts_and_originals_stand_beside():
    wav = np.zeros(1600, np.float32)
    got = score_speech(
        Parrot("one two", "three for", "one two"),
        [wav, None, wav],
        ["one two", "one nine", "three four"],
        [wav],
        normalizer="digits",
    )
    assert got.hypotheses == ("one two", "", "three for")
    assert (got.speech.deletions, got.speech.substitutions) == (2, 1)
    assert got.speech.n_empty == 1
    assert got.originals is not None
    assert got.originals.wer == 0
    assert got.originals.n_items == 1
    assert got.judge == "parrot"


def test_counts_must_fit():
    wav = np.zeros(1600, np.float32)
    with pytest.raises(MostError, match="one waveform"):
        score_speech(Parrot(), [wav], ["a", "b"])
    with pytest.raises(MostError, match="originals"):
        score_speech(Parrot(), [wav], ["a"], [wav, wav])


def test_pocketsphinx_hears_clean_digits_at_any_rate_and_level(theo):
    judge = make_judge("pocketsphinx-digits")
    wavs, texts = theo
    score = score_speech(judge, wavs, texts, normalizer="digits")
    assert score.speech.wer <= 1 / 6
    louder = [soxr.resample(w, 16000, 24000) * 3 for w in wavs]
    assert score_speech(judge, louder, texts, rate=24000, normalizer="digits").hypotheses == score.hypotheses
    assert score_speech(judge, wavs, texts, normalizer="digits") == score


def test_silence_and_nothing_are_no_words():
    judge = PocketSphinxDigits()
    assert judge.transcribe(np.zeros(16000, np.float32), 16000) == ""
    assert judge.transcribe(np.zeros(0, np.float32), 16000) == ""


def test_audio_that_cannot_be_judged_is_named():
    judge = PocketSphinxDigits()
    with pytest.raises(MostError, match="mono"):
        judge.transcribe(np.zeros((2, 1600), np.float32), 16000)
    with pytest.raises(MostError, match="NaN"):
        judge.transcribe(np.full(1600, np.nan, np.float32), 16000)


def test_the_upper_band_is_filled_only_where_there_is_none(theo):
    wav = theo[0][0]
    filled = fill_upper_band(wav)
    power, hz = np.abs(np.fft.rfft(filled)) ** 2, np.fft.rfftfreq(len(wav), 1 / 16000)
    before = np.abs(np.fft.rfft(wav)) ** 2
    assert power[hz > 4200].sum() > 100 * before[hz > 4200].sum()
    assert np.allclose(power[hz < 3900], before[hz < 3900], rtol=1e-3, atol=1e-3 * before.max())
    wide = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    assert fill_upper_band(wide) is wide


def test_a_judge_that_is_not_there_names_the_way_out(monkeypatch):
    with pytest.raises(MostError, match="did you mean 'faster-whisper'"):
        make_judge("fast-whisper")
    with pytest.raises(MostError, match="settings"):
        make_judge("pocketsphinx-digits", colour="blue")
    with pytest.raises(MostError, match="could not be loaded"):
        make_judge("faster-whisper", model="./no/such/folder")
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] in ("pocketsphinx", "faster_whisper"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for name, settings in (("pocketsphinx-digits", {}), ("faster-whisper", {"model": "base"})):
        with pytest.raises(MostError, match=r"most-speech\[eval\]"):
            make_judge(name, **settings)
