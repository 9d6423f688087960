"""Tiny recognisers of random weights in the folders that transformers reads, and people saying digits."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soxr
import torch

from most.data.digits import connect
from most.data.fsdd import Recordings


@pytest.fixture(scope="session")
def theo():
    """Two connected digit utterances by one person, 16 kHz, with their texts."""
    recordings, rng = Recordings(), np.random.default_rng(0)
    wavs = []
    for digits in ((8, 3, 1), (7, 3, 2)):
        parts = [recordings.wav(recordings.ids("theo", d)[10]) for d in digits]
        wavs.append(soxr.resample(connect(parts, rng, (0.2, 0.25)), 8000, 16000))
    return wavs, ["eight three one", "seven three two"]


@pytest.fixture(scope="session")
def tiny_ctc(tmp_path_factory):
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Processor,
    )  # fmt: skip

    folder = tmp_path_factory.mktemp("judges") / "tiny-ctc"
    folder.mkdir()
    symbols = ["<pad>", "<s>", "</s>", "<unk>", "|", *map(chr, range(97, 123))]
    (folder / "vocab.json").write_text(json.dumps({s: k for k, s in enumerate(symbols)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    Wav2Vec2Processor(feature_extractor=Wav2Vec2FeatureExtractor(), tokenizer=tokenizer).save_pretrained(folder)
    config = Wav2Vec2Config(
        vocab_size=len(symbols), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8, 8), conv_kernel=(10, 3), conv_stride=(5, 64), num_feat_extract_layers=2,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    torch.manual_seed(0)
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory):
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )  # fmt: skip

    folder = tmp_path_factory.mktemp("judges") / "tiny-whisper"
    names = ("endoftext", "startoftranscript", "en", "transcribe", "translate", "startofprev", "nospeech")
    special = [f"<|{n}|>" for n in (*names, "notimestamps", *(f"{k * 0.02:.2f}" for k in range(1501)))]
    ids = {token: k for k, token in enumerate([*sorted(ByteLevel.alphabet()), *special])}
    tokenizer = WhisperTokenizer(vocab=ids, merges=[], language="en", task="transcribe")
    tokenizer.add_tokens(special, special_tokens=True)
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    config = WhisperConfig(
        vocab_size=len(ids), num_mel_bins=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, d_model=16, max_target_positions=64,
        decoder_start_token_id=start, eos_token_id=end, pad_token_id=end, bos_token_id=end,
    )  # fmt: skip
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        decoder_start_token_id=start, eos_token_id=end, pad_token_id=end, max_length=64, return_timestamps=False,
        lang_to_id={"<|en|>": ids["<|en|>"]}, is_multilingual=True, prev_sot_token_id=ids["<|startofprev|>"],
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"], begin_suppress_tokens=[end],
        suppress_tokens=list(range(end + 1, len(ids))),  # trained weights write no control token unasked
    )  # fmt: skip
    model.save_pretrained(folder)
    WhisperProcessor(feature_extractor=WhisperFeatureExtractor(feature_size=8), tokenizer=tokenizer).save_pretrained(
        folder
    )
    return folder
