"""transformers' own pipeline over a MoST folder: the same answer as the engine's."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import pipeline

from most.errors import MostError
from most.generate.engine import TRANSCRIBE_PROMPT, Engine


@pytest.fixture(scope="module")
def pipe(tiny_most):
    return pipeline("any-to-any", model=str(tiny_most))


def test_any_to_any_answers_as_the_engine_does(pipe, tiny_most, tiny_codec):
    wav = (0.2 * np.random.default_rng(0).normal(size=8000)).astype(np.float32)
    content = [{"type": "audio", "audio": wav}, {"type": "text", "text": TRANSCRIBE_PROMPT}]
    (made,) = pipe(
        [{"role": "user", "content": content}], return_full_text=False, max_new_tokens=12,
        generate_kwargs={"mode": "text", "do_sample": False},
    )  # fmt: skip
    engine = Engine.load(tiny_most, tiny_codec)
    assert made["generated_text"].strip() == engine.answer_text([content], max_new_tokens=12)[0]
    assert made["generated_text"].strip()


def test_what_it_cannot_do_is_said(pipe):
    with pytest.raises(MostError, match="end it with the user's"):
        pipe([{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}])
    with pytest.raises(MostError, match="generation_mode"):
        pipe.processor.post_process_multimodal_output([[1]], generation_mode="audio")
