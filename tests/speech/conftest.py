"""A tiny codec with random weights, and a small manifest of noises, for tests of what is built from them."""

import json

import numpy as np
import pytest
import torch

from most.speech.audio import write_audio
from most.speech.codec import Codec, CodecSettings
from most.speech.encoder import build_encoder
from most.speech.units import KMeansQuantizer
from most.speech.vocoder.base import build_vocoder

WHISPER = dict(
    model_type="whisper", num_mel_bins=80, d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=16,
    decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=16, max_source_positions=1500, vocab_size=64,
    pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
)  # fmt: skip
CONVNEXT = dict(width=8, unit_blocks=1, frame_blocks=1, pitch_width=8, pitch_dilations=(1,), expansion=1)


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    # Tensors here are tiny: more threads only wait for each other.
    torch.set_num_threads(1)


@pytest.fixture
def codec():
    torch.manual_seed(0)
    encoder = build_encoder(WHISPER)
    quantizer = KMeansQuantizer(torch.zeros(16), torch.ones(16), torch.randn(12, 16))
    vocoder = build_vocoder("convnext", dict(n_units=12, speakers=("ann", "bob"), **CONVNEXT))
    return Codec(encoder, quantizer, vocoder, CodecSettings(layer=1, default_speaker="bob"))


@pytest.fixture
def manifest(tmp_path):
    """Six buzzing recordings of half a second and more, by two speakers."""
    rng, rows = np.random.default_rng(0), []
    for i in range(6):
        n = 8000 + 777 * i
        buzz = np.sign(np.sin(2 * np.pi * (110 + 30 * i) * np.arange(n) / 16000)) * 0.3 + rng.normal(0, 0.02, n)
        write_audio(tmp_path / "audio" / f"{i}.wav", np.clip(buzz, -1, 1).astype(np.float32), 16000)
        rows.append(
            {"id": f"u{i}", "audio": f"audio/{i}.wav", "speaker": ["ann", "bob"][i % 2], "text": "Cats like milk"}
        )
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path
