"""Calibration gives every speaker the same words and is the same each time; a judge that hears nothing scores 100 %."""

import numpy as np
import pytest

from most.data.fsdd import SPEAKERS
from most.evaluate.calibrate import calibrate


class Deaf:
    name = "deaf"
    sample_rate = 16000

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def transcribe(self, wav: np.ndarray, rate: int) -> str:
        assert wav.dtype == np.float32
        self.seconds.append(len(wav) / rate)
        return ""


def test_every_speaker_says_the_same_number_of_words():
    judge = Deaf()
    got = calibrate(judge, n_utterances=5)
    assert set(got) == {*SPEAKERS, "all"}
    assert len({got[s].reference_words for s in SPEAKERS}) == 1
    assert got["all"].reference_words == sum(got[s].reference_words for s in SPEAKERS)
    assert got["all"].wer == 1.0
    assert got["all"].n_empty == 30
    again = Deaf()
    calibrate(again, n_utterances=5)
    assert again.seconds == judge.seconds
    assert all(0.8 < s < 8 for s in judge.seconds)


def test_some_speakers_only():
    got = calibrate(Deaf(), speakers=("theo",), n_utterances=2)
    assert set(got) == {"theo", "all"}
    assert got["theo"].wer == pytest.approx(1.0)
