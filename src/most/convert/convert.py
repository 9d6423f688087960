"""`most convert`: a pretrained MoE language model becomes a MoST (paper, pipeline step 1).

The backbone is kept as it is; audio vocabulary, speech encoder, projection and expert partition are added.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from most.errors import MostError
from most.model.build import build_from_backbone
from most.model.load import load_backbone
from most.model.processing import MostProcessor, add_speech_tokens
from most.speech.codec import Codec, default_codec_dir


def convert(
    source: str | Path,
    out: Path,
    *,
    codec: Path | None = None,
    audio_stack: int = 2,
    modality_routing: bool = True,
    balance_loss_alpha: float = 0.001,
    new_row_noise: float = 0.1,
    max_audio_seconds: float = 30.0,
    seed: int = 0,
    echo: Any = print,
) -> Path:
    """Convert a backbone to a MoST folder that AutoModel and AutoProcessor load.

    Args:
        source: local folder or hub id of a transformers MoE decoder with its tokenizer.
        codec: folder of the speech codec; its encoder is what the model hears with. None for the shipped one.
        audio_stack: encoder frames per position (2 turns 50 Hz into 25 Hz).
        modality_routing: False keeps the backbone's own routing, for comparison.
        new_row_noise: spread of the new embedding rows, relative to the old ones; 1 suits a backbone of random weights.
        seed: of the new rows and the projection.

    Raises:
        MostError: the output exists, the source is no supported MoE, or it has speech tokens already.
    """
    if out.exists():
        raise MostError("out", out, "exists; choose another folder or delete it")
    backbone, tokenizer = load_backbone(source)
    speech = Codec.load(codec or default_codec_dir())
    torch.manual_seed(seed)
    text_size = add_speech_tokens(tokenizer, speech.n_units)
    n_experts = getattr(backbone.config, "num_experts", None)
    if not n_experts:
        raise MostError("source", backbone.config.model_type, "has no routed experts; give a mixture-of-experts model")
    model = build_from_backbone(
        backbone,
        tokenizer_size=text_size,
        n_units=speech.n_units,
        audio_encoder=speech.encoder,
        new_row_noise=new_row_noise,
        seed=seed,
        modality_routing=modality_routing,
        balance_loss_alpha=balance_loss_alpha,
        audio_stack=audio_stack,
    )
    processor = MostProcessor(
        tokenizer=tokenizer,
        audio_config=model.config.audio_config,
        text_size=text_size,
        n_units=speech.n_units,
        vocab_size=model.config.vocab.vocab_size,
        audio_stack=audio_stack,
        max_audio_seconds=max_audio_seconds,
    )
    part = out.with_name(out.name + ".part")
    model.save_pretrained(part)
    processor.save_pretrained(part)
    os.replace(part, out)
    routing = "modality-aware routing" if modality_routing else "the backbone's own routing"
    echo(f"convert: {source} -> {out}: {n_experts} experts, {speech.n_units} units, {routing}")
    return out
