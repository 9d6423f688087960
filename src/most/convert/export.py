"""`most export`: one modality's half of a MoST as a plain checkpoint of the backbone's own architecture.

What comes out has the published weight names and loads with transformers alone. Who serves only text, or only speech
units, keeps only those experts in memory.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast

from most.convert.convert import EMBEDDINGS, ORIGINAL_ROWS, PREFIX, REPORT
from most.convert.layout import MoeView, layout_of, split_name
from most.convert.plan import Plan, PlannedTensor, check, made, rows_of
from most.convert.source import StoredTensor, read_tensors
from most.convert.write import finish, write_plan
from most.errors import MostError, nearest
from most.model.configuration import MostConfig
from most.model.families import family_of
from most.model.partition import ExpertPartition, resolve

MODALITIES = ("text", "audio")


def export(
    model: Path,
    out: Path,
    modality: str,
    *,
    max_shard_bytes: int = 4_000_000_000,
    progress: bool = True,
    echo: Callable[[str], Any] = print,
) -> Path:
    """Write one modality of a MoST folder as a plain checkpoint.

    `text`: the text experts and the source's own vocabulary. After `expand` that is the source again, bit for bit.
    `audio`: the audio experts; units and markers are the whole vocabulary, ids counted from the first unit.

    Raises:
        MostError: no MoST, an unknown modality, groups of unequal size, an existing output, or as in `write_plan`.
    """
    if modality not in MODALITIES:
        raise MostError("modality", modality, nearest(modality, MODALITIES))
    if out.exists():
        raise MostError("out", out, "exists; choose another folder or delete it")
    config = read_config(model)
    if not config.modality_routing:
        raise MostError("model", model, "routes without modalities; there is no group of experts to export")
    tensors = read_tensors(model)
    rows, plan = _plan(model, config, tensors, modality)
    exact = routes_alike(config)
    echo(f"export: {model} -> {out}: {modality} experts, {rows} tokens, writes {plan.n_bytes / 1e9:.2f} GB")
    if not exact:
        echo("  its scores competed with the other group's experts, so expert weights and outputs differ from the MoST")
    part = out.with_name(out.name + ".part")
    checksums = write_plan(plan, part, max_shard_bytes=max_shard_bytes, progress=progress)
    plain = _plain_config(config, modality, rows)
    plain.save_pretrained(part)
    GenerationConfig.from_model_config(plain).save_pretrained(part)
    (_text_tokenizer if modality == "text" else _unit_tokenizer)(model, config, part)
    report = {
        "model": str(model), "modality": modality, "same_outputs": exact, "tokens": rows, "bytes": plan.n_bytes,
        "dropped": plan.dropped, "sha256": checksums,
    }  # fmt: skip
    (part / "export.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    finish(part, out)
    return out


def read_config(model: Path, *, release: bool = False) -> MostConfig:
    """The config of a MoST folder. Raises MostError where there is none, or a release's where that will not do."""
    if not (model / "config.json").is_file():
        raise MostError("model", model, "holds no config.json; give the folder of a MoST")
    config = AutoConfig.from_pretrained(model)
    if not isinstance(config, MostConfig):
        raise MostError("model", model, f"is a plain {config.model_type} checkpoint; convert it with `most convert`")
    if not release and getattr(config, "quantization_config", None):
        remedy = "is a release, whose weights are stored otherwise; load and `save_pretrained` it, and give that folder"
        raise MostError("model", model, remedy)
    return config


def routes_alike(config: MostConfig) -> bool:
    """Whether a group's experts alone, as a plain mixture, compute what the MoST does.

    They do when scores compete within the group, or when weights are renormalised so that the rest cancels.
    """
    rule = family_of(config.text_config).rule(config.text_config)
    first = ExpertPartition.from_json(config.partitions[0]) if config.partitions else None
    return (first is not None and first.scores_over == "own") or (
        rule.n_groups == 1 and (rule.renormalise or rule.scoring != "softmax")
    )


def _plan(model: Path, config: MostConfig, tensors: dict[str, StoredTensor], modality: str) -> tuple[int, Plan]:
    text: Any = config.text_config
    view = MoeView(tensors, layout_of(text.model_type), PREFIX)
    family = family_of(text)
    blocks = sorted(
        {split_name(n.removeprefix(PREFIX))[0] for n in tensors if view.is_experts(n.removeprefix(PREFIX))}, key=_layer
    )
    chosen = resolve(config.partitions, num_experts=family.num_experts(text), top_k=None, n_layers=len(blocks))
    groups = dict(zip(blocks, (getattr(p, modality) for p in chosen), strict=True))
    if len({len(g) for g in groups.values()}) != 1:
        sizes = sorted({len(g) for g in groups.values()})
        raise MostError(
            "partitions", sizes, f"layers hold {modality} groups of these sizes; a plain model has one size"
        )
    embedding, rows = _rows(model, config, modality)
    with torch.device("meta"):
        modules = AutoModelForCausalLM.from_config(_plain_config(config, modality, rows))
    plan, expected = Plan(), {}
    for name, value in modules.state_dict().items():
        if name == "lm_head.weight" and text.tie_word_embeddings:
            continue
        group: Sequence[int] = groups.get(split_name(name)[0], ())
        if name in EMBEDDINGS:
            new = [embedding(view.get(name), EMBEDDINGS[name])]
        elif view.is_experts(name):
            new = view.published(name, group)
        elif view.is_per_expert(name):
            new = [replace(view.per_expert(name, group), name=view.published_name(name))]
        else:
            new = [replace(view.stored(name), name=view.published_name(name))]
        plan.tensors += new
        whole = len(new) == 1
        expected |= {t.name: tuple(value.shape) if whole and not view.is_experts(name) else t.shape for t in new}
    for name in tensors:
        if name.startswith(("audio_encoder.", "audio_projection.")):
            plan.dropped[name] = "hears continuous audio, which a plain checkpoint cannot"
    check(plan, expected, list(tensors))
    return rows, plan


def _rows(model: Path, config: MostConfig, modality: str) -> tuple[Callable[[StoredTensor, str], PlannedTensor], int]:
    """How an embedding is cut, and how many rows that leaves."""
    vocab = config.vocab
    if modality == "audio":
        kept = range(vocab.text_size, vocab.audio_stop)

        def cut(tensor: StoredTensor, name: str) -> PlannedTensor:
            shape = (len(kept), *tensor.shape[1:])
            return PlannedTensor(_plain_name(tensor), tensor.dtype, shape, tuple(rows_of(tensor, kept)))

        return cut, len(kept)
    path, report = model / ORIGINAL_ROWS, model / REPORT
    original = load_file(path) if path.is_file() else {}
    rows = vocab.text_size
    if original and report.is_file():
        rows = int(json.loads(report.read_text(encoding="utf-8"))["vocabulary"]["source_rows"])

    def restore(tensor: StoredTensor, name: str) -> PlannedTensor:
        pieces = list(rows_of(tensor, range(vocab.text_size)))
        if rows > vocab.text_size:
            pieces += [made(original[name], f"original {name}"), *rows_of(tensor, range(vocab.audio_stop, rows))]
        return PlannedTensor(_plain_name(tensor), tensor.dtype, (rows, *tensor.shape[1:]), tuple(pieces))

    return restore, rows


def _plain_config(config: MostConfig, modality: str, rows: int) -> Any:
    plain: Any = copy.deepcopy(config.text_config)
    family = family_of(plain)
    first = ExpertPartition.from_json(config.partitions[0]) if config.partitions else None
    group = getattr(first or ExpertPartition.split_by_index(family.num_experts(plain)), modality)
    setattr(plain, family.experts_key, len(group))
    plain.vocab_size = rows
    plain.dtype = config.dtype
    plain.architectures = None
    if modality == "audio":
        vocab = config.vocab
        plain.bos_token_id = vocab.audio_begin - vocab.text_size
        plain.eos_token_id = plain.pad_token_id = vocab.audio_end - vocab.text_size
    with torch.device("meta"):
        plain.architectures = [type(AutoModelForCausalLM.from_config(plain)).__name__]
    return plain


def _text_tokenizer(model: Path, config: MostConfig, out: Path) -> None:
    """The MoST's tokenizer without units and markers."""
    AutoTokenizer.from_pretrained(model).save_pretrained(out)
    added = set(config.vocab.added_tokens())
    path = out / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] not in added]
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    path = out / "tokenizer_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content.pop("processor_class", None)
    for key in ("additional_special_tokens", "extra_special_tokens"):
        if isinstance(content.get(key), list):
            content[key] = [t for t in content[key] if t not in added]
    decoder = content.get("added_tokens_decoder", {})
    content["added_tokens_decoder"] = {i: t for i, t in decoder.items() if t["content"] not in added}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


def _unit_tokenizer(model: Path, config: MostConfig, out: Path) -> None:
    """Units and markers only: `<|audio_begin|><|unit_7|>...`, ids counted from the first unit."""
    tokens = config.vocab.added_tokens()
    tokenizer = Tokenizer(models.WordLevel({t: i for i, t in enumerate(tokens)}, unk_token="<|wave|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"<\|\w+\|>"), behavior="isolated")  # type: ignore[assignment]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|audio_begin|>", eos_token="<|audio_end|>", pad_token="<|audio_end|>"
    )
    fast.save_pretrained(out)


def _plain_name(tensor: StoredTensor) -> str:
    return tensor.name.removeprefix(PREFIX)


def _layer(block: str) -> int:
    return int(block.split(".")[2])
