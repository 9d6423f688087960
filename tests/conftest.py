"""Small real parts that many tests share: a tokenizer trained on a few sentences, with units and markers."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import hypothesis
import numpy as np
import pytest
import torch
from transformers import WhisperConfig

from most.convert.backbone import BackboneRecipe, init_backbone, train_tokenizer
from most.convert.convert import convert
from most.convert.settings import ConvertSettings
from most.data.encode import encode_manifests
from most.manifest import AudioRef, Example, Turn, write_jsonl
from most.model.processing import add_speech_tokens
from most.sequence import SequenceBuilder
from most.speech.audio import write_audio
from most.speech.codec import Codec, CodecSettings
from most.speech.encoder import build_encoder
from most.speech.units import KMeansQuantizer
from most.speech.vocoder.convnext import ConvNextVocoder, ConvNextVocoderConfig
from most.vocab import SpeechVocab

SENTENCES = ["one two three", "Transcribe the speech.", "Say: four five six", "after three comes four"]
N_UNITS = 20

torch.set_num_threads(min(2, torch.get_num_threads()))
hypothesis.settings.register_profile("most", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("most")


@pytest.fixture(scope="session")
def tokenizer():
    tokenizer = train_tokenizer(SENTENCES, vocab_size=300)
    add_speech_tokens(tokenizer, N_UNITS)
    return tokenizer


@pytest.fixture(scope="session")
def vocab(tokenizer):
    text_size = len(tokenizer) - N_UNITS - 5
    return SpeechVocab(text_size=text_size, n_units=N_UNITS, vocab_size=len(tokenizer) + 3)


@pytest.fixture(scope="session")
def builder(tokenizer, vocab):
    return SequenceBuilder(tokenizer, vocab)


@pytest.fixture(scope="session")
def tiny_codec(tmp_path_factory):
    """A codec of random weights: two-layer Whisper encoder, 20 units, small ConvNeXt vocoder with two voices."""
    torch.manual_seed(0)
    encoder = build_encoder(
        WhisperConfig(d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32, num_mel_bins=80)
    )
    quantizer = KMeansQuantizer(torch.zeros(16), torch.ones(16), torch.randn(N_UNITS, 16))
    vocoder = ConvNextVocoder(
        ConvNextVocoderConfig(n_units=N_UNITS, speakers=("ann", "bob"), width=16, frame_blocks=1, pitch_width=8)
    )
    folder = tmp_path_factory.mktemp("codec")
    Codec(encoder, quantizer, vocoder, CodecSettings(layer=1)).save(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory):
    """Examples of all three tasks over six short tones in noise: the folder, with train.jsonl and audio."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    words = ["one", "two", "three", "four", "five", "six"]
    examples = []
    for k, word in enumerate(words):
        n = 4000 + 900 * k
        wav = 0.3 * np.sin(2 * np.pi * (200 + 60 * k) * np.arange(n) / 16000) + 0.01 * rng.normal(size=n)
        ref = AudioRef(path=folder / f"{k}.wav")
        write_audio(ref.path, wav.astype(np.float32), 16000)
        ask = Turn(role="user", audio=ref, text="Transcribe the speech.")
        examples.append(Example(id=f"asr{k}", task="asr", turns=(ask, Turn(role="assistant", text=word))))
        ask = Turn(role="user", text=f"Say: {word}")
        examples.append(Example(id=f"tts{k}", task="tts", turns=(ask, Turn(role="assistant", audio=ref))))
        document = Turn(role="document", text=f"after {word} comes {words[(k + 1) % 6]}")
        examples.append(Example(id=f"text{k}", task="text", turns=(document,)))
    write_jsonl(folder / "train.jsonl", examples)
    return folder


@pytest.fixture(scope="session")
def tiny_most(tmp_path_factory, tiny_codec, tiny_corpus):
    """A converted MoST of random weights over the tiny codec, by the project's own `init` and `convert`."""
    folder = tmp_path_factory.mktemp("models")
    config = {
        "model_type": "deepseek_v2", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "intermediate_size": 48, "first_k_dense_replace": 1, "n_routed_experts": 4,
        "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 16, "q_lora_rank": None,
        "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 16,
    }  # fmt: skip
    recipe = BackboneRecipe(
        output=folder / "backbone", manifests=(tiny_corpus / "train.jsonl",), vocab_size=290, config=config
    )
    init_backbone(recipe, echo=lambda _: None)
    return convert(
        folder / "backbone",
        folder / "most",
        codec=tiny_codec,
        settings=ConvertSettings(new_row_noise=1.0),
        echo=lambda _: None,
    )


@pytest.fixture(scope="session")
def tiny_arrays(tmp_path_factory, tiny_codec, tiny_corpus):
    out = tmp_path_factory.mktemp("arrays")
    encode_manifests([tiny_corpus / "train.jsonl"], out, Codec.load(tiny_codec), echo=lambda _: None, progress=False)
    return out
