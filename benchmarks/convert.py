"""`most convert` against `cp`, on a checkpoint with the tensor shapes of DeepSeek-V2-Lite.

    python benchmarks/convert.py --layers 8 --out runs/bench-convert

Makes a source of random weights with the published names and shapes (fewer layers where the disk is small; embeddings,
one dense layer and `--layers` MoE layers), then copies it with `cp -r` and converts it, in turn, `--repeats` times,
both until the data is on the disk and both after `--rest` seconds: a virtual machine gives freed memory back to its
host within seconds, and who takes it again at once copies several times as fast as who comes later. The limit is the
disk, and with a warm page cache the rate of sha256, measured beside. Prints bytes a second of both (whole command; and,
for the conversion, all but the imports), their ratio, and the conversion's peak resident memory. Deletes what it wrote.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tqdm import tqdm
from transformers import DeepseekV2Config, PreTrainedTokenizerFast

TOKENS = 100_002
SHAPE: dict[str, Any] = {
    "vocab_size": 102_400, "hidden_size": 2048, "intermediate_size": 10_944, "moe_intermediate_size": 1408,
    "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1,
    "num_attention_heads": 16, "num_key_value_heads": 16, "kv_lora_rank": 512, "q_lora_rank": None,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "topk_method": "greedy", "n_group": 1,
    "topk_group": 1, "norm_topk_prob": False, "routed_scaling_factor": 1.0, "max_position_embeddings": 163_840,
    "bos_token_id": 100_000, "eos_token_id": 100_001, "dtype": "bfloat16",
}  # fmt: skip
TIMED = """
import sys, time
from pathlib import Path
from most.convert.convert import convert
begin = time.perf_counter()
convert(sys.argv[1], Path(sys.argv[2]), progress=False, echo=lambda _: None)
seconds = time.perf_counter() - begin
# Not ru_maxrss, which begins at what the process that started this one held.
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(seconds, int(peak) * 1024)
"""


def layer_tensors(layer: int) -> dict[str, tuple[int, ...]]:
    """Published names and shapes of one decoder layer."""
    h, heads, nope, rope, v, rank = 2048, 16, 128, 64, 128, 512
    p = f"model.layers.{layer}."
    out: dict[str, tuple[int, ...]] = {
        p + "input_layernorm.weight": (h,), p + "post_attention_layernorm.weight": (h,),
        p + "self_attn.q_proj.weight": (heads * (nope + rope), h),
        p + "self_attn.kv_a_proj_with_mqa.weight": (rank + rope, h), p + "self_attn.kv_a_layernorm.weight": (rank,),
        p + "self_attn.kv_b_proj.weight": (heads * (nope + v), rank), p + "self_attn.o_proj.weight": (h, heads * v),
    }  # fmt: skip

    def mlp(name: str, width: int) -> None:
        out.update({f"{p}mlp.{name}{k}_proj.weight": (width, h) for k in ("gate", "up")})
        out[f"{p}mlp.{name}down_proj.weight"] = (h, width)

    if layer == 0:
        mlp("", 10_944)
        return out
    out[p + "mlp.gate.weight"] = (64, h)
    for e in range(64):
        mlp(f"experts.{e}.", 1408)
    mlp("shared_experts.", 2816)
    return out


def make_source(folder: Path, n_layers: int) -> int:
    """Write the source; returns its bytes."""
    folder.mkdir(parents=True)
    weight_map: dict[str, str] = {}
    groups: list[dict[str, tuple[int, ...]]] = [{"model.embed_tokens.weight": (102_400, 2048), **layer_tensors(0)}]
    groups += [layer_tensors(i) for i in range(1, n_layers + 1)]
    groups.append({"model.norm.weight": (2048,), "lm_head.weight": (102_400, 2048)})
    total = 0
    for i, group in enumerate(tqdm(groups, desc="making the source", unit="shard")):
        name = f"model-{i + 1:05d}-of-{len(groups):05d}.safetensors"
        tensors = {n: torch.randint(0, 32_000, s, dtype=torch.int16).view(torch.bfloat16) for n, s in group.items()}
        save_file(tensors, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(group, name)
        total += sum(t.numel() * 2 for t in tensors.values())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    DeepseekV2Config(**SHAPE, num_hidden_layers=n_layers + 1).save_pretrained(folder)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {t: i for i, t in enumerate([*letters, *(f"<filler {i}>" for i in range(TOKENS - 2 - len(letters)))])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>")
    fast.save_pretrained(folder)
    return total


def sha256_rate() -> float:
    """Bytes a second of one core, hashing memory."""
    data, n = os.urandom(1 << 20), 512
    begin = time.perf_counter()
    digest = hashlib.sha256()
    for _ in range(n):
        digest.update(data)
    return n * len(data) / (time.perf_counter() - begin)


def timed(command: list[str]) -> tuple[float, list[float]]:
    """Wall seconds of a command, until what it wrote is on the disk, and the numbers that it printed."""
    begin = time.perf_counter()
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    os.sync()
    return time.perf_counter() - begin, [float(x) for x in output.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=8, help="MoE layers, about 1.15 GB each; the model has 26")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rest", type=float, default=15.0, help="seconds before each command")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-convert"))
    args = parser.parse_args()
    needed = 2.2 * (1.0e9 + 1.15e9 * args.layers)
    args.out.mkdir(parents=True, exist_ok=True)
    print(f"writes up to {needed / 1e9:.0f} GB under {args.out} and deletes it again")
    if shutil.disk_usage(args.out).free < needed:
        raise SystemExit("the disk is too small; ask for fewer --layers")
    source, copied, converted = (args.out / n for n in ("source", "copied", "converted"))
    for folder in (source, copied, converted):
        shutil.rmtree(folder, ignore_errors=True)
    n_bytes = make_source(source, args.layers)
    os.sync()
    rows: dict[str, list[float]] = {"cp": [], "convert": [], "convert, after imports": []}
    peak = 0.0
    for _ in range(args.repeats):
        time.sleep(args.rest)
        seconds, _ = timed(["cp", "-r", str(source), str(copied)])
        rows["cp"].append(seconds)
        shutil.rmtree(copied)
        time.sleep(args.rest)
        seconds, (own, memory) = timed([sys.executable, "-c", TIMED, str(source), str(converted)])
        rows["convert"].append(seconds)
        rows["convert, after imports"].append(own)
        peak = max(peak, memory)
        shutil.rmtree(converted)
    shutil.rmtree(source)
    median = {name: statistics.median(values) for name, values in rows.items()}
    print(f"\n{n_bytes / 1e9:.2f} GB, {args.layers} of 26 MoE layers; median of {args.repeats}")
    for name, seconds in median.items():
        low, high = min(rows[name]), max(rows[name])
        print(
            f"{name:24} {seconds:7.2f} s ({low:.2f} to {high:.2f})  {n_bytes / seconds / 1e9:5.2f} GB/s"
            f"  {median['cp'] / seconds:5.2f} of cp"
        )
    print(f"sha256 on one core: {sha256_rate() / 1e9:.2f} GB/s")
    print(f"peak resident memory of the conversion: {peak / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
