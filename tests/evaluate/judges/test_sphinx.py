"""PocketSphinx as a judge: it hears clean speech whatever came before, and silence is no words."""

import numpy as np
import pytest
import soxr

from most.data.digits import connect
from most.data.fsdd import Recordings
from most.errors import MostError
from most.evaluate.judges import PocketSphinx, PocketSphinxDigits, fill_upper_band, make_judge, score_speech
from most.evaluate.wer import word_errors


def test_pocketsphinx_hears_clean_digits_at_any_rate_and_level(theo):
    judge = make_judge("pocketsphinx-digits")
    wavs, texts = theo
    score = score_speech(judge, wavs, texts, normalizer="digits")
    assert score.speech.wer <= 1 / 6
    louder = [soxr.resample(w, 16000, 24000) * 3 for w in wavs]
    assert score_speech(judge, louder, texts, rate=24000, normalizer="digits").hypotheses == score.hypotheses
    assert score_speech(judge, wavs, texts, normalizer="digits") == score


@pytest.mark.parametrize(("kind", "telling"), [(PocketSphinxDigits, 1), (PocketSphinx, 3)])
def test_what_it_heard_before_does_not_count(kind, telling):
    """`telling` is heard otherwise behind the others by a decoder that keeps what it learned of noise and channel."""
    recordings, rng, wavs = Recordings(), np.random.default_rng(0), []
    for speaker in ("george", "nicolas"):
        for digits in ((8, 3, 1), (6, 0, 9)):
            parts = [recordings.wav(recordings.ids(speaker, d)[10]) for d in digits]
            wavs.append(soxr.resample(connect(parts, rng, (0.2, 0.25)), 8000, 16000))
    judge = kind()
    heard = [judge.transcribe(wav, 16000) for wav in wavs[: telling + 1]]
    assert heard[telling] == kind().transcribe(wavs[telling], 16000)


def test_the_open_vocabulary_hears_people_too(theo):
    judge = make_judge("pocketsphinx")
    heard = [judge.transcribe(wav, 16000) for wav in theo[0]]
    assert word_errors(theo[1], heard, normalizer="digits").wer <= 1 / 3


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
