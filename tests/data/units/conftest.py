"""Tiny encoders of both families, and a folder of short recordings of several rates with their manifest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import HubertConfig

from most.manifest import AudioRef, Utterance, write_jsonl
from most.speech.audio import write_audio
from most.speech.codec import Codec, CodecSettings
from most.speech.encoder import build_encoder
from most.speech.units import KMeansQuantizer


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def whisper(tiny_codec):
    return Codec.load(tiny_codec)


@pytest.fixture(scope="session")
def hubert():
    torch.manual_seed(1)
    config = HubertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
    )  # fmt: skip
    quantizer = KMeansQuantizer(torch.zeros(16), torch.ones(16), torch.randn(30, 16))
    return Codec(build_encoder(config), quantizer, None, CodecSettings(layer=1))


def recording(path, n, rate, seed):
    wav = np.random.default_rng(seed).normal(0, 0.1, n).clip(-1, 1).astype(np.float32)
    return write_audio(path, wav, rate)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """Fourteen recordings of a fifth of a second to one and a half, some of equal length; all.jsonl names them."""
    folder = tmp_path_factory.mktemp("recordings")
    rows = []
    for i in range(14):
        rate = (16000, 8000, 24000)[i % 3]
        path = recording(folder / f"{i}{('.wav', '.flac')[i % 2]}", rate * (2 + i // 2 * 2) // 10, rate, i)
        rows.append(Utterance(id=f"u{i}", audio=AudioRef(path=path)))
    write_jsonl(folder / "all.jsonl", rows)
    return folder / "all.jsonl"
