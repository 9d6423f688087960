"""`most info`: what a MoST folder holds, read from its config and the headers of its weights; no tensor is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers import AutoConfig

from most.errors import MostError
from most.model.partition import resolve
from most.model.router import family_of


def describe(folder: Path) -> dict[str, Any]:
    """Facts about a model folder, as JSON types.

    `parameters_active` counts what one token uses: everything but the routed experts, and top-k of those; the
    embedding table, of which a token reads one row, and the audio encoder are left out.

    Raises:
        MostError: no such folder, no MoST, or no weights.
    """
    if not (folder / "config.json").is_file():
        raise MostError("model", folder, "holds no config.json; give the folder of a MoST")
    config = AutoConfig.from_pretrained(folder)
    if config.model_type != "most":
        raise MostError("model", folder, f"is a plain {config.model_type} checkpoint; convert it with `most convert`")
    shapes = _shapes(folder)
    sizes = {name: _product(shape) for name, (shape, _) in shapes.items()}
    text = config.text_config
    rule = family_of(text).rule(text)
    encoder = sum(n for name, n in sizes.items() if name.startswith("audio_encoder."))
    embedding = sum(n for name, n in sizes.items() if name.endswith("embed_tokens.weight"))
    routed = sum(n for name, n in sizes.items() if ".experts." in name and ".shared_experts." not in name)
    total = sum(sizes.values())
    tied = bool(text.tie_word_embeddings)
    active = total - encoder - routed + routed * rule.top_k // text.num_experts - (0 if tied else embedding)
    n_moe = len({name.split(".experts.")[0] for name in sizes if ".mlp.experts." in name})
    partitions = resolve(config.partitions, num_experts=text.num_experts, top_k=rule.top_k, n_layers=n_moe)
    vocab = config.vocab
    return {
        "backbone": text.model_type,
        "parameters": total,
        "parameters_active": active,
        "parameters_routed_experts": routed,
        "parameters_audio_encoder": encoder,
        "parameters_projection": sum(n for name, n in sizes.items() if name.startswith("audio_projection.")),
        "layers": text.num_hidden_layers,
        "moe_layers": n_moe,
        "experts": text.num_experts,
        "experts_per_token": rule.top_k,
        "experts_text": sorted({len(p.text) for p in partitions}),
        "experts_audio": sorted({len(p.audio) for p in partitions}),
        "modality_routing": config.modality_routing,
        "vocab_size": vocab.vocab_size,
        "text_ids": vocab.text_size,
        "units": vocab.n_units,
        "audio_encoder": (config.audio_config or {}).get("model_type"),
        "positions_per_second": config.position_rate_hz if config.audio_config else None,
        "dtypes": sorted({dtype for _, dtype in shapes.values()}),
        "bytes": sum(p.stat().st_size for p in folder.glob("*.safetensors")),
    }


def _shapes(folder: Path) -> dict[str, tuple[list[int], str]]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise MostError("model", folder, "holds no safetensors weights")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = {folder / f for f in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
        if missing := sorted(str(f) for f in named if not f.is_file()):
            raise MostError("model", missing[0], "is named in the index but is not there; copy the whole folder")
    out: dict[str, tuple[list[int], str]] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as f:
                for name in f.keys():  # noqa: SIM118 (not a dict)
                    part = f.get_slice(name)
                    out[name] = (part.get_shape(), part.get_dtype())
        except Exception as e:
            raise MostError("model", file, f"is no readable safetensors file ({e}); copy it again") from e
    return out


def _product(shape: list[int]) -> int:
    n = 1
    for size in shape:
        n *= size
    return n
