"""Flite's real voices through its program: understood, repeatable, and clear about what is wrong."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from most.data.dialogue.voice.flite import VOICES
from most.data.dialogue.voice.quality import GateSettings, judge_speech
from most.data.dialogue.voice.seam import Unspeakable
from most.data.dialogue.voice.table import make_synthesizer
from most.errors import MostError

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="the program flite is not installed")
DIGITS = "three one four nine zero two"


@needs_flite
@pytest.mark.parametrize("voice", VOICES)
def test_each_voice_repeats_itself_and_is_understood(voice):
    pytest.importorskip("pocketsphinx")
    flite = make_synthesizer("flite", {})
    first = flite.synthesize(DIGITS, voice, 5)
    flite.synthesize("Something else in between.", voice, 9)
    assert np.array_equal(first, flite.synthesize(DIGITS, voice, 6))
    assert len(flite.synthesize(DIGITS, voice, 5, speed=0.8)) > 1.1 * len(first)
    judge = GateSettings(judge="pocketsphinx-digits", settings={}).make()
    assert judge_speech(judge, first, flite.sample_rate, DIGITS, "digits").errors <= 1


@needs_flite
def test_what_cannot_be_said_and_what_is_not_there():
    flite = make_synthesizer("flite", {})
    with pytest.raises(Unspeakable):
        flite.synthesize("...", "slt", 0)
    with pytest.raises(MostError, match="did you mean 'slt'"):
        flite.synthesize("Hello.", "slv", 0)
    # Only words, whatever they look like to a command line.
    assert len(flite.synthesize("-voice list; $(touch x)", "slt", 0)) > 8000


def test_a_missing_program_is_named(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MostError, match="apt install flite"):
        make_synthesizer("flite", {})
