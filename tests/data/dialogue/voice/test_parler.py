"""Against a stand-in with the signature of parler_tts 0.2: its weights are 3 GB, and it wants transformers 4."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch
import transformers

from most.data.dialogue.voice.table import make_synthesizer
from most.errors import MostError


@pytest.fixture
def parler_tts(monkeypatch):
    class Model:
        config = types.SimpleNamespace(sampling_rate=44100, text_encoder=types.SimpleNamespace(_name_or_path="flan-t5"))

        @classmethod
        def from_pretrained(cls, name):
            return cls()

        def to(self, device):
            return self

        def eval(self):
            return self

        def generate(self, *, input_ids, attention_mask, prompt_input_ids, prompt_attention_mask):
            return torch.rand(1, 10 * prompt_input_ids.shape[1])

    names = []

    def tokenizer(name):
        names.append(name)

        def encode(text, return_tensors):
            ids = torch.zeros(1, len(text.split()), dtype=torch.long)
            return transformers.BatchEncoding({"input_ids": ids, "attention_mask": ids})

        return encode

    module = types.ModuleType("parler_tts")
    module.ParlerTTSForConditionalGeneration = Model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "parler_tts", module)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", tokenizer)
    return names


def test_described_voices_under_a_seed(parler_tts):
    voice = make_synthesizer("parler", {"model": "p", "descriptions": {"jon": "Jon is calm.", "lea": "Lea is fast."}})
    assert voice.voices == ("jon", "lea")
    assert voice.sample_rate == 44100
    assert parler_tts == ["p", "flan-t5"]
    before = torch.random.get_rng_state()
    first = voice.synthesize("Say these words.", "jon", 3)
    assert (first.dtype, first.shape) == (np.float32, (30,))
    assert np.array_equal(first, voice.synthesize("Say these words.", "jon", 3))
    assert not np.array_equal(first, voice.synthesize("Say these words.", "jon", 4))
    assert torch.equal(before, torch.random.get_rng_state()), "others draw from this generator too"
    with pytest.raises(MostError, match=r"parler\.voice"):
        voice.synthesize("Say.", "joan", 0)


def test_without_the_package_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "parler_tts", None)
    voice = make_synthesizer("parler", {"model": "p", "descriptions": {"jon": "calm"}})
    with pytest.raises(MostError, match="kind: endpoint"):
        voice.synthesize("Say.", "jon", 0)
