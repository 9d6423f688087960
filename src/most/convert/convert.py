"""`most convert`: a pretrained language model becomes a MoST (paper, pipeline step 1).

The backbone's bytes are copied; audio vocabulary, speech encoder, projection and expert partition are added. Nothing is
held in memory but what is new, so a source may be of any size.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from most.convert import partitions
from most.convert.layout import MoeView, layout_of
from most.convert.plan import DTYPES, Made, Piece, Plan, PlannedTensor, check, made, read, rows_of
from most.convert.settings import SPLITS, ConvertSettings
from most.convert.source import Source, StoredTensor, open_source
from most.convert.upcycle import DENSE, DenseView, upcycled_config
from most.convert.write import finish, write_plan
from most.errors import MostError
from most.model.adapter import AudioProjection
from most.model.build import BLOCK_ROWS, PAD_ROWS_TO, RowStatistics, init_projection, new_rows, row_statistics
from most.model.configuration import MostConfig
from most.model.families import FAMILIES, family_of
from most.model.install import moe_routers
from most.model.load import load_backbone
from most.model.modeling import MostForConditionalGeneration
from most.model.partition import WHOLE, ExpertPartition
from most.model.processing import MostProcessor, add_speech_tokens
from most.speech.codec import Codec, default_codec_dir
from most.vocab import MARKER_TOKENS

REPORT = "conversion.json"
ORIGINAL_ROWS = "original_rows.safetensors"
"""Embedding rows past the tokenizer's end that units and markers took over: with them, export gives back the source."""
PREFIX = "language_model."
EMBEDDINGS = {"model.embed_tokens.weight": "embed_tokens", "lm_head.weight": "lm_head"}
_IGNORED = {"rotary_emb.inv_freq": "a buffer that is computed", "lm_head.weight": "tied to the embedding"}


def convert(
    source: str | Path,
    out: Path,
    *,
    codec: Path | None = None,
    settings: ConvertSettings | None = None,
    revision: str | None = None,
    progress: bool = True,
    echo: Callable[[str], Any] = print,
) -> Path:
    """Convert a checkpoint to a MoST folder that AutoModel and AutoProcessor load.

    The work is done in `<out>.part`, which gets its name when it is whole; interrupted, the same call goes on there.

    Args:
        source: local folder or hub id of a transformers decoder with its tokenizer: a mixture of experts, or a dense
            model to upcycle.
        codec: folder of the speech codec; its encoder is what the model hears with. None for the shipped one.
        revision: of a hub id.

    Raises:
        MostError: the output exists, the source is not supported, is damaged, or has speech tokens already, a setting
            does not fit it, or the disk is too small.
    """
    settings = settings or ConvertSettings()
    if out.exists():
        raise MostError("out", out, "exists; choose another folder or delete it")
    opened = open_source(source, revision)
    settings = _settled(settings, opened.config.model_type)
    speech = Codec.load(codec or default_codec_dir())
    tokenizer = _tokenizer(opened.folder)
    text_size = add_speech_tokens(tokenizer, speech.n_units)
    config, view, experts = _target(opened, settings, text_size, speech)
    plan, original_rows = _plan(opened, config, view, experts, settings, speech)
    part = out.with_name(out.name + ".part")
    echo(f"convert: {source} -> {out}")
    echo(f"  reads {sum(t.n_bytes for t in opened.tensors.values()) / 1e9:.2f} GB, writes {plan.n_bytes / 1e9:.2f} GB")
    for name, reason in list(plan.dropped.items())[:5]:
        echo(f"  leaves out {name}: {reason}")
    if len(plan.dropped) > 5:
        echo(f"  and {len(plan.dropped) - 5} more (all in {REPORT})")
    checksums = write_plan(plan, part, max_shard_bytes=settings.max_shard_bytes, progress=progress)
    if original_rows:
        save_file(original_rows, part / ORIGINAL_ROWS)
    config.save_pretrained(part)
    _generation_config(opened).save_pretrained(part)
    MostProcessor(
        tokenizer=tokenizer,
        audio_config=config.audio_config,
        text_size=text_size,
        n_units=speech.n_units,
        vocab_size=config.vocab.vocab_size,
        audio_stack=settings.audio_stack,
        max_audio_seconds=settings.max_audio_seconds,
    ).save_pretrained(part)
    report = _report(source, opened, config, plan, settings, checksums) | {"codec": speech.fingerprint}
    (part / REPORT).write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")
    finish(part, out)
    echo(f"  {report['experts']}; {speech.n_units} units; {text_size} text tokens")
    return out


def _settled(settings: ConvertSettings, model_type: str) -> ConvertSettings:
    """Defaults that depend on the source."""
    if model_type not in FAMILIES and model_type not in DENSE:
        known = f"mixtures {', '.join(sorted(FAMILIES))}; dense, to upcycle, {', '.join(sorted(DENSE))}"
        raise MostError("source.model_type", model_type, f"is not supported; supported are {known}")
    dense = model_type in DENSE
    partition = settings.partition or ("upcycle" if dense else "index")
    if dense != (partition == "upcycle"):
        remedy = "is dense: it can only be upcycled" if dense else "is a mixture of experts already; it is not upcycled"
        raise MostError("partition", partition, f"{model_type} {remedy}")
    scores_over = settings.scores_over or ("all" if partition in (*SPLITS, WHOLE) else "own")
    routing = settings.modality_routing and partition != WHOLE
    return replace(settings, partition=partition, scores_over=scores_over, modality_routing=routing)


def _target(
    source: Source, settings: ConvertSettings, text_size: int, speech: Codec
) -> tuple[MostConfig, MoeView, list[int]]:
    """The MoST's config, the source as a mixture, and which of its experts each new expert is made of."""
    config = copy.deepcopy(source.config)
    if settings.partition == "upcycle":
        n = 2 * settings.experts_per_group
        config = upcycled_config(config, n_experts=n, top_k=settings.top_k, shared=settings.shared_expert)
        view: MoeView = DenseView(source.tensors, config, seed=settings.seed)
        experts = [0] * n
    else:
        view = MoeView(source.tensors, layout_of(config.model_type))
        experts = list(range(family_of(config).num_experts(config)))
    n_source = len(experts)
    n_layers = _n_moe_layers(config)
    if settings.partition == "expand":
        n_audio = settings.audio_experts or n_source
        experts += partitions.copies(n_source, n_audio)
        setattr(config, family_of(config).experts_key, len(experts))
        chosen = partitions.expanded(n_source, n_audio, n_layers)
    elif settings.partition == "usage":
        chosen = partitions.by_use(_use(source, settings), settings.text_experts)
    elif settings.partition == "random":
        chosen = partitions.at_random(n_source, n_layers, settings.seed, settings.text_experts)
    elif settings.partition == WHOLE:
        chosen = [ExpertPartition.whole(n_source)] * n_layers
    else:
        chosen = partitions.by_index(n_source, n_layers, settings.text_experts)
    method, scores_over = settings.partition or "index", settings.scores_over or "all"
    chosen = [replace(p, method=method, scores_over=scores_over) for p in chosen]
    rows = view.get("model.embed_tokens.weight").shape[0]
    if text_size > rows:
        raise MostError(
            "source", f"{text_size} tokens", f"the embedding has {rows} rows; is it this model's tokenizer?"
        )
    needed = text_size + speech.n_units + len(MARKER_TOKENS)
    config.vocab_size = rows if needed <= rows else -(-needed // PAD_ROWS_TO) * PAD_ROWS_TO
    config.architectures = None
    dtype = DTYPES[view.get("model.embed_tokens.weight").dtype]
    same = all(p == chosen[0] for p in chosen)
    most_config = MostConfig(
        text_config=config,
        audio_config=speech.encoder.config_dict(),
        text_size=text_size,
        n_units=speech.n_units,
        partitions=[p.to_json() for p in (chosen[:1] if same else chosen)],
        modality_routing=settings.modality_routing,
        balance_loss_alpha=settings.balance_loss_alpha,
        audio_stack=settings.audio_stack,
    )
    most_config.architectures = [MostForConditionalGeneration.__name__]
    most_config.dtype = config.dtype = dtype
    return most_config, view, experts


def _plan(
    source: Source, config: MostConfig, view: MoeView, experts: list[int], settings: ConvertSettings, speech: Codec
) -> tuple[Plan, dict[str, torch.Tensor]]:
    """All pieces of the MoST, checked against its modules, and the embedding rows that are overwritten."""
    with torch.device("meta"):
        modules = MostForConditionalGeneration(config)
    targets = {name: tuple(t.shape) for name, t in modules.state_dict().items()}
    if config.tie_word_embeddings:
        targets.pop(PREFIX + "lm_head.weight", None)
    plan, original_rows = Plan(), {}
    wrong: dict[str, str] = {}
    statistics: dict[str, RowStatistics] = {}
    for target in targets:
        if not target.startswith(PREFIX):
            continue
        name = target.removeprefix(PREFIX)
        try:
            if name in EMBEDDINGS:
                tensor, statistics[name], original = _embedding(view.get(name), config, settings)
                original_rows |= {EMBEDDINGS[name]: original} if len(original) else {}
            elif view.is_experts(name):
                tensor = view.fused(name, experts)
            elif view.is_per_expert(name):
                tensor = view.per_expert(name, experts)
            else:
                tensor = view.stored(name)
        except KeyError as e:
            wrong[target] = str(e.args[0])
            continue
        plan.tensors.append(replace(tensor, name=target))
    text: Any = config.text_config
    projection = AudioProjection(config.audio_stack * speech.encoder.hidden_size, text.hidden_size)
    if "model.embed_tokens.weight" in statistics:
        init_projection(projection, statistics["model.embed_tokens.weight"].rms, settings.seed)
    new = {f"audio_projection.{n}": t.to(config.dtype) for n, t in projection.state_dict().items()}
    new |= {f"audio_encoder.{n}": t for n, t in speech.encoder.state_dict().items()}
    fingerprint = speech.fingerprint
    for name, tensor in new.items():
        key = f"{name} {fingerprint} {settings.seed}"
        dtype = next(k for k, v in DTYPES.items() if v == tensor.dtype)
        plan.tensors.append(PlannedTensor(name, dtype, tuple(tensor.shape), (made(tensor, key),)))
    used = plan.used()
    for name in source.tensors:
        if name not in used and (reason := _reason(name, config)):
            plan.dropped[name] = reason
    expected = {name: shape for name, shape in targets.items() if name not in wrong}
    check(plan, expected, list(source.tensors), wrong=list(wrong.values()))
    return plan, original_rows


def _embedding(
    tensor: StoredTensor, config: MostConfig, settings: ConvertSettings
) -> tuple[PlannedTensor, RowStatistics, torch.Tensor]:
    """Text rows as they are, new rows for units and markers, spare rows as they are; and the rows overwritten."""
    vocab = config.vocab
    name = "lm_head" if tensor.name.endswith("lm_head.weight") else "embed_tokens"
    rows, width = tensor.shape
    starts = range(0, vocab.text_size, BLOCK_ROWS)
    statistics = row_statistics(read(tensor, (i, min(i + BLOCK_ROWS, vocab.text_size))) for i in starts)
    stop = vocab.audio_stop if vocab.audio_stop <= rows else vocab.vocab_size
    n_new = stop - vocab.text_size
    dtype = DTYPES[tensor.dtype]

    def make() -> torch.Tensor:
        return new_rows(statistics, n_new, settings.new_row_noise, settings.seed, name).to(dtype)

    key = f"{name} rows {vocab.text_size} to {stop}, noise {settings.new_row_noise}, seed {settings.seed}"
    pieces: list[Piece] = [
        *rows_of(tensor, range(vocab.text_size)),
        Made(n_new * tensor.row_bytes, key, make),
        *rows_of(tensor, range(stop, rows)),
    ]
    original = read(tensor, (vocab.text_size, min(stop, rows)))
    return PlannedTensor(tensor.name, tensor.dtype, (max(rows, stop), width), tuple(pieces)), statistics, original


def _reason(name: str, config: MostConfig) -> str | None:
    """Why a source tensor that nothing needs may be left out; None when it may not."""
    for ending, reason in _IGNORED.items():
        if name.endswith(ending) and (ending != "lm_head.weight" or config.tie_word_embeddings):
            return reason
    parts, text = name.split("."), config.text_config
    n_layers = text.num_hidden_layers  # type: ignore[union-attr]
    if parts[:2] == ["model", "layers"] and parts[2].isdigit() and int(parts[2]) >= n_layers:
        return "a layer past num_hidden_layers (multi-token prediction), which transformers does not run"
    return None


def _n_moe_layers(config: Any) -> int:
    with torch.device("meta"):
        return len(moe_routers(AutoModelForCausalLM.from_config(config)))


def _use(source: Source, settings: ConvertSettings) -> np.ndarray:
    assert settings.calibration is not None
    texts = partitions.read_texts(settings.calibration)
    model, tokenizer = load_backbone(source.folder)
    return partitions.measure_use(model.eval(), tokenizer, texts, settings.calibration_tokens)


def _tokenizer(folder: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(folder)
    except Exception as e:  # transformers raises many kinds
        raise MostError("source", folder, f"has no tokenizer that transformers loads ({type(e).__name__})") from e


def _generation_config(source: Source) -> GenerationConfig:
    if (source.folder / "generation_config.json").is_file():
        return GenerationConfig.from_pretrained(source.folder)
    return GenerationConfig.from_model_config(source.config)


def _report(
    source: str | Path,
    opened: Source,
    config: MostConfig,
    plan: Plan,
    settings: ConvertSettings,
    checksums: dict[str, str],
) -> dict[str, Any]:
    first = ExpertPartition.from_json(config.partitions[0])  # type: ignore[index]
    experts = f"{len(first.text)} text and {len(first.audio)} audio experts a layer ({settings.partition})"
    if first.method == WHOLE:
        experts = f"{first.num_experts} experts a layer, undivided"
    return {
        "source": str(source), "revision": opened.revision, "model_type": opened.config.model_type,
        "becomes": config.text_config.model_type,  # type: ignore[union-attr]
        "experts": experts,
        "settings": asdict(settings), "partitions": config.partitions,
        "vocabulary": {
            "text": config.text_size, "units": config.n_units, "rows": config.vocab.vocab_size,
            "source_rows": opened.config.vocab_size,
        },
        "source_tensors": len(opened.tensors), "source_bytes": sum(t.n_bytes for t in opened.tensors.values()),
        "tensors": len(plan.tensors), "bytes": plan.n_bytes,
        "parameters": sum(t.n_bytes // DTYPES[t.dtype].itemsize for t in plan.tensors),
        "dropped": plan.dropped, "sha256": checksums,
        "versions": {name: version(name) for name in ("most-speech", "torch", "transformers")},
    }  # fmt: skip
