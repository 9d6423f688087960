"""Scoring speech: what was never spoken counts as deleted, and people's own score stands beside."""

import numpy as np
import pytest

from most.errors import MostError
from most.evaluate.judges import score_speech


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
