"""What each expert partition costs in text perplexity by conversion alone, before any training on speech.

    python benchmarks/conversion_cost.py --text dialogues.jsonl --out runs/conversion-cost

Trains a tokenizer and three small language models on `--text`: a DeepSeek-V2-shaped mixture (softmax weights used as
they are), a Qwen3-shaped one (weights renormalised to one), both of 16 routed experts, top-4, with a balance loss, as
such models are pretrained with; and a dense Llama. Then converts them with every partition and measures perplexity on
held-out text, reading text only. The models are small and have read little: which partition costs more than which is
the finding, not how much.

Reads `--text` (.jsonl rows with a `text`, or plain text in paragraphs; of a long file about 10 MB) and the shipped
codec. Writes models, the newest checkpoints, cost.jsonl, cost.json and cost.md under `--out`, about 100 MB. Costs 4 to
9 minutes of one core a model, and 3 minutes to measure. Interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from most.convert.backbone import train_tokenizer
from most.convert.convert import convert
from most.convert.partitions import measure_use, read_texts
from most.convert.settings import SPLITS, ConvertSettings
from most.errors import MostError
from most.model.families import FAMILIES, family_of
from most.model.install import moe_routers
from most.model.load import load_backbone, load_most
from most.model.router import in_order
from most.speech.parts import claim

BALANCE = 0.02
"""Weight of the balance loss (Mixtral's). It is taken layer by layer: over all at once, layers may make up for each
other, and each could leave experts unused that a pretrained mixture uses."""
_EVAL_BATCH = 16
_CALIBRATION_TEXTS = 1000


@dataclass(frozen=True, kw_only=True)
class CostSettings:
    """What is trained and measured.

    Args:
        text: file of texts; each is read whole, in an order drawn from `seed`.
        output: folder of the run.
        steps, batch_size, block: optimizer steps, of so many runs of so many tokens.
        held_out_tokens: tokens to measure perplexity on; their texts are not trained on.
        seeds: random splits of each mixture.
        width, layers, experts, top_k: shape of the mixtures.
        codec: its units and encoder go into the converted models, unread; None for the shipped one.
    """

    text: Path
    output: Path
    steps: int = 800
    batch_size: int = 16
    block: int = 128
    vocab_size: int = 2000
    held_out_tokens: int = 65_536
    seeds: int = 3
    width: int = 128
    layers: int = 4
    experts: int = 16
    top_k: int = 4
    learning_rate: float = 3e-3
    codec: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "seeds", "held_out_tokens"):
            if getattr(self, name) < 1:
                raise MostError(name, getattr(self, name), "must be at least 1")


@dataclass(frozen=True)
class Case:
    """One conversion of one model."""

    family: str
    settings: ConvertSettings
    label: str

    @property
    def key(self) -> str:
        return f"{self.family} {self.label}, scores over {self.settings.scores_over}, seed {self.settings.seed}"


def source_configs(s: CostSettings) -> dict[str, dict[str, Any]]:
    """transformers configs of the models that are trained, by family."""
    heads = 4
    head = s.width // heads
    common = {
        "hidden_size": s.width, "num_hidden_layers": s.layers, "num_attention_heads": heads,
        "intermediate_size": 3 * s.width, "max_position_embeddings": 2 * s.block, "tie_word_embeddings": True,
    }  # fmt: skip
    mixture = {"num_experts_per_tok": s.top_k, "moe_intermediate_size": s.width // 2}
    latent = {
        "num_key_value_heads": heads, "q_lora_rank": None, "kv_lora_rank": s.width // 2, "v_head_dim": head,
        "qk_nope_head_dim": head // 2, "qk_rope_head_dim": head // 2, "first_k_dense_replace": 1,
        "n_routed_experts": s.experts, "n_shared_experts": 2, "norm_topk_prob": False,
    }  # fmt: skip
    qwen3 = {"num_key_value_heads": heads // 2, "head_dim": head, "num_experts": s.experts, "norm_topk_prob": True}
    return {
        "deepseek_v2": {**common, **mixture, **latent},
        "qwen3_moe": {**common, **mixture, **qwen3},
        "llama": {**common, "num_key_value_heads": heads // 2},
    }


def cases(s: CostSettings, family: str, calibration: Path) -> Iterator[Case]:
    """Every conversion of a family that is measured, in the order of the table."""
    if family not in FAMILIES:
        yield Case(family, ConvertSettings(partition="upcycle", scores_over="own", shared_expert=False), "upcycle")
        yield Case(
            family,
            ConvertSettings(partition="upcycle", scores_over="own", shared_expert=True),
            "upcycle, shared expert",
        )
        return
    every: list[tuple[str, dict[str, Any]]] = []
    for partition in SPLITS:
        measured_on = {"calibration": calibration} if partition == "usage" else {}
        for scores_over in ("all", "own"):
            for seed in range(s.seeds if partition == "random" else 1):
                every.append(
                    (partition, {"partition": partition, "scores_over": scores_over, "seed": seed, **measured_on})
                )
    for scores_over, n in (("all", s.experts), ("own", s.experts), ("own", s.experts // 2)):
        settings = {"partition": "expand", "scores_over": scores_over, "audio_experts": n}
        every.append((f"expand, {n} audio experts", settings))
    for label, settings in every:
        yield Case(family, ConvertSettings(**settings), label)


class LanguageModelTrainer(Trainer):
    """transformers' Trainer with a balance loss for any family, and checkpoints that it can resume a mixture from."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        if model.config.model_type not in FAMILIES:
            output = model(**inputs)
            return (output.loss, output) if return_outputs else output.loss
        logits: list[torch.Tensor] = []
        hooks = [
            getattr(holder, name).register_forward_hook(lambda _module, _args, out: logits.append(in_order(out)[0]))
            for holder, name in moe_routers(model)
        ]
        try:
            output = model(**inputs)
        finally:
            for hook in hooks:
                hook.remove()
        n_experts = family_of(model.config).num_experts(model.config)
        top_k = model.config.num_experts_per_tok
        balance: list[Any] = [load_balancing_loss_func((layer,), n_experts, top_k) for layer in logits]
        loss = output.loss + BALANCE * sum(balance) / len(balance)
        return (loss, output) if return_outputs else loss

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # Experts fused, as the modules hold them: the Trainer resumes by reading names straight into the modules.
        self.model.save_pretrained(output_dir or self.args.output_dir, save_original_format=False)  # type: ignore[union-attr]


def prepare(s: CostSettings) -> Any:
    """Tokenizer, `train.npy` and `held_out.npy` (rows of `block` ids) and `calibration.jsonl`; returns the tokenizer.

    Raises:
        MostError: the text cannot be read, or is too short.
    """
    folder = s.output / "data"
    if folder.exists():
        return AutoTokenizer.from_pretrained(folder)
    texts = read_texts(s.text)
    texts = [texts[i] for i in np.random.default_rng(s.seed).permutation(len(texts))]
    # A token of this vocabulary is 3 to 4 characters: as much text as training and measuring need, and some to spare.
    needed, n_chars, n_texts = 6 * (s.steps * s.batch_size * s.block + s.held_out_tokens), 0, 0
    while n_texts < len(texts) and n_chars < needed:
        n_chars += len(texts[n_texts])
        n_texts += 1
    texts = texts[:n_texts]
    print(f"tokenizer: {n_chars / 1e6:.1f} MB of text")
    tokenizer = train_tokenizer(texts, s.vocab_size)
    rows = tokenizer([f"<|bos|>{t}<|eos|>" for t in texts], add_special_tokens=False)["input_ids"]
    n, at = 0, 0
    while at < len(rows) and n < s.held_out_tokens:
        n += len(rows[at])
        at += 1
    held_out, train = _blocks(rows[:at], s.block), _blocks(rows[at:], s.block)
    if len(train) < s.batch_size or not len(held_out):
        raise MostError("text", s.text, f"holds {sum(map(len, rows))} tokens; training and measuring need more")
    part = folder.with_name("data.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    np.save(part / "train.npy", train)
    np.save(part / "held_out.npy", held_out)
    with (part / "calibration.jsonl").open("w", encoding="utf-8") as f:
        f.writelines(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts[at : at + _CALIBRATION_TEXTS])
    tokenizer.save_pretrained(part)
    os.replace(part, folder)
    print(f"data: {train.size:,} tokens to train on, {held_out.size:,} held out, {len(tokenizer)} kinds")
    return tokenizer


def _blocks(rows: Sequence[Sequence[int]], block: int) -> np.ndarray:
    stream = np.concatenate([np.asarray(r, dtype=np.int64) for r in rows]) if rows else np.zeros(0, np.int64)
    return stream[: len(stream) // block * block].reshape(-1, block)


def train(s: CostSettings, family: str, tokenizer: Any) -> Path:
    """Train one source model, or go on with it; returns its folder, a plain transformers checkpoint."""
    folder = s.output / family
    if folder.exists():
        return folder
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), **ids, **source_configs(s)[family])
    torch.manual_seed(s.seed)
    model = AutoModelForCausalLM.from_config(config)
    work = s.output / f"{family}.training"
    rows = np.load(s.output / "data" / "train.npy")
    print(f"train {family}: {model.num_parameters() / 1e6:.2f} M parameters, {s.steps} steps", flush=True)
    arguments = TrainingArguments(
        output_dir=str(work),
        max_steps=s.steps,
        per_device_train_batch_size=s.batch_size,
        learning_rate=s.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=s.steps // 16,
        weight_decay=0.01,
        adam_beta2=0.95,
        save_steps=max(1, s.steps // 8),
        save_total_limit=1,
        logging_steps=max(1, s.steps // 16),
        seed=s.seed,
        dataloader_pin_memory=False,
        report_to=[],
    )
    data: Any = [{"input_ids": torch.from_numpy(r), "labels": torch.from_numpy(r)} for r in rows]
    trainer = LanguageModelTrainer(model=model, args=arguments, train_dataset=data)
    # The Trainer writes its state file last.
    whole = [p for p in work.glob("checkpoint-*") if (p / "trainer_state.json").is_file()]
    last = max(whole, key=lambda p: int(p.name.split("-")[1]), default=None)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    part = folder.with_name(folder.name + ".part")
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    os.replace(part, folder)
    shutil.rmtree(work)
    return folder


@torch.inference_mode()
def log_probabilities(model: Any, rows: np.ndarray, text_size: int, label: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each held-out token but the first of each row: among text ids, and among all ids; both (R * (block - 1),)."""
    model.eval()
    among_text, among_all = [], []
    for start in tqdm(range(0, len(rows), _EVAL_BATCH), desc=label, leave=False):
        ids = torch.from_numpy(rows[start : start + _EVAL_BATCH])
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
        right = logits.gather(-1, ids[:, 1:, None])[..., 0]
        among_text.append((right - logits[..., :text_size].logsumexp(-1)).flatten())
        among_all.append((right - logits.logsumexp(-1)).flatten())
    return torch.cat(among_text), torch.cat(among_all)


def measure(s: CostSettings, family: str, tokenizer: Any) -> list[dict[str, Any]]:
    """Rows of the source (first) and of all its conversions; those in `cost.jsonl` already are taken from there."""
    path = s.output / "cost.jsonl"
    done = {r["key"]: r for r in map(json.loads, path.read_text("utf-8").splitlines())} if path.is_file() else {}
    rows, text_size = np.load(s.output / "data" / "held_out.npy"), len(tokenizer)
    calibration = s.output / "data" / "calibration.jsonl"
    wanted = list(cases(s, family, calibration))
    if any(k not in done for k in (f"{family} source", *(c.key for c in wanted))):
        model = load_backbone(s.output / family)[0]
        source = log_probabilities(model, rows, text_size, family)
        if f"{family} source" not in done:
            row = {"key": f"{family} source", "family": family, "partition": "source", "seed": 0}
            row["busiest_half"] = _busiest_half(model, tokenizer, calibration) if family in FAMILIES else None
            done[row["key"]] = _row(row, source, source)
            _append(path, done[row["key"]])
    for case in wanted:
        if case.key in done:
            continue
        most = s.output / "most"
        for leftover in (most, most.with_name("most.part")):
            shutil.rmtree(leftover, ignore_errors=True)
        convert(s.output / family, most, codec=s.codec, settings=case.settings, progress=False, echo=lambda _: None)
        model, _ = load_most(most)
        first = model.config.partitions[0]
        row = {
            "key": case.key, "family": family, "partition": case.label, "scores_over": first["scores_over"],
            "seed": case.settings.seed, "text_experts": len(first["text"]), "audio_experts": len(first["audio"]),
        }  # fmt: skip
        done[case.key] = _row(row, log_probabilities(model, rows, text_size, case.key), source)
        _append(path, done[case.key])
        print(f"{case.key}: {done[case.key]['perplexity']:.2f}", flush=True)
        shutil.rmtree(most)
    return [done[k] for k in (f"{family} source", *(c.key for c in wanted))]


def _busiest_half(model: Any, tokenizer: Any, calibration: Path) -> float:
    """Share of all picks that go to the half of each layer's experts picked most; 0.5 where use is even."""
    n_tokens = ConvertSettings.calibration_tokens
    counts = np.sort(measure_use(model, tokenizer, read_texts(calibration), n_tokens, progress=False), axis=1)
    return float(counts[:, counts.shape[1] // 2 :].sum() / counts.sum())


def _row(
    row: dict[str, Any], measured: tuple[torch.Tensor, torch.Tensor], source: tuple[torch.Tensor, torch.Tensor]
) -> dict[str, Any]:
    perplexity, whole = (math.exp(-t.double().mean()) for t in measured)
    before = math.exp(-source[0].double().mean())
    return {
        **row,
        "perplexity": perplexity,
        "ratio": perplexity / before,
        "perplexity_whole_vocabulary": whole,
        "ratio_whole_vocabulary": whole / before,
        "largest_change": float((measured[0] - source[0]).abs().max()),
        "tokens": len(measured[0]),
    }


def _append(path: Path, row: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as f:
        f.write(json.dumps(row) + "\n")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown; conversions that differ only in their seed are one line, with the lowest and highest."""
    lines = [
        "| source | partition | scores over | text + audio experts | perplexity | ratio | ratio, units allowed |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["family"], row["partition"], row.get("scores_over", "")), []).append(row)
    for (family, partition, scores_over), group in groups.items():
        size = f"{group[0]['text_experts']} + {group[0]['audio_experts']}" if scores_over else ""
        cells = [_over(group, "perplexity", 2), _over(group, "ratio", 3), _over(group, "ratio_whole_vocabulary", 3)]
        lines.append(f"| {family} | {partition} | {scores_over} | {size} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _over(group: Sequence[dict[str, Any]], field: str, digits: int) -> str:
    values = [row[field] for row in group]
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def run(s: CostSettings) -> list[dict[str, Any]]:
    """Prepare, train, measure, write; returns the rows of the table.

    Raises:
        MostError: the text cannot be read, or `output` holds a run of other settings.
    """
    claim(s.output, {k: str(v) if isinstance(v, Path) else v for k, v in asdict(s).items() if k != "output"})
    begin = time.monotonic()
    tokenizer = prepare(s)
    rows = []
    for family in source_configs(s):
        train(s, family, tokenizer)
        rows += measure(s, family, tokenizer)
    text = table(rows)
    (s.output / "cost.md").write_text(text, encoding="utf-8")
    (s.output / "cost.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(f"\n{text}\n{s.output / 'cost.md'}, {s.output / 'cost.json'}; {(time.monotonic() - begin) / 60:.0f} minutes")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help=".jsonl rows with a `text`, or plain text")
    parser.add_argument("--out", type=Path, default=Path("runs/conversion-cost"))
    parser.add_argument("--steps", type=int, default=CostSettings.steps, help="of each training")
    parser.add_argument("--seeds", type=int, default=CostSettings.seeds, help="random splits of each mixture")
    parser.add_argument("--threads", type=int, help="CPU threads; fewer than the cores where the machine is shared")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        run(CostSettings(text=args.text, output=args.out, steps=args.steps, seeds=args.seeds))
    except MostError as e:
        raise SystemExit(f"error: {e}") from e


if __name__ == "__main__":
    main()
