"""The model in the package: small, documented, the default; it hears, speaks and answers."""

from __future__ import annotations

import numpy as np
import pytest

from most.demo.meet import read_samples
from most.evaluate.wer import word_errors
from most.generate.engine import Engine, SpeakSettings
from most.model.load import default_model_dir


@pytest.fixture(scope="module")
def engine():
    return Engine.load(default_model_dir())


def test_it_is_small_and_has_a_card():
    folder = default_model_dir()
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) <= 40e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    for said in ("## Scores", "## How it was trained", "## Data", "## What it cannot do", "## Licences"):
        assert said in card


def test_it_hears_people_whom_it_never_met(engine):
    samples = [s for s in read_samples() if s.kind == "transcribe"]
    errors = word_errors([s.text for s in samples], engine.transcribe([s.file for s in samples]), normalizer="english")
    assert errors.wer < 0.3


def test_it_answers_in_writing_and_aloud(engine):
    asked = [s for s in read_samples() if s.kind == "question"]
    said = [[{"role": "user", "content": [{"type": "audio", "audio": s.file}]}] for s in asked]
    replies = engine.reply(said, settings=SpeakSettings(seed=0))
    for reply in replies:
        assert reply.text
        assert 0.3 < len(reply.speech.waveform) / reply.speech.sample_rate < 10
        assert np.abs(reply.speech.waveform).max() > 0.05
    (after_twelve,) = [r.text for s, r in zip(asked, replies, strict=True) if "twelve" in s.text]
    assert "thirteen" in after_twelve
