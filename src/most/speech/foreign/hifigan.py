"""Unit HiFi-GAN generators of speech-resynthesis and textless (and fairseq's CodeHiFiGAN) as a vocoder folder of ours.

A checkpoint is {"generator": state dict} with a config.json beside it. Architecture after speech-resynthesis' models.py
and examples/speech_to_speech_translation/models.py: an embedding of units, one of speakers joined to it, the HiFi-GAN
generator under weight normalisation (folded here), and a predictor of durations.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from most.errors import MostError
from most.speech.foreign.output import Imported, check_new, new_folder
from most.speech.foreign.reader import existing_file, read_torch
from most.speech.foreign.table import fold_weight_norm, rename
from most.speech.vocoder.hifigan import HifiGanVocoder, HifiGanVocoderConfig

_NO_F0 = "the vocoder speaks from units and a speaker alone; take a checkpoint trained without F0"
_NO_VQ = "codes learnt inside the vocoder are not supported; take one trained on k-means units (lut)"
UNSUPPORTED = {
    "f0": _NO_F0,
    "f0_quantizer": _NO_F0,
    "f0_quantizer_path": _NO_F0,
    "f0_quant_num_bin": _NO_F0,
    "f0_encoder_params": _NO_F0,
    "f0_vq_params": _NO_F0,
    "lambda_commit": _NO_F0,
    "lambda_commit_code": _NO_VQ,
    "code_encoder_params": _NO_VQ,
    "code_vq_params": _NO_VQ,
    "embedder_params": "speakers as vectors of another model are not supported; take one with a table of speakers",
    "multistyle": "a table of styles is not supported; take a checkpoint with speakers alone",
}
"""Key of config.json -> why a checkpoint that sets it is refused."""
_READ = (
    "resblock", "upsample_rates", "upsample_kernel_sizes", "upsample_initial_channel", "resblock_kernel_sizes",
    "resblock_dilation_sizes", "num_embeddings", "embedding_dim", "model_in_dim", "code_hop_size", "sampling_rate",
    "multispkr", "num_speakers", "dur_predictor_params", "dur_prediction_weight",
)  # fmt: skip


def name_table(config: HifiGanVocoderConfig) -> dict[str, str]:
    """Their tensor name, weight normalisation folded, -> ours; invert it for the way back."""
    modules = {"conv_pre": "hifi_gan.conv_pre", "conv_post": "hifi_gan.conv_post"}
    modules |= {f"ups.{i}": f"hifi_gan.upsampler.{i}" for i in range(len(config.upsample_rates))}
    n_blocks = len(config.upsample_rates) * len(config.resblock_kernels)
    for i in range(n_blocks):
        for j in range(len(config.resblock_dilations[i % len(config.resblock_kernels)])):
            modules |= {f"resblocks.{i}.{c}.{j}": f"hifi_gan.resblocks.{i}.{c}.{j}" for c in ("convs1", "convs2")}
    if config.durations:
        predictor = {"conv1.0": "conv1", "ln1": "ln1", "conv2.0": "conv2", "ln2": "ln2", "proj": "proj"}
        modules |= {f"dur_predictor.{theirs}": f"dur_predictor.{ours}" for theirs, ours in predictor.items()}
    table = {f"{theirs}.{p}": f"{ours}.{p}" for theirs, ours in modules.items() for p in ("weight", "bias")}
    table["dict.weight"] = "unit_embedding.weight"
    return table | ({"spkr.weight": "speaker_embedding.weight"} if config.speaker_width else {})


def import_vocoder(
    file: str | os.PathLike[str],
    config: str | os.PathLike[str],
    out: str | os.PathLike[str],
    speakers: str | os.PathLike[str] | None = None,
) -> Imported:
    """Write a foreign unit HiFi-GAN as config.json and model.safetensors in `out`.

    Args:
        config: the config.json that came with it.
        speakers: text file with a name a line, in the order of the table of speakers; rows after the last name are
            dropped. Without it voices are called speaker-0, speaker-1 and so on.

    Raises:
        MostError: a file that cannot be read without running its code, a config with what this vocoder has not, or
            tensors that do not fit the config; or `out` is there already.
    """
    path, out = Path(file), Path(out)
    check_new(out)
    settings = _read_config(Path(config))
    tensors = fold_weight_norm(_generator(read_torch(path), path), path)
    names = _speaker_names(tensors, speakers)
    if "spkr.weight" in tensors:
        tensors["spkr.weight"] = tensors["spkr.weight"][: len(names)]
    ours = _vocoder_config(settings, tensors, names)
    with torch.device("meta"):
        vocoder = HifiGanVocoder(ours)
    vocoder.load_state_dict(rename(tensors, name_table(ours), vocoder.state_dict(), path), assign=True)
    with new_folder(out) as part:
        vocoder.save(part)
    voices = f"{len(names)} voice{'s' * (len(names) > 1)} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
    n_parameters = sum(t.numel() for t in tensors.values())
    used = (
        f"{len(tensors)} tensors, weight norm folded, {n_parameters / 1e6:.1f} M parameters",
        f"{ours.n_units} units at {ours.unit_rate_hz:g} Hz to {ours.sample_rate} Hz, {voices}",
        "its duration predictor" if ours.durations else "no duration predictor: it speaks units with repeats only",
    )
    reason = "settings of training or of other inputs in config.json"
    dropped = {key: reason for key in settings if key not in _READ and key not in UNSUPPORTED}
    return Imported(source=path, out=out, what="unit HiFi-GAN generator", used=used, dropped=dropped)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(existing_file("config", path).read_text(encoding="utf-8"))
    except ValueError as e:
        raise MostError("config", path, f"is no JSON ({e}); give the config.json that came with the checkpoint") from e
    if not isinstance(settings, dict):
        raise MostError("config", path, "is no JSON object; give the config.json that came with the checkpoint")
    for key, reason in UNSUPPORTED.items():
        if settings.get(key):
            raise MostError(f"config.{key}", settings[key], reason)
    if str(settings.get("resblock", "1")) != "1":
        raise MostError("config.resblock", settings["resblock"], "only residual blocks of kind '1' are supported")
    return settings


def _generator(checkpoint: Any, path: Path) -> dict[str, torch.Tensor]:
    held = checkpoint.get("generator", checkpoint) if isinstance(checkpoint, Mapping) else None
    units = held.get("dict.weight") if isinstance(held, Mapping) else None
    if not isinstance(held, Mapping) or not isinstance(units, torch.Tensor) or units.dim() != 2:
        found = sorted(map(str, checkpoint)) if isinstance(checkpoint, Mapping) else type(checkpoint).__name__
        raise MostError(
            "checkpoint", path, f"holds no generator with an embedding of units (dict.weight); it holds {found}"[:300]
        )
    return {str(k): t for k, t in held.items() if isinstance(t, torch.Tensor)}


def _speaker_names(tensors: Mapping[str, torch.Tensor], file: str | os.PathLike[str] | None) -> tuple[str, ...]:
    rows = len(tensors["spkr.weight"]) if "spkr.weight" in tensors else 1
    if file is None:
        return tuple(f"speaker-{i}" for i in range(rows))
    lines = existing_file("speakers", Path(file)).read_text(encoding="utf-8").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if not 0 < len(names) <= rows or len(set(names)) < len(names):
        raise MostError("speakers", len(names), f"{file} must name 1..{rows} different speakers, one a line")
    return names


def _vocoder_config(
    settings: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], names: tuple[str, ...]
) -> HifiGanVocoderConfig:
    def need(key: str) -> Any:
        if settings.get(key) is None:
            raise MostError(f"config.{key}", None, "is missing; give the config.json that came with the checkpoint")
        return settings[key]

    def agree(key: str, value: object, found: object) -> None:
        if value != found:
            raise MostError(f"config.{key}", value, f"the checkpoint has {found}; is this its config?")

    n_units, width = tensors["dict.weight"].shape
    agree("num_embeddings", need("num_embeddings"), n_units)
    agree("embedding_dim", need("embedding_dim"), width)
    many = bool(settings.get("multispkr"))
    if many != ("spkr.weight" in tensors):
        has = "a table" if not many else "no table"
        raise MostError("config.multispkr", settings.get("multispkr"), f"the checkpoint has {has} of speakers")
    speaker_width = tensors["spkr.weight"].shape[1] if many else 0
    agree("model_in_dim", settings.get("model_in_dim", width + speaker_width), width + speaker_width)
    durations = any(name.startswith("dur_predictor.") for name in tensors)
    predictor = settings.get("dur_predictor_params") or {}
    if durations:
        for key, usual in (("encoder_embed_dim", width), ("var_pred_hidden_dim", width), ("var_pred_kernel_size", 3)):
            if predictor.get(key, usual) != usual:
                raise MostError(f"config.dur_predictor_params.{key}", predictor[key], f"only {usual} is supported here")
    rates = _numbers("upsample_rates", need("upsample_rates"))
    hop = settings.get("code_hop_size") or math.prod(rates)
    if hop != math.prod(rates):
        raise MostError("config.code_hop_size", hop, f"upsample_rates make {math.prod(rates)} samples a unit")
    sample_rate = _numbers("sampling_rate", [need("sampling_rate")])[0]
    dilations = need("resblock_dilation_sizes")
    if not isinstance(dilations, list):
        raise MostError("config.resblock_dilation_sizes", dilations, "must be a list of lists of numbers")
    return HifiGanVocoderConfig(
        n_units=n_units, speakers=names, sample_rate=sample_rate, unit_rate_hz=sample_rate / hop,
        unit_width=width, speaker_width=speaker_width, durations=durations,
        channels=_numbers("upsample_initial_channel", [need("upsample_initial_channel")])[0], upsample_rates=rates,
        upsample_kernels=_numbers("upsample_kernel_sizes", need("upsample_kernel_sizes")),
        resblock_kernels=_numbers("resblock_kernel_sizes", need("resblock_kernel_sizes")),
        resblock_dilations=tuple(_numbers("resblock_dilation_sizes", d) for d in dilations),
    )  # fmt: skip


def _numbers(key: str, value: Any) -> tuple[int, ...]:
    good = isinstance(value, list) and value and all(isinstance(n, int) and 0 < n <= 1 << 20 for n in value)
    if not good:
        raise MostError(f"config.{key}", value, "must be whole numbers over 0")
    return tuple(value)
