"""Can a MoST of DeepSeek-V2-Lite's size run on a CPU in 24 GiB, and how fast: layers at full width, then by count.

    python benchmarks/weight_only.py [--layers 2] [--threads 2]

Builds `--layers` mixture layers of DeepSeek-V2-Lite at full width (64 experts of 1,408, 6 a token, 2 shared; random
weights) and times them with weights in bfloat16, 8 and 4 bits, `--repeats` times in turn: a prompt of `--prompt`
tokens and each token behind it, in one row and in four. The output layer (102,400 rows, bfloat16) is timed alone.
What all 27 layers (one of them dense, counted as a mixture) take is these times and bytes by count: an extrapolation.
The limit is the bytes that a token reads over the rate at which memory gives them in a matrix-vector product,
measured here too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from most.generate.steps import steps_behind
from most.model.build import build_from_backbone
from most.model.weight_only import PackedWeight, pack_weights, weight_bytes
from most.report.markdown import table

LITE = {
    "vocab_size": 1024, "hidden_size": 2048, "intermediate_size": 10944, "num_attention_heads": 16,
    "num_key_value_heads": 16, "n_routed_experts": 64, "num_experts_per_tok": 6, "n_shared_experts": 2,
    "moe_intermediate_size": 1408, "first_k_dense_replace": 0, "kv_lora_rank": 512, "q_lora_rank": None,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "max_position_embeddings": 4096,
    "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
N_LAYERS, VOCAB = 27, 102400
GIB = 2**30


def model_of(n_layers: int, bits: int | None) -> Any:
    """In bfloat16, made layer by layer so that no more than one is ever in float32."""
    torch.manual_seed(0)
    config = AutoConfig.for_model("deepseek_v2", **LITE, num_hidden_layers=n_layers)
    lm = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model = build_from_backbone(lm, tokenizer_size=1000, n_units=10).eval()
    if bits is not None:
        pack_weights(model, bits)
    return model


def seconds_of_steps(model: Any, rows: int, prompt: int, tokens: int) -> tuple[float, float]:
    """For the prompts, and for each token behind them."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 1000, (rows, prompt), generator=generator)
    with torch.inference_mode():
        begin = time.perf_counter()
        steps = steps_behind(model, {"input_ids": ids})
        read = time.perf_counter() - begin
        begin = time.perf_counter()
        for _ in range(tokens):
            steps(torch.randint(3, 1000, (rows, 1), generator=generator))
    return read, (time.perf_counter() - begin) / tokens


def seconds_of(work: Callable[[], Any], repeats: int = 10) -> float:
    work()
    begin = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - begin) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/weight_only.json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    names = {"bfloat16": None, "8 bits": 8, "4 bits": 4}
    times: dict[str, dict[int, list[float]]] = {n: {1: [], 4: []} for n in names}
    prompts: dict[str, list[float]] = {n: [] for n in names}
    layer_bytes, load = {}, os.getloadavg()[0]
    models = {name: model_of(args.layers, bits) for name, bits in names.items()}
    for name, model in models.items():
        layer_bytes[name] = weight_bytes(model.get_decoder().layers) / args.layers
    with torch.inference_mode():
        for _ in range(args.repeats):
            for name, model in models.items():
                for rows in (1, 4):
                    read, token = seconds_of_steps(model, rows, args.prompt, args.tokens)
                    times[name][rows].append(token / args.layers)
                    if rows == 1:
                        prompts[name].append(read / args.layers)
        head = torch.randn(VOCAB, LITE["hidden_size"]).bfloat16()  # type: ignore[call-overload]
        x = torch.randn(1, LITE["hidden_size"]).bfloat16()  # type: ignore[call-overload]
        head_seconds = seconds_of(lambda: torch.nn.functional.linear(x, head))
        bandwidth = head.numel() * 2 / head_seconds
        packed = PackedWeight(head[:51200], 8)
        bandwidth = max(bandwidth, packed.n_bytes / seconds_of(lambda: packed(x)))
    rows_out, result = [], {"load_before": load, "bandwidth": bandwidth}
    embeddings = 2 * VOCAB * LITE["hidden_size"] * 2  # type: ignore[operator]
    for name in names:
        one, four = (statistics.median(times[name][rows]) for rows in (1, 4))
        total = N_LAYERS * layer_bytes[name] + embeddings
        token, four_tokens = N_LAYERS * one + head_seconds, N_LAYERS * four + head_seconds
        active = layer_bytes[name] * (6 + 2) / (64 + 2)  # experts are nearly all of a layer
        limit = bandwidth / (N_LAYERS * active + head.numel() * 2)
        fits = "yes" if total < 22 * GIB else "no"
        rows_out.append([
            name, f"{layer_bytes[name] / GIB:.2f}", f"{total / GIB:.1f}", fits, f"{1000 * one:.1f}", f"{1 / token:.1f}",
            f"{4 / four_tokens:.1f}", f"{limit:.1f}", f"{N_LAYERS * statistics.median(prompts[name]):.1f}",
        ])  # fmt: skip
        result[name] = {
            "layer_gib": layer_bytes[name] / GIB, "model_gib": total / GIB, "seconds_a_layer": times[name],
            "tokens_a_second": 1 / token, "tokens_a_second_four_rows": 4 / four_tokens, "limit": limit,
            "prompt_seconds_a_layer": prompts[name],
        }  # fmt: skip
    head_row = [
        "weights",
        "GiB a layer",
        "GiB of 27 layers",
        "in 24 GiB",
        "ms a layer",
        "tokens/s",
        "four rows",
        "limit",
        f"s for {args.prompt} of prompt",
    ]
    print(f"DeepSeek-V2-Lite's shape, {args.layers} layers timed on {args.threads} threads, load {load:.1f} before; "
          f"27 layers are an extrapolation\n")  # fmt: skip
    print("\n".join(table(head_row, rows_out)))
    print(
        f"\nmemory gives {bandwidth / 1e9:.1f} GB/s; the output layer takes {1000 * head_seconds:.1f} ms of each token"
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
