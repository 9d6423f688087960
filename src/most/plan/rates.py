"""Rates of a device, measured in about a second: matrix products, memory bandwidth, the cost of one small operation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from most.plan.machines import Rates

_SIDE = {"cuda": 8192, "cpu": 1024}
_COPY_BYTES = {"cuda": 1 << 30, "cpu": 1 << 26}
"""Larger than any cache."""
_REPEATS = 5


def measure_rates(device: torch.device | str, *, n_devices: int = 1) -> Rates:
    """Of one device, as this process sees it (on a CPU: with its threads).

    The network is not measured: on one machine's devices a GPU's memory bandwidth stands for it, which is optimistic.
    """
    device = torch.device(device)
    bandwidth = _bandwidth(device)
    return Rates(
        half_flops=gemm_rate(device, torch.bfloat16),
        full_flops=gemm_rate(device, torch.float32),
        bandwidth=bandwidth,
        link=bandwidth,
        network=bandwidth,
        kernel_seconds=_kernel_seconds(device),
        asynchronous=device.type == "cuda",
        memory=_memory(device),
        node=n_devices,
        source=f"measured on {device_name(device)}",
    )


def gemm_rate(device: torch.device | str, dtype: torch.dtype) -> float:
    """FLOP/s of square products."""
    device = torch.device(device)
    n = _SIDE.get(device.type, 1024)
    generator = torch.Generator(device).manual_seed(0)  # not the global one: training may go on from its state
    a, b = (torch.randn(n, n, device=device, generator=generator).to(dtype) for _ in range(2))
    return 2 * n**3 / _median(lambda: a @ b, device)


def _bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, of a copy."""
    n = _COPY_BYTES.get(device.type, 1 << 27)
    a = torch.zeros(n // 4, device=device)
    b = torch.empty_like(a)
    return 2 * n / _median(lambda: b.copy_(a), device)


def _kernel_seconds(device: torch.device) -> float:
    """Of an operation on next to nothing, in a graph, forward and backward."""
    n = 200
    x = torch.zeros(8, device=device, requires_grad=True)

    def chain() -> None:
        y = x
        for _ in range(n):
            y = y * 1.0
        y.sum().backward()

    return _median(chain, device) / (2 * n)


def _median(run: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for k in range(_REPEATS + 1):
        begin = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if k:
            seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    from psutil import virtual_memory

    return float(virtual_memory().total)


def device_name(device: torch.device | str) -> str:
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"this CPU, threads: {torch.get_num_threads()}"
