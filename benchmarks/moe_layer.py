"""One MAMoE layer, forward and backward and at decoding, by every way of running its experts, in one run.

    python benchmarks/moe_layer.py --shape v2-lite
    python benchmarks/moe_layer.py --shape nano

A deepseek_v2 MoE block with the modality router installed, half of the tokens text and half audio, routed anew in each
round as in training: `sorted_mm`, transformers' `eager`, `grouped_mm` and `batched_mm`, and the loop of
the paper's release (boolean masks over all experts, each an MLP of its own). Rounds are interleaved, figures medians.
Beside them, in the same rounds: the GEMM rate in the same dtype of the whole batch by one expert's weights, and of the
rows that an expert gets; and the rate at which the weights that one token reads come from memory. A contender whose
first pass takes too long is timed by that pass alone; `batched_mm` only decodes where its copies of the weights do
not fit the memory. On a GPU where there is one, unless `--device cpu`.

The layer's share of the GEMM rate counts the products of routed and shared experts and all the time of the layer.
"""

from __future__ import annotations

import os

# Before torch loads: threads that the system moves onto one core halve every rate and more, and large pages make fresh
# gradients three times as cheap. Both serve all contenders.
os.environ.setdefault("OMP_PROC_BIND", "true")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import DeepseekV2Config
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2ForCausalLM, DeepseekV2MLP

from most.model.experts import SORTED_EXPERTS
from most.model.install import install
from most.model.router import modality_scope

LOOP = "release's loop"
DIRECTIONS = {"forward": 1, "forward + backward": 3}
"""Each with its products, in those of a forward pass."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of the layer and of its batch."""

    hidden: int
    intermediate: int
    experts: int
    top_k: int
    shared: int
    tokens: int
    dtype: torch.dtype

    @property
    def forward_flops(self) -> int:
        return 2 * self.tokens * 3 * self.hidden * self.intermediate * (self.top_k + self.shared)

    @property
    def active_bytes(self) -> int:
        """Weights that one token reads: its experts, the shared ones, the router."""
        values = 3 * self.hidden * self.intermediate * (self.top_k + self.shared) + self.experts * self.hidden
        return values * self.dtype.itemsize


SHAPES = {
    "v2-lite": Shape(
        hidden=2048, intermediate=1408, experts=64, top_k=6, shared=2, tokens=2048, dtype=torch.bfloat16
    ),
    "nano": Shape(hidden=128, intermediate=128, experts=16, top_k=2, shared=1, tokens=2048, dtype=torch.float32),
}  # fmt: skip


class LoopExperts(nn.Module):
    """Experts as the release keeps and runs them: a list of MLPs, over all of which it loops with boolean masks."""

    def __init__(self, config: Any, fused: Any) -> None:
        super().__init__()
        self.experts = nn.ModuleList(
            DeepseekV2MLP(config, intermediate_size=config.moe_intermediate_size) for _ in range(len(fused.down_proj))
        )
        with torch.no_grad():
            for i, expert in enumerate(self.experts):
                gate, up = fused.gate_up_proj[i].chunk(2)
                for linear, weight in ((expert.gate_proj, gate), (expert.up_proj, up),
                                       (expert.down_proj, fused.down_proj[i])):  # fmt: skip
                    linear.weight = nn.Parameter(weight.clone())

    def forward(self, hidden: torch.Tensor, indices: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(hidden)
        for i, expert in enumerate(self.experts):
            picked = indices == i
            mask = picked.any(dim=-1)
            if mask.any():
                weight = (weights * picked).sum(dim=-1)[mask]
                out[mask] = out[mask] + (expert(hidden[mask]) * weight[:, None]).to(out.dtype)
        return out


def layer(shape: Shape, device: torch.device) -> tuple[Any, Any]:
    """A MAMoE block of random weights, and its config, which chooses the implementation."""
    config = DeepseekV2Config(
        vocab_size=64, hidden_size=shape.hidden, moe_intermediate_size=shape.intermediate, num_hidden_layers=1,
        first_k_dense_replace=0, n_routed_experts=shape.experts, num_experts_per_tok=shape.top_k,
        n_shared_experts=shape.shared, num_attention_heads=2, q_lora_rank=None, kv_lora_rank=16, qk_nope_head_dim=8,
        qk_rope_head_dim=8, v_head_dim=8, intermediate_size=16,
    )  # fmt: skip
    torch.manual_seed(0)
    model = DeepseekV2ForCausalLM._from_config(config, dtype=shape.dtype)
    install(model)
    return model.model.layers[0].mlp.to(device), model.config


class Bench:
    """The contenders on one layer."""

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self.shape, self.device = shape, device
        self.block, self.config = layer(shape, device)
        self.fused = self.block.experts
        self.contenders = [SORTED_EXPERTS, "grouped_mm", "eager"]
        copies = 3 * shape.hidden * shape.intermediate * shape.tokens * shape.top_k * shape.dtype.itemsize
        if copies < 0.4 * memory_bytes(device):
            self.contenders.append("batched_mm")
        else:
            print(f"batched_mm: decodes only, for this batch it would copy {copies / 1e9:.0f} GB of weights")
        self.loop = LoopExperts(self.config, self.fused).to(device)
        self.contenders.append(LOOP)
        self.decoders = list(dict.fromkeys([*self.contenders, "batched_mm"]))

    def use(self, contender: str) -> None:
        self.block.experts = self.loop if contender == LOOP else self.fused
        self.config._experts_implementation = SORTED_EXPERTS if contender == LOOP else contender

    def batch(self, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states (1, tokens, H), and modality ids: the first half text, the second audio."""
        x = torch.randn(1, tokens, self.shape.hidden, dtype=self.shape.dtype, device=self.device)
        return x, (torch.arange(tokens, device=self.device)[None] >= tokens / 2).long()

    def run(self, direction: str, x: torch.Tensor, modality_ids: torch.Tensor) -> torch.Tensor:
        with modality_scope(modality_ids):
            if direction == "forward":
                with torch.no_grad():
                    return self.block(x)
            self.block.zero_grad()
            out = self.block(x.clone().requires_grad_())
        out.backward(x)
        return out.detach()

    def seconds(self, work: Callable[[], object]) -> float:
        synchronize(self.device)
        begin = time.perf_counter()
        work()
        synchronize(self.device)
        return time.perf_counter() - begin

    def check(self) -> None:
        """Every contender computes the same; raises AssertionError otherwise."""
        x, modality_ids = self.batch(64)
        outputs = []
        for contender in self.contenders:
            self.use(contender)
            outputs.append(self.run("forward", x, modality_ids).float())
        for contender, out in zip(self.contenders, outputs, strict=True):
            error = (out - outputs[0]).norm() / outputs[0].norm()
            assert error < (1e-4 if self.shape.dtype == torch.float32 else 2e-2), (contender, float(error))

    def gemm(self, rows: int) -> float:
        """FLOP/s of `rows` tokens by the first products of all experts."""
        x = torch.randn(rows, self.shape.hidden, dtype=self.shape.dtype, device=self.device)
        weights = self.fused.gate_up_proj.detach()
        n = max(1, min(len(weights), 4096 // rows)) if self.shape.hidden > 1000 else len(weights)
        s = self.seconds(lambda: [torch.mm(x, weights[i].T) for i in range(n)])
        return 2 * rows * weights[0].numel() * n / s

    def memory_rate(self) -> float:
        """Bytes a second of summing as many bytes as one token's weights, others each time."""
        n = self.shape.active_bytes // 4
        if not hasattr(self, "_spread"):
            self._spread = torch.ones(max(n, min(64 << 20, 8 * n)), device=self.device)
            self._at = 0
        self._at = (self._at + n) % (len(self._spread) - n + 1)
        part = self._spread[self._at : self._at + n]
        return 4 * n / self.seconds(lambda: part.sum())


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    wide = [f for f in ("avx512f", "avx512_bf16", "amx_bf16") if f in flags]
    return f"{name} ({', '.join(wide)}), {torch.get_num_threads()} threads"


def busy_elsewhere() -> float:
    """Seconds of CPU that other processes, or the machine's owner, have had so far; nan where nothing tells."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return float("nan")
    ticks = [int(v) for v in stat.read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:2])


def measure_training(bench: Bench, rounds: int, patience: float) -> dict[tuple[str, str], list[float]]:
    """Seconds of each contender and direction, and FLOP/s under ("GEMM", rows)."""
    shape, rows = bench.shape, max(1, bench.shape.tokens * bench.shape.top_k // bench.shape.experts)
    times: dict[tuple[str, str], list[float]] = {}
    for k in range(rounds + 1):
        for n in (shape.tokens, rows):
            times.setdefault(("GEMM", str(n)), []).append(bench.gemm(n))
        x, modality_ids = bench.batch(shape.tokens)
        for direction in DIRECTIONS:
            for contender in bench.contenders:
                seen = times.setdefault((contender, direction), [])
                if k and seen[0] > patience:
                    continue
                bench.use(contender)
                seen.append(bench.seconds(lambda d=direction, x=x, m=modality_ids: bench.run(d, x, m)))
    return {key: values[1:] or values for key, values in times.items()}  # the first warms up


def measure_decoding(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Seconds a token, a new one each time; bytes a second under "memory"."""
    times: dict[str, list[float]] = {name: [] for name in ("memory", *bench.decoders)}
    for _ in range(rounds + 3):
        times["memory"].append(bench.memory_rate())
        x, _ = bench.batch(1)
        modality_ids = torch.randint(0, 2, (1, 1), device=bench.device)
        for contender in bench.decoders:
            bench.use(contender)
            times[contender].append(bench.seconds(lambda x=x, m=modality_ids: bench.run("forward", x, m)))
    return {name: values[3:] for name, values in times.items()}


def table(bench: Bench, rounds: int, patience: float) -> None:
    shape, elsewhere, began = bench.shape, busy_elsewhere(), time.perf_counter()
    times = measure_training(bench, rounds, patience)
    decoding = measure_decoding(bench, 10 * rounds)
    gemm = {n: statistics.median(values) for (name, n), values in times.items() if name == "GEMM"}
    for direction, products in DIRECTIONS.items():
        print(f"\n{direction:24} {'ms':>9} {'GFLOP/s':>8}  " + "  ".join(f"of GEMM, {n} rows" for n in gemm)
              + f"  {SORTED_EXPERTS} is")  # fmt: skip
        ours = statistics.median(times[SORTED_EXPERTS, direction])
        for contender in bench.contenders:
            s = statistics.median(times[contender, direction])
            rate = products * shape.forward_flops / s
            shares = "  ".join(f"{rate / g:>{len(f'of GEMM, {n} rows')}.0%}" for n, g in gemm.items())
            once = " (one pass)" if len(times[contender, direction]) == 1 < rounds else ""
            print(f"{contender:24} {1e3 * s:9.1f} {rate / 1e9:8.0f}  {shares}  {s / ours:8.2f} x{once}")
    print("GEMM " + ", ".join(f"{n} rows {g / 1e9:.0f} GFLOP/s" for n, g in gemm.items()))
    memory = statistics.median(decoding["memory"])
    print(f"\n{'one token':24} {'us':>9} {'GB/s':>8}  of memory ({memory / 1e9:.1f} GB/s)")
    for contender in bench.decoders:
        s = statistics.median(decoding[contender])
        rate = shape.active_bytes / s
        print(f"{contender:24} {1e6 * s:9.0f} {rate / 1e9:8.2f}  {rate / memory:6.0%}")
    spent = time.perf_counter() - began
    print(f"\n{spent:.0f} s; others had {(busy_elsewhere() - elsewhere) / spent:.2f} cores of the machine meanwhile")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="nano")
    parser.add_argument("--tokens", type=int, help="of a batch, instead of the shape's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=10.0, help="seconds a first pass may take to be repeated")
    parser.add_argument("--without", nargs="*", default=[], help="contenders to leave out")
    parser.add_argument("--quick", action="store_true", help="two rounds, and an eighth of the tokens")
    args = parser.parse_args()
    values = {**vars(SHAPES[args.shape])}
    values["tokens"] = args.tokens or values["tokens"] // (8 if args.quick else 1)
    bench = Bench(Shape(**values), torch.device(args.device))
    print(f"{args.shape}: {bench.shape}\n{device_name(bench.device)}, torch {torch.__version__}")
    bench.contenders = [c for c in bench.contenders if c not in args.without]
    bench.decoders = [c for c in bench.decoders if c not in args.without]
    bench.check()
    table(bench, 2 if args.quick else args.rounds, args.patience)


if __name__ == "__main__":
    main()
