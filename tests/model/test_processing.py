"""The processor: placeholders match the encoder, prompts are padded on the left, decoding tells text from units."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoProcessor, WhisperConfig

from most.errors import MostError
from most.model import MostConfig, MostProcessor
from most.model.processing import add_speech_tokens
from most.speech.encoder import build_encoder

AUDIO = WhisperConfig(
    d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32, num_mel_bins=80
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder():
    return build_encoder(AUDIO)


@pytest.fixture(scope="module")
def processor(tokenizer, vocab, encoder):
    return MostProcessor(
        tokenizer=tokenizer, audio_config=encoder.config_dict(), text_size=vocab.text_size, n_units=vocab.n_units,
        vocab_size=vocab.vocab_size, audio_stack=2,
    )  # fmt: skip


def noise(n, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32)


@given(st.integers(400, 40000), st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_positions_are_the_encoders_frames_stacked(tokenizer, vocab, encoder, n_samples, stack):
    processor = MostProcessor(
        tokenizer=tokenizer, audio_config=encoder.config_dict(), text_size=vocab.text_size, n_units=vocab.n_units,
        vocab_size=vocab.vocab_size, audio_stack=stack,
    )  # fmt: skip
    wav = torch.from_numpy(noise(n_samples))[None]
    _, n_frames = encoder(wav, torch.tensor([n_samples]))
    assert processor.num_positions(n_samples) == -(-int(n_frames[0]) // stack)
    config = MostConfig(audio_config=encoder.config_dict(), audio_stack=stack)
    assert config.num_positions(n_samples) == processor.num_positions(n_samples)


def test_a_batch_of_prompts(processor, vocab):
    asr = [{"role": "user", "content": [{"type": "audio", "audio": noise(9000)}, {"type": "text", "text": "one"}]}]
    tts = [{"role": "user", "content": "Say: two three"}]
    batch = processor([asr, tts])
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    n = int(batch["attention_mask"][1].sum())
    assert batch["attention_mask"][1].tolist() == [0] * (batch["input_ids"].shape[1] - n) + [1] * n
    assert int((batch["input_ids"] == vocab.wave).sum()) == processor.num_positions(9000)
    assert batch["waveforms"].shape == (1, 9000)
    assert batch["waveform_lengths"].tolist() == [9000]
    assert "waveforms" not in processor([tts])
    assert processor([tts], answer="speech")["input_ids"][0, -1] == vocab.audio_begin


def test_decoding_tells_text_from_units(processor, tokenizer, vocab):
    text = tokenizer("one two", add_special_tokens=False)["input_ids"]
    ids = [*text, vocab.audio_begin, vocab.unit_id(3), vocab.unit_id(19), vocab.audio_end, tokenizer.eos_token_id]
    assert processor.decode_text(torch.tensor(ids)) == "one two"
    assert processor.units_of(ids).tolist() == [3, 19]


def test_save_and_load_through_the_auto_class(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    MostConfig(text_config={"model_type": "deepseek_v2"}).save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(again, MostProcessor)
    assert again.vocab == processor.vocab
    assert again.num_positions(12345) == processor.num_positions(12345)
    conversation = [[{"role": "user", "content": "Say: one"}]]
    assert again(conversation)["input_ids"].tolist() == processor(conversation)["input_ids"].tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"type": "image", "image": 1}], "content.type"),
        ([{"type": "audio"}], "names no audio"),
        ([{"type": "audio", "audio": np.zeros(9000, dtype=np.float32)}], "silen"),
        ([{"type": "audio", "audio": np.zeros(0, dtype=np.float32)}], "audio|waveform"),
        ([{"type": "audio", "audio": np.full(9000, np.nan, dtype=np.float32)}], "audio|waveform"),
        ([{"type": "audio", "audio": noise(16000 * 31)}], "30"),
        ([{"type": "audio", "audio": "nowhere.wav"}], "nowhere.wav"),
    ],
)
def test_bad_content_is_named(processor, content, message):
    with pytest.raises(MostError, match=message):
        processor([[{"role": "user", "content": content}]])


def test_speech_tokens_are_added_once(tokenizer):
    with pytest.raises(MostError, match="already"):
        add_speech_tokens(tokenizer, 20)
