"""`most info`: what a MoST folder holds, read from its config and the headers of its weights; no tensor is loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from most.convert.convert import EMBEDDINGS, PREFIX, REPORT
from most.convert.export import read_config
from most.convert.layout import DOWN, GATE_UP, LAYOUTS, Layout, layout_of, split_name
from most.convert.source import read_tensors
from most.errors import MostError
from most.model.configuration import MostConfig, encoder_shape
from most.model.families import family_of
from most.model.partition import ExpertPartition, resolve
from most.model.release.loading import stored_as
from most.vocab import MARKER_TOKENS

PARTS = (
    "text_experts", "audio_experts", "routed_experts", "shared_experts", "dense_mlps", "router", "attention", "norms",
    "embeddings", "output_head", "audio_projection", "audio_encoder",
)  # fmt: skip
"""What parameters are counted by; every one is in exactly one part. `routed_experts` are those of no modality."""
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "e_score_correction_bias")
"""Endings of stored tensors that transformers does not count as parameters."""


def describe(folder: Path) -> dict[str, Any]:
    """Facts about a MoST folder, as JSON types; all keys are always there.

    ```
    backbone             transformers' model_type of the language model
    source               from conversion.json, or null: name, revision (null for a local folder), model_type
    parameters.total     all weights, without buffers
    parameters.active_text, .active_audio
                         what one token uses: all of the language model but the experts it is not routed to and, where
                         it is not the output head as well, the embedding, of which it reads one row; an audio token
                         also the projection. The encoder runs over a clip before; it is in neither.
    parameters.parts     the same three for each of PARTS: total, active_text, active_audio
    layers               total, moe
    experts              a MoE layer's: routed, per_token
    partition            method (or "mixed"), scores_over (or "mixed"), text and audio (experts of each MoE layer, in
                         order), differs (whether layers are not all split alike); null where modality routing is off
    vocabulary           rows, text, units, markers
    encoder              type, layers, layer (the one that is read, null for the final output), width, sample_rate_hz,
                         frame_rate_hz, positions_per_second; null for a model without one
    dtypes               safetensors' name of each dtype -> bytes
    bytes                weights (the files that hold the model), folder (all files)
    ```

    Raises:
        MostError: no such folder, no MoST, or no whole weights.
    """
    config = read_config(folder, release=True)
    tensors = read_tensors(folder)
    text: Any = config.text_config
    family = family_of(text)
    top_k, n_experts = family.rule(text).top_k, family.num_experts(text)
    shapes = {ours: tensor.shape for name, tensor in tensors.items() if (ours := stored_as(name, config)) is not None}
    sizes = _sizes(shapes, layout_of(text.model_type))
    moe, groups = _groups(sizes, config)
    dtypes: dict[str, int] = {}
    for tensor in tensors.values():
        dtypes[tensor.dtype] = dtypes.get(tensor.dtype, 0) + tensor.n_bytes
    parts = count_parameters(shapes, config)
    totals = {key: sum(row[key] for row in parts.values()) for key in ("total", "active_text", "active_audio")}
    return {
        "backbone": text.model_type,
        "source": _source(folder),
        "parameters": {**totals, "parts": parts},
        "layers": {"total": text.num_hidden_layers, "moe": len(moe)},
        "experts": {"routed": n_experts, "per_token": top_k},
        "partition": _partition(list(groups.values())),
        "vocabulary": {
            "rows": config.vocab.vocab_size, "text": config.text_size, "units": config.n_units,
            "markers": len(MARKER_TOKENS),
        },
        "encoder": _encoder(config),
        "dtypes": dtypes,
        "bytes": {
            "weights": sum(file.stat().st_size for file in {t.file for t in tensors.values()}),
            "folder": sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()),
        },
    }  # fmt: skip


def as_text(facts: dict[str, Any]) -> str:
    """What `describe` found, for people: aligned, in sections, rounded."""
    rows: list[tuple[str, ...]] = [("parameters", "total", "a text token", "an audio token")]
    parameters = facts["parameters"]
    for name, row in parameters["parts"].items():
        if row["total"]:
            rows.append((f"  {_words(name)}", *(_short(row[k]) for k in ("total", "active_text", "active_audio"))))
    rows.append(("  all", *(_short(parameters[k]) for k in ("total", "active_text", "active_audio"))))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    layers, experts, vocab = facts["layers"], facts["experts"], facts["vocabulary"]
    about = {
        "backbone": f"{facts['backbone']}, {layers['total']} layers, {layers['moe']} of them mixtures",
        "source": _source_text(facts["source"]),
        "experts": f"{experts['routed']} routed a layer, {experts['per_token']} a token",
        "partition": _partition_text(facts["partition"]),
        "vocabulary": f"{vocab['text']:,} text, {vocab['units']:,} units, {vocab['markers']} markers; "
        f"{vocab['rows']:,} rows",
        "encoder": _encoder_text(facts["encoder"]),
        "dtypes": ", ".join(f"{name} {_size(n)}" for name, n in sorted(facts["dtypes"].items())),
        "on disk": f"{_size(facts['bytes']['weights'])} of weights, {_size(facts['bytes']['folder'])} in all",
    }
    width = max(map(len, about))
    return "\n".join([*(f"{key:<{width}}  {value}" for key, value in about.items()), "", *lines])


def count_parameters(shapes: Mapping[str, Sequence[int]], config: MostConfig) -> dict[str, dict[str, int]]:
    """`parameters.parts` of `describe`, from the names and shapes of a model's weights, tied ones once."""
    text: Any = config.text_config
    family = family_of(text)
    sizes = _sizes(shapes, layout_of(text.model_type))
    _, groups = _groups(sizes, config)
    tied = bool(text.tie_word_embeddings)
    return _count(sizes, groups, family.rule(text).top_k, family.num_experts(text), tied=tied)


def part_of(name: str, model_type: str) -> str:
    """The part of PARTS that a weight is in; experts are all `routed_experts`. A dense model's MLPs lie in `mlp`."""
    _, rest = split_name(name.removeprefix(PREFIX))
    return _part(name, rest, LAYOUTS.get(model_type, Layout()))


def _sizes(shapes: Mapping[str, Sequence[int]], layout: Layout) -> dict[tuple[str, str], int]:
    """Parameters of each part and decoder layer ("" outside layers); experts are all `routed_experts` here."""
    sizes: dict[tuple[str, str], int] = {}
    for name, shape in shapes.items():
        if not name.endswith(_BUFFERS):
            layer, rest = split_name(name.removeprefix(PREFIX))
            key = _part(name, rest, layout), layer
            sizes[key] = sizes.get(key, 0) + math.prod(shape)
    return sizes


def _groups(sizes: dict[tuple[str, str], int], config: MostConfig) -> tuple[list[str], dict[str, ExpertPartition]]:
    """The MoE layers in order, and the partition of each; none where modality routing is off."""
    text: Any = config.text_config
    family = family_of(text)
    moe = sorted((layer for part, layer in sizes if part == "routed_experts"), key=_layer_number)
    top_k, n_experts = family.rule(text).top_k, family.num_experts(text)
    partitions = resolve(config.partitions, num_experts=n_experts, top_k=top_k, n_layers=len(moe))
    return moe, dict(zip(moe, partitions, strict=True)) if config.modality_routing else {}


def _part(name: str, rest: str, layout: Layout) -> str:
    if name.startswith(("audio_encoder.", "audio_projection.")):
        return name.partition(".")[0]
    if name.removeprefix(PREFIX) in EMBEDDINGS:
        return "embeddings" if "embed_tokens" in name else "output_head"
    for block in {layout.module, layout.published}:
        if rest.startswith(block + "."):
            return _part_of_block(rest.removeprefix(block + "."), layout)
    return "attention" if rest.startswith("self_attn.") else "norms"


def _part_of_block(inner: str, layout: Layout) -> str:
    published = {old: new for new, old in layout.renamed}
    inner = published.get(inner, inner)
    if inner in (GATE_UP, DOWN) or inner.startswith("experts."):
        return "routed_experts"
    if inner in layout.per_expert:
        return "router"
    return "shared_experts" if inner.startswith("shared_expert") else "dense_mlps"


def _count(
    sizes: dict[tuple[str, str], int], groups: dict[str, ExpertPartition], top_k: int, n_experts: int, *, tied: bool
) -> dict[str, dict[str, int]]:
    counts = {part: {"total": 0, "active_text": 0, "active_audio": 0} for part in PARTS}

    def add(part: str, total: int, text: int, audio: int) -> None:
        for key, n in (("total", total), ("active_text", text), ("active_audio", audio)):
            counts[part][key] += n

    for (part, layer), n in sizes.items():
        if part == "routed_experts":
            expert, split = n // n_experts, groups.get(layer)
            if split is None:
                add(part, n, top_k * expert, top_k * expert)
            else:
                add("text_experts", len(split.text) * expert, top_k * expert, 0)
                add("audio_experts", len(split.audio) * expert, 0, top_k * expert)
        elif part == "audio_encoder" or (part == "embeddings" and not tied):
            add(part, n, 0, 0)
        else:
            add(part, n, 0 if part == "audio_projection" else n, n)
    return counts


def _partition(partitions: Sequence[ExpertPartition]) -> dict[str, Any] | None:
    if not partitions:
        return None
    methods, scores = {p.method for p in partitions}, {p.scores_over for p in partitions}
    return {
        "method": methods.pop() if len(methods) == 1 else "mixed",
        "scores_over": scores.pop() if len(scores) == 1 else "mixed",
        "text": [len(p.text) for p in partitions],
        "audio": [len(p.audio) for p in partitions],
        "differs": any(p.groups != partitions[0].groups for p in partitions),
    }


def _encoder(config: MostConfig) -> dict[str, Any] | None:
    if config.audio_config is None:
        return None
    shape = encoder_shape(config.audio_config)
    return {
        "type": config.audio_config["model_type"], "layers": shape.n_layers, "layer": config.audio_layer,
        "width": shape.hidden_size, "sample_rate_hz": shape.sample_rate, "frame_rate_hz": shape.frame_rate_hz,
        "positions_per_second": config.position_rate_hz,
    }  # fmt: skip


def _source(folder: Path) -> dict[str, Any] | None:
    path = folder / REPORT
    if not path.is_file():
        return None
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return {"name": report["source"], "revision": report["revision"], "model_type": report["model_type"]}
    except (ValueError, KeyError, TypeError) as e:
        raise MostError("model", path, f"is no report of a conversion ({e!r}); delete it") from e


def _layer_number(layer: str) -> int:
    return int(layer.split(".")[2])


def _source_text(source: dict[str, Any] | None) -> str:
    if source is None:
        return "not recorded (no conversion.json)"
    revision = f", revision {source['revision']}" if source["revision"] else ""
    return f"{source['name']} ({source['model_type']}{revision})"


def _partition_text(partition: dict[str, Any] | None) -> str:
    if partition is None:
        return "none: modality routing is off"
    sizes = [f"{text} text + {audio} audio" for text, audio in zip(partition["text"], partition["audio"], strict=True)]
    alike = "each layer its own" if partition["differs"] else "all layers alike"
    shown = sizes[0] if len(set(sizes)) == 1 else "; ".join(sizes)
    return f"{partition['method']}, {shown}, {alike}; scores over {partition['scores_over']}"


def _encoder_text(encoder: dict[str, Any] | None) -> str:
    if encoder is None:
        return "none: hears discrete units only"
    layer = "final output" if encoder["layer"] is None else f"layer {encoder['layer']}"
    return (
        f"{encoder['type']}, {encoder['layers']} layers of {encoder['width']} ({layer}), "
        f"{encoder['frame_rate_hz']:g} frames and {encoder['positions_per_second']:g} positions a second"
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _short(n: int) -> str:
    """1234567 -> `1.23 M`."""
    for scale, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if n >= scale:
            value = n / scale
            return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f} {unit}"
    return str(n)


def _size(n_bytes: int) -> str:
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}"
    return f"{n_bytes} bytes"
