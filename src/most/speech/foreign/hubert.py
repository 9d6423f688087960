"""fairseq's HuBERT checkpoints (base, large, and variants with other convolutions) as an encoder folder of ours.

Sizes come from the tensors, what tensors cannot tell (strides, heads, where the layer norms stand, normalisation of the
input) from the settings in the file. Names after fairseq/models/hubert/hubert.py and wav2vec/wav2vec2.py.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import HubertConfig

from most.errors import MostError
from most.speech.encoder import HubertSpeechEncoder
from most.speech.foreign.inert import plain
from most.speech.foreign.output import Imported, check_new, new_folder
from most.speech.foreign.reader import read_torch
from most.speech.foreign.table import rename, split_dropped, weight_norm_pairs

DROPPED = {
    "final_proj.": "head of pretraining; units are made of frames",
    "label_embs_concat": "targets of pretraining",
    "target_glu.": "head of pretraining",
    "mask_emb": "stands for masked frames in pretraining; a frozen encoder masks none",
    "w2v_encoder.proj.": "letters head of a fine-tuned checkpoint",
}
"""Start of a tensor's name -> why it is left out."""
_FINE_TUNED = "w2v_encoder.w2v_model."
_ACTIVATIONS = ("gelu", "relu")
_UNSUPPORTED = {"conv_pos_batch_norm": False, "pos_conv_depth": 1, "layer_type": "transformer", "pos_enc_type": "abs"}
"""Settings of later fairseq models -> the value under which the model is HuBERT's."""
_MAX_CONV_LAYERS = 32


@dataclass(frozen=True, kw_only=True)
class HubertSettings:
    """What the tensors cannot tell, with fairseq's names."""

    conv_feature_layers: tuple[tuple[int, int, int], ...]
    encoder_attention_heads: int
    layer_norm_first: bool
    activation_fn: str
    normalize: bool


def name_table(config: HubertConfig, *, projected: bool = True) -> dict[str, str]:
    """fairseq's tensor name -> transformers', for a model of these sizes; invert it for the way back.

    Args:
        projected: False where the convolutions are as wide as the transformer; fairseq then has no projection.
    """
    convs, conv = "feature_extractor.conv_layers", ("weight", "bias") if config.conv_bias else ("weight",)
    both = ("weight", "bias")
    layer_norms = config.feat_extract_norm == "layer"
    table = {}
    for i in range(len(config.conv_dim)):
        table |= {f"{convs}.{i}.0.{p}": f"{convs}.{i}.conv.{p}" for p in conv}
        if layer_norms or i == 0:
            table |= {f"{convs}.{i}.{'2.1' if layer_norms else '2'}.{p}": f"{convs}.{i}.layer_norm.{p}" for p in both}
    modules = {"layer_norm": "feature_projection.layer_norm", "encoder.layer_norm": "encoder.layer_norm"}
    if projected:
        modules["post_extract_proj"] = "feature_projection.projection"
    for i in range(config.num_hidden_layers):
        layer = f"encoder.layers.{i}"
        modules |= {f"{layer}.self_attn.{m}_proj": f"{layer}.attention.{m}_proj" for m in ("q", "k", "v", "out")}
        modules |= {
            f"{layer}.self_attn_layer_norm": f"{layer}.layer_norm",
            f"{layer}.fc1": f"{layer}.feed_forward.intermediate_dense",
            f"{layer}.fc2": f"{layer}.feed_forward.output_dense",
            f"{layer}.final_layer_norm": f"{layer}.final_layer_norm",
        }
    table |= {f"{theirs}.{p}": f"{ours}.{p}" for theirs, ours in modules.items() for p in both}
    position = "encoder.pos_conv_embed.conv"
    return table | {
        "encoder.pos_conv.0.weight_g": f"{position}.parametrizations.weight.original0",
        "encoder.pos_conv.0.weight_v": f"{position}.parametrizations.weight.original1",
        "encoder.pos_conv.0.bias": f"{position}.bias",
    }


def import_hubert(file: str | os.PathLike[str], out: str | os.PathLike[str]) -> Imported:
    """Write a fairseq HuBERT checkpoint as config.json, preprocessor_config.json and model.safetensors in `out`.

    Raises:
        MostError: a file that cannot be read without running its code, that is no HuBERT, or whose settings and tensors
            do not fit each other; or `out` is there already.
    """
    path, out = Path(file), Path(out)
    check_new(out)
    checkpoint = read_torch(path)
    tensors = weight_norm_pairs(_tensors(checkpoint, path))
    settings = _settings(checkpoint, path)
    kept, dropped = split_dropped(tensors, DROPPED)
    if any(name.startswith(_FINE_TUNED) for name in kept):
        kept, inner = split_dropped({name.removeprefix(_FINE_TUNED): t for name, t in kept.items()}, DROPPED)
        dropped |= {_FINE_TUNED + name: reason for name, reason in inner.items()}
    config, projected = _config(kept, settings, path)
    encoder = HubertSpeechEncoder(config, do_normalize=settings.normalize)
    wanted = encoder.model.state_dict()
    made = {} if projected else _identity(wanted)
    ours = rename(
        kept, name_table(config, projected=projected), {k: v for k, v in wanted.items() if k not in made}, path
    )
    encoder.model.load_state_dict(ours | made)
    with new_folder(out) as part:
        encoder.save(part)
    n_parameters = sum(t.numel() for t in ours.values())
    used = (
        f"{len(ours)} tensors, {n_parameters / 1e6:.1f} M parameters",
        f"{encoder.n_layers} layers of width {encoder.hidden_size}, layer norm "
        f"{'first' if config.do_stable_layer_norm else 'last'}, {encoder.frame_rate_hz:g} frames a second",
        f"normalize = {settings.normalize} (of the waveform, from the file's settings)",
    )
    if made:
        used += ("an identity in place of the projection that fairseq leaves out where widths are equal",)
    return Imported(source=path, out=out, what="fairseq HuBERT", used=used, dropped=dropped)


def _identity(wanted: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    weight, bias = "feature_projection.projection.weight", "feature_projection.projection.bias"
    return {weight: torch.eye(len(wanted[weight])), bias: torch.zeros(len(wanted[weight]))}


def _tensors(checkpoint: Any, path: Path) -> dict[str, torch.Tensor]:
    model = checkpoint.get("model") if isinstance(checkpoint, Mapping) else None
    if not isinstance(model, Mapping) or not any(isinstance(t, torch.Tensor) for t in model.values()):
        found = sorted(map(str, checkpoint)) if isinstance(checkpoint, Mapping) else type(checkpoint).__name__
        raise MostError("checkpoint", path, f"holds no 'model' with tensors, as fairseq's do; it holds {found}"[:300])
    return {str(k): t for k, t in model.items() if isinstance(t, torch.Tensor)}


def _settings(checkpoint: Mapping[str, Any], path: Path) -> HubertSettings:
    """From `cfg` (fairseq since 2021) or `args` (before), of the pretrained model where a fine-tuned one wraps it."""
    cfg = plain(checkpoint.get("cfg"))
    if isinstance(cfg, dict) and isinstance(cfg.get("model"), dict):
        model, task = cfg["model"], cfg.get("task") or {}
    else:
        model = plain(checkpoint.get("args"))
        task = model
    if not isinstance(model, dict):
        raise MostError(
            "checkpoint",
            path,
            "holds no cfg or args, which say its strides, heads and norms; take the original file",
        )
    normalize = task.get("normalize", model.get("normalize"))
    if isinstance(inner := model.get("w2v_args"), dict):
        task = inner.get("task") or inner
        normalize = task.get("normalize", normalize)
        model = inner["model"] if isinstance(inner.get("model"), dict) else inner
    name = str(model.get("_name") or model.get("arch") or "hubert")
    if not name.startswith("hubert"):
        raise MostError("cfg.model._name", name, "is not HuBERT; MoST imports HuBERT encoders from fairseq")
    for key, usual in _UNSUPPORTED.items():
        if model.get(key) not in (None, usual):
            raise MostError(f"cfg.model.{key}", model[key], f"transformers has no such HuBERT; it needs {usual!r}")
    if task.get("sample_rate") not in (None, 16000):
        raise MostError("cfg.task.sample_rate", task["sample_rate"], "MoST feeds encoders 16000 Hz audio")
    for key in ("conv_feature_layers", "encoder_attention_heads", "layer_norm_first"):
        if model.get(key) is None:
            raise MostError(f"cfg.model.{key}", None, f"is missing in {path}, and its tensors cannot tell it")
    activation = str(model.get("activation_fn", "gelu"))
    if activation not in _ACTIVATIONS:
        raise MostError("cfg.model.activation_fn", activation, f"must be one of {', '.join(_ACTIVATIONS)}")
    return HubertSettings(
        conv_feature_layers=conv_layers(model["conv_feature_layers"]),
        encoder_attention_heads=int(model["encoder_attention_heads"]),
        layer_norm_first=bool(model["layer_norm_first"]),
        activation_fn=activation,
        normalize=bool(normalize),
    )


def conv_layers(text: object) -> tuple[tuple[int, int, int], ...]:
    """fairseq's `[(512,10,5)] + [(512,3,2)] * 4`, which it evaluates as Python, read as lists, `+` and `*` alone.

    Returns:
        (channels, kernel, stride) of each convolution.

    Raises:
        MostError: anything else.
    """

    def value(node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=int(n)) if not isinstance(n, bool):
                return n
            case ast.Tuple(elts=parts):
                return tuple(value(p) for p in parts)
            case ast.List(elts=parts):
                return [value(p) for p in parts]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                a, b = value(left), value(right)
                if isinstance(a, list) and isinstance(b, list):
                    return a + b
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                a, b = value(left), value(right)
                if isinstance(a, list) and isinstance(b, int) and 0 <= b * len(a) <= _MAX_CONV_LAYERS:
                    return a * b
        raise ValueError

    try:
        # An old omegaconf may have made a list of it.
        layers = value(ast.parse(text.strip(), mode="eval").body) if isinstance(text, str) else text
        rows = tuple((int(c), int(k), int(s)) for c, k, s in layers)  # type: ignore[union-attr]
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as e:
        shape = "must read like [(512,10,5)] + [(512,3,2)] * 4: channels, kernel, stride"
        raise MostError("cfg.model.conv_feature_layers", text, shape) from e
    if not 0 < len(rows) <= _MAX_CONV_LAYERS or min(map(min, rows)) < 1:
        raise MostError("cfg.model.conv_feature_layers", text, f"must be 1..{_MAX_CONV_LAYERS} layers, numbers over 0")
    return rows


def _config(tensors: Mapping[str, torch.Tensor], settings: HubertSettings, path: Path) -> tuple[HubertConfig, bool]:
    """The transformers config, and whether frames are projected to the transformer's width."""

    def shape(name: str, dims: int) -> tuple[int, ...]:
        if name not in tensors or tensors[name].dim() != dims:
            raise MostError("checkpoint", path, f"has no {name} of {dims} dimensions; it is no HuBERT of fairseq")
        return tuple(tensors[name].shape)

    said = [(c, k) for c, k, _ in settings.conv_feature_layers]
    found = [shape(f"feature_extractor.conv_layers.{i}.0.weight", 3)[::2] for i in range(len(said))]
    if found != said:
        raise MostError("cfg.model.conv_feature_layers", said, f"the tensors have channels and kernels {found}")
    ffn, hidden = shape("encoder.layers.0.fc1.weight", 2)
    positions = shape("encoder.pos_conv.0.weight_v", 3)
    if hidden % settings.encoder_attention_heads:
        raise MostError(
            "cfg.model.encoder_attention_heads", settings.encoder_attention_heads, f"must divide the width {hidden}"
        )
    layers = {name.split(".")[2] for name in tensors if name.startswith("encoder.layers.")}
    layer_norms = "feature_extractor.conv_layers.0.2.1.weight" in tensors
    config = HubertConfig(
        hidden_size=hidden, num_hidden_layers=len(layers), intermediate_size=ffn,
        num_attention_heads=settings.encoder_attention_heads, hidden_act=settings.activation_fn,
        do_stable_layer_norm=settings.layer_norm_first, feat_extract_norm="layer" if layer_norms else "group",
        conv_dim=[c for c, _, _ in settings.conv_feature_layers],
        conv_kernel=[k for _, k, _ in settings.conv_feature_layers],
        conv_stride=[s for _, _, s in settings.conv_feature_layers],
        conv_bias="feature_extractor.conv_layers.0.0.bias" in tensors,
        num_conv_pos_embeddings=positions[2], num_conv_pos_embedding_groups=hidden // positions[1],
        # A frozen encoder masks nothing; without these settings there is no embedding of masked frames to fill.
        apply_spec_augment=False, mask_time_prob=0.0, mask_feature_prob=0.0,
    )  # fmt: skip
    return config, "post_extract_proj.weight" in tensors or found[-1][0] != hidden
