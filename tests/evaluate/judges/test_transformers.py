"""Recognisers of transformers as judges, both kinds, with random weights: they load, and what they say is their own."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCTC, AutoProcessor

from most.errors import MostError
from most.evaluate.judges import make_judge


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)


def test_ctc_says_what_the_model_says(tiny_ctc, noise):
    judge = make_judge("transformers", model=tiny_ctc)
    assert (judge.name, judge.sample_rate) == ("transformers:tiny-ctc", 16000)
    processor, model = AutoProcessor.from_pretrained(tiny_ctc), AutoModelForCTC.from_pretrained(tiny_ctc)
    with torch.inference_mode():
        logits = model(**processor(noise, sampling_rate=16000, return_tensors="pt")).logits
    expected = processor.batch_decode(logits.argmax(-1))[0].strip()
    assert len(expected) > 10
    assert judge.transcribe(noise, 16000) == expected


def test_whisper_writes_within_its_bound_and_goes_on_after_half_a_minute(tiny_whisper, noise):
    judge = make_judge("transformers", model=tiny_whisper, language="en")
    short = judge.transcribe(noise, 16000)
    assert 0 < len(short) <= 28
    assert judge.transcribe(noise, 16000) == short
    assert judge.transcribe(np.tile(noise, 35), 16000)


def test_silence_is_no_words_and_other_rates_are_resampled(tiny_ctc, noise):
    judge = make_judge("transformers", model=tiny_ctc)
    assert judge.transcribe(np.zeros(16000, np.float32), 16000) == ""
    assert judge.transcribe(np.zeros(0, np.float32), 16000) == ""
    assert judge.transcribe(noise, 8000) != judge.transcribe(noise, 16000)
    with pytest.raises(MostError, match="mono"):
        judge.transcribe(np.zeros((2, 1600), np.float32), 16000)


def test_a_folder_that_is_no_recogniser_is_named(tmp_path, tiny_most):
    for folder in (tmp_path, tiny_most):
        with pytest.raises(MostError, match="could not be loaded as a recogniser"):
            make_judge("transformers", model=folder)
