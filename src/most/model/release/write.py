"""`most release`: write a MoST and its codec as a release; see the package's docstring for the layout."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file

from most.errors import MostError, nearest
from most.model.load import codec_dir_of, load_most
from most.model.release.loading import ReleaseConfig
from most.model.release.pack import WEIGHTS, pack, planned_bytes, shares_encoder
from most.speech.codec import Codec
from most.speech.encoder import saved_prefix

INDEX = "model.safetensors.index.json"
ENCODER_FILE = "codec/encoder/model.safetensors"
MAX_SHARD_BYTES = 4_000_000_000
CONVERSION = "conversion.json"
"""What `most convert` wrote beside a model. It names the codec whose units the model speaks."""
_TEXTS = ("README*", "LICENSE*", "NOTICE*")
_MB = 1e6


@dataclass(frozen=True, kw_only=True)
class Released:
    """What was written.

    Args:
        n_bytes: all files of the folder.
        shares_encoder: whether the model's encoder is the codec's, stored once.
        errors: of each kind of rounded weight, the largest relative error |w - w'| / |w| of one tensor.
    """

    folder: Path
    n_bytes: int
    shares_encoder: bool
    errors: dict[str, float]


def release(
    source: str | Path,
    out: Path,
    *,
    codec: str | Path | None = None,
    weights: str = "int8",
    echo: Callable[[str], None] = print,
) -> Released:
    """Write the release of a MoST.

    Args:
        source: folder or hub id of a MoST.
        codec: its codec's folder; the one in the model's folder, or the shipped one, when left out.
        weights: int8, or bf16.

    Raises:
        MostError: `out` holds something, a model or codec that cannot be loaded, units that differ, or weights that
            are not finite.
    """
    if weights not in WEIGHTS:
        raise MostError("weights", weights, nearest(weights, WEIGHTS))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise MostError("out", out, "is there already; delete it or name another folder")
    codec_dir = codec_dir_of(source) if codec is None else Path(codec)
    echo(f"reads {source} ({_size_of(Path(source))}) and the codec {codec_dir} ({_size_of(codec_dir)})")
    model, processor = load_most(source)
    voice = Codec.load(codec_dir)
    if voice.n_units != processor.n_units:
        raise MostError("codec", codec_dir, f"has {voice.n_units} units and the model {processor.n_units}")
    report = _read_report(Path(source), voice)
    shared = shares_encoder(model, voice)
    echo(_plan_text(model, out, codec_dir, weights, shared))
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    voice.save(part / "codec", torch.float16)
    errors = write_model(part, model, weights, voice if shared else None)
    if report:
        _write_json(part / CONVERSION, report)
    processor.save_pretrained(part)
    _copy_texts(Path(source), part)
    _copy_texts(codec_dir, part / "codec")
    os.replace(part, out)
    done = Released(folder=out, n_bytes=_folder_bytes(out), shares_encoder=shared, errors=errors)
    if errors:
        shown = ", ".join(f"{kind} {error:.2%}" for kind, error in errors.items())
        echo(f"largest relative error of rounding: {shown}")
    echo(f"released: {out}, {done.n_bytes / _MB:.1f} MB")
    return done


def write_model(folder: Path, model: Any, weights: str, codec: Codec | None) -> dict[str, float]:
    """Config, weights and index.

    Args:
        codec: whose encoder, saved in `folder`/codec, is the model's; None writes the model's own.

    Returns:
        As in `Released.errors`.
    """
    tensors, errors = pack(model, weights, with_encoder=codec is None)
    files, total, prefix = _write_tensors(folder, tensors), _bytes(tensors.values()), None
    if codec is not None:
        prefix, encoder = saved_prefix(codec.encoder), codec.encoder.get_submodule("model").state_dict()
        files |= {prefix + name: ENCODER_FILE for name in encoder}
        total += _bytes(t.half() for t in encoder.values())
    _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": files})
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.quantization_config = ReleaseConfig(WEIGHTS[weights], prefix).to_dict()
    config.dtype = config.text_config.dtype = "float32"
    config.name_or_path = config.text_config.name_or_path = ""  # a path on the machine that trained it
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    return errors


def _read_report(source: Path, codec: Codec) -> dict[str, Any]:
    """What a release hands on of its model's conversion. Raises MostError where that was with another codec."""
    path = source / CONVERSION
    if not path.is_file():
        return {}
    report = json.loads(path.read_text(encoding="utf-8"))
    made_with = report.get("codec")
    if made_with and made_with != codec.fingerprint:
        remedy = f"is not the codec that the model was converted with ({made_with}); name that one with --codec"
        raise MostError("codec", codec.fingerprint, remedy)
    kept = {key: report[key] for key in ("source", "revision", "model_type", "codec") if key in report}
    if Path(kept.get("source", "")).is_absolute():
        kept["source"] = Path(kept["source"]).name
    return kept


def _write_tensors(folder: Path, tensors: dict[str, torch.Tensor]) -> dict[str, str]:
    """The file of each tensor."""
    split = split_torch_state_dict_into_shards(
        tensors, filename_pattern="model{suffix}.safetensors", max_shard_size=MAX_SHARD_BYTES
    )
    # Never `model.safetensors`: transformers would read that one file and not the index.
    names = {"model.safetensors": "model-00001-of-00001.safetensors"}
    files = {}
    for file, keys in split.filename_to_tensors.items():
        file = names.get(file, file)
        save_file({key: tensors[key] for key in keys}, folder / file, metadata={"format": "pt"})
        files |= dict.fromkeys(keys, file)
    return files


def _plan_text(model: Any, out: Path, codec_dir: Path, weights: str, shared: bool) -> str:
    own, voice = planned_bytes(model, weights, with_encoder=not shared), _folder_bytes(codec_dir)
    encoder = "the encoder is the codec's, stored once"
    if model.audio_encoder is not None and not shared:
        encoder = "the model's encoder is not the codec's: both are stored"
    elif model.audio_encoder is None:
        encoder = "the model has no encoder"
    return (
        f"writes {out}: about {own / _MB:.1f} MB of weights as {WEIGHTS[weights]} and the codec, "
        f"at most {voice / _MB:.1f} MB; {encoder}"
    )


def _write_json(path: Path, row: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(row, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _copy_texts(source: Path, folder: Path) -> None:
    for pattern in _TEXTS:
        for file in sorted(source.glob(pattern)) if source.is_dir() else ():
            shutil.copyfile(file, folder / file.name)


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _folder_bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _size_of(folder: Path) -> str:
    return f"{_folder_bytes(folder) / _MB:.1f} MB" if folder.is_dir() else "hub"
