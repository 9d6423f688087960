"""Texts of any length: the pieces are the engine's own speech, joined with pauses, and none is lost in silence."""

from __future__ import annotations

import numpy as np
import pytest

from most.errors import MostError
from most.generate.engine import Engine, SpeakSettings
from most.generate.read_aloud import PAUSE_SECONDS, read_aloud

SHORT = SpeakSettings(max_seconds=0.4, seed=2)
TEXT = "It rains today. We have 5 km to go, and nobody brought a coat!"


@pytest.fixture(scope="module")
def engine(tiny_most, tiny_codec):
    return Engine.load(tiny_most, tiny_codec)


def test_pieces_are_said_and_joined(engine):
    pytest.importorskip("num2words")
    said = read_aloud(engine, TEXT, settings=SHORT, max_piece_words=7)
    assert " ".join(said.pieces) == "It rains today. We have five kilometers to go, and nobody brought a coat!"
    assert len(said.pieces) == 3
    alone = engine.speak(list(said.pieces), settings=SHORT)
    waves = [s.waveform for s in alone if len(s.waveform)]
    pause = np.zeros(round(PAUSE_SECONDS * said.sample_rate), dtype=np.float32)
    whole = np.concatenate([part for wav in waves for part in (wav, pause)][:-1])
    assert np.array_equal(said.waveform, whole)
    assert said.n_truncated == sum(s.truncated for s in alone)
    assert said.silent == tuple(k for k, s in enumerate(alone) if not len(s.units))


def test_a_short_text_is_one_piece(engine):
    said = read_aloud(engine, "one two", settings=SHORT)
    assert said.pieces == ("one two",)
    assert np.array_equal(said.waveform, engine.speak(["one two"], settings=SHORT)[0].waveform)


def test_a_piece_of_which_nothing_is_said_is_named(engine, monkeypatch):
    speak = engine.speak

    def dumb(texts, **more):
        made = speak(texts, **more)
        return [type(made[0])(made[0].waveform[:0], made[0].sample_rate, made[0].units[:0], False), *made[1:]]

    monkeypatch.setattr(engine, "speak", dumb)
    said = read_aloud(engine, "One is here. Two is there.", settings=SHORT, max_piece_words=3)
    assert said.silent == (0,)
    assert len(said.waveform) > 0


@pytest.mark.parametrize("text", ["", "  ", "?! ..."])
def test_nothing_to_say_is_refused(engine, text):
    with pytest.raises(MostError, match="text"):
        read_aloud(engine, text)
