"""The benchmark of the MoE layer at toy size: all contenders compute the same, and each has its rows."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "moe_layer.py"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))  # what the script sets is for its own process
    spec = importlib.util.spec_from_file_location("moe_layer", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "moe_layer", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_contender_computes_the_same_and_is_timed(bench, dtype, capsys):
    shape = bench.Shape(hidden=32, intermediate=16, experts=8, top_k=2, shared=1, tokens=24, dtype=dtype)
    b = bench.Bench(shape, torch.device("cpu"))
    b.check()
    bench.table(b, rounds=1, patience=60.0)
    lines = capsys.readouterr().out.splitlines()
    for contender in ("sorted_mm", "grouped_mm", "eager", "batched_mm", bench.LOOP):
        assert sum(line.startswith(f"{contender} ") for line in lines) == 3


def test_a_wrong_contender_is_found(bench):
    shape = bench.Shape(hidden=32, intermediate=16, experts=8, top_k=2, shared=1, tokens=24, dtype=torch.float32)
    b = bench.Bench(shape, torch.device("cpu"))
    with torch.no_grad():
        b.loop.experts[0].up_proj.weight.mul_(1.5)
    with pytest.raises(AssertionError, match=bench.LOOP):
        b.check()
