"""Accelerators and their stated rates, and how much of a rate a training step is assumed to get.

Figures are the makers' own: dense products (no sparsity), half precision added up in float32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from most.errors import MostError, nearest

GEMM_SHARE = 0.6
"""Of the peak, for matrix products: assumed until `most bench` has measured. Experts' products are small ones."""
BANDWIDTH_SHARE = 0.75
NETWORK_SHARE = 0.7
KERNEL_SECONDS = 7e-6
"""What the host needs to launch one operation in eager mode."""
CONTEXT_BYTES = 1.5e9
"""Of CUDA, its libraries, NCCL's buffers and what the allocator cannot use."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """Stated rates of one accelerator.

    Args:
        half_flops, full_flops: products a second in bf16 and in float32.
        memory: bytes; bandwidth: bytes a second of it.
        link: bytes a second, each way, to the others in its node.
        network: the same to other nodes; not the card's own: what hosts of it commonly have.
        node: cards in a node.
        source: of the figures.
    """

    half_flops: float
    full_flops: float
    memory: float
    bandwidth: float
    link: float
    network: float
    node: int = 8
    source: str


_NVIDIA = "NVIDIA data sheet"
GPUS: dict[str, Gpu] = {
    "H100": Gpu(
        half_flops=989.4e12, full_flops=66.9e12, memory=80e9, bandwidth=3.35e12, link=450e9, network=50e9,
        source=f"{_NVIDIA} H100 SXM5",
    ),
    "H200": Gpu(
        half_flops=989.4e12, full_flops=66.9e12, memory=141e9, bandwidth=4.8e12, link=450e9, network=50e9,
        source=f"{_NVIDIA} H200 SXM",
    ),
    "A100-80": Gpu(
        half_flops=312e12, full_flops=19.5e12, memory=80e9, bandwidth=2.039e12, link=300e9, network=25e9,
        source=f"{_NVIDIA} A100 80GB SXM4",
    ),
    "A100-40": Gpu(
        half_flops=312e12, full_flops=19.5e12, memory=40e9, bandwidth=1.555e12, link=300e9, network=25e9,
        source=f"{_NVIDIA} A100 40GB SXM4",
    ),
    "L40S": Gpu(
        half_flops=362e12, full_flops=91.6e12, memory=48e9, bandwidth=864e9, link=32e9, network=12.5e9,
        source=f"{_NVIDIA} L40S (PCIe 4.0 x16)",
    ),
    "RTX4090": Gpu(
        half_flops=165.2e12, full_flops=82.6e12, memory=24e9, bandwidth=1.008e12, link=32e9, network=1.25e9, node=4,
        source="NVIDIA Ada GPU architecture paper, appendix A: GeForce RTX 4090 (PCIe 4.0 x16)",
    ),
}  # fmt: skip
CPU = "cpu"
"""The machine that plans: its rates are measured on the spot."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What one device gets done, achieved rather than peak.

    Args:
        half_flops, full_flops, bandwidth, link, network: as in `Gpu`.
        kernel_seconds: an operation's own time on the host.
        asynchronous: launches run ahead of the device, so the slower of both counts; else they add up.
        step_ratio: measured over predicted time of a step, where one was measured.
        memory: bytes of the device; node: devices in a node.
        source: how all this is known.
    """

    half_flops: float
    full_flops: float
    bandwidth: float
    link: float
    network: float
    kernel_seconds: float
    asynchronous: bool
    memory: float
    node: int
    source: str
    step_ratio: float = 1.0


def stated_rates(name: str) -> Rates:
    """Of a GPU by its name in GPUS, at the shares above. Raises MostError when it is not in the table."""
    gpu = find_gpu(name)
    return Rates(
        half_flops=GEMM_SHARE * gpu.half_flops,
        full_flops=GEMM_SHARE * gpu.full_flops,
        bandwidth=BANDWIDTH_SHARE * gpu.bandwidth,
        link=NETWORK_SHARE * gpu.link,
        network=NETWORK_SHARE * gpu.network,
        kernel_seconds=KERNEL_SECONDS,
        asynchronous=True,
        memory=gpu.memory,
        node=gpu.node,
        source=f"stated ({gpu.source}), {GEMM_SHARE:.0%} of peak products, {BANDWIDTH_SHARE:.0%} of bandwidth, "
        f"{NETWORK_SHARE:.0%} of network assumed",
    )


def find_gpu(name: str) -> Gpu:
    known = {key.lower(): key for key in GPUS}
    key = known.get(name.lower().replace("-sxm", "").replace(" ", ""))
    if key is None:
        raise MostError("gpu", name, f"{nearest(name, [*GPUS, CPU])}; or measure: most bench RECIPE, plan --bench FILE")
    return GPUS[key]


def read_rates(path: Path) -> Rates:
    """What `most bench` wrote. Raises MostError when it is something else."""
    try:
        return Rates(**json.loads(path.read_text(encoding="utf-8"))["rates"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise MostError("bench", path, f"is no file of `most bench` ({e!r}); run it again") from e


def rates_to_json(rates: Rates, about: Mapping[str, Any]) -> str:
    return json.dumps({"rates": asdict(rates), **about}, indent=1) + "\n"
