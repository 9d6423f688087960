"""Real voices and a real judge, where the environment names their folders: MOST_KOKORO, MOST_PIPER, MOST_WHISPER."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from most.data.dialogue.voice import pipeline
from most.data.dialogue.voice.quality import GateSettings, judge_speech
from most.data.dialogue.voice.table import make_synthesizer
from most.manifest import read_examples

from .conftest import interrupted_dialogue  # isort: skip

TEXT = "I usually walk there in forty minutes, but the weather is getting worse."


def settings(variable: str) -> dict[str, str]:
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} does not name a model")
    if variable != "MOST_WHISPER" and shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    return {"model": folder}


@pytest.mark.parametrize("kind", ["kokoro", "piper"])
def test_a_real_voice_is_understood_and_repeats_itself(kind):
    pytest.importorskip("onnxruntime")
    voice = make_synthesizer(kind, settings(f"MOST_{kind.upper()}"))
    name = voice.voices[0]
    first = voice.synthesize(TEXT, name, 5)
    voice.synthesize("Something else in between.", name, 9)
    assert np.array_equal(first, voice.synthesize(TEXT, name, 5)), "speech depends on what was said before"
    assert 2 < len(first) / voice.sample_rate < 8
    assert len(voice.synthesize(TEXT, name, 5, speed=0.7)) > 1.2 * len(first)
    pytest.importorskip("faster_whisper")
    judge = GateSettings(settings=settings("MOST_WHISPER")).make()
    assert judge_speech(judge, first, voice.sample_rate, TEXT).errors <= 1


def test_a_dialogue_of_two_engines(make_recipe):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("faster_whisper")
    voices = [
        {"kind": "piper", "roles": ["user"], "settings": settings("MOST_PIPER")},
        {"kind": "kokoro", "roles": ["assistant"], "names": ["af_heart"], "settings": settings("MOST_KOKORO")},
    ]
    gate = {"settings": settings("MOST_WHISPER"), "max_wer": 0.5}
    recipe = make_recipe([interrupted_dialogue("real")], voices=voices, gate=gate)
    counts = pipeline.speak(recipe, echo=lambda _: None, progress=False)
    assert counts["spoken"] == 1
    (example,) = read_examples(recipe.output / "train.jsonl")
    assert [t.speaker.split(":")[0] for t in example.turns] == ["piper", "kokoro"] * 2
