"""A whole grid: cells made once and resumed, the same with two processes, reports that say what the numbers say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from safetensors.torch import load_file

from most.ablate.cell import Cell, variants_of
from most.ablate.measure import read_measures
from most.ablate.run import ablate
from most.errors import MostError
from most.model.configuration import MostConfig

QUIET = {"echo": lambda _: None, "progress": False}


@pytest.fixture
def done(grid, tiny_corpus):
    task = {
        "family": "asr", "set": {"kind": "manifest", "path": str(tiny_corpus / "asr.jsonl")}, "max_new_tokens": 4
    }  # fmt: skip
    recipe = grid(tasks={"unheard": task})
    ablate(recipe, **QUIET)
    return recipe


def test_a_grid(done, grid, tmp_path):
    """One long test, for a grid takes some seconds."""
    out = done.output
    results = json.loads((out / "results.json").read_text())
    measured = read_measures(done)
    assert set(measured) == {"hear", "text", "unheard/wer"}

    # Values are what the cells' files say.
    by_seed = []
    for seed in (0, 1):
        rows = [json.loads(x) for x in (out / f"cells/index/seed-{seed}/losses.jsonl").read_text().splitlines()]
        heard = [r for r in rows if r["measure"] == "hear"]
        by_seed.append(sum(r["total"] for r in heard) / sum(r["n"] for r in heard))
    assert results["values"]["hear"]["index"]["by_seed"] == pytest.approx(by_seed)
    (claim,) = results["claims"]
    assert claim["verdict"] == "undecided"  # three steps decide nothing
    assert {t["measure"] for t in claim["tests"]} == {"hear", "text"}
    assert "split wins" in (out / "report.html").read_text()
    assert "**undecided**" in (out / "report.md").read_text()

    # Variants are what they are said to be, and no checkpoints are left.
    configs = {c: MostConfig.from_pretrained(str(c.model(out))) for c in variants_of(done)}
    assert {(c.variant, k.modality_routing) for c, k in configs.items()} == {("index", True), ("plain", False)}
    assert not list(out.rglob("checkpoint-*"))
    first = load_file(Cell("", "index", 0).model(out) / "model.safetensors")
    other = load_file(Cell("", "index", 1).model(out) / "model.safetensors")
    assert any((first[k] != other[k]).any() for k in first)

    # Again: nothing is trained, nothing changes.
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")}
    ablate(done, **QUIET)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")} == times
    assert json.loads((out / "results.json").read_text())["values"] == results["values"]

    # Other settings in the same folder are refused.
    with pytest.raises(MostError, match="cell of other settings"):
        ablate(replace(done, train={**done.train, "learning_rate": 1e-3}), **QUIET)

    # Two processes make the same weights.
    twin = replace(done, output=tmp_path / "twin", workers=2, threads=1, tasks={}, seeds=(0,))
    ablate(twin, **QUIET)
    again = load_file(Cell("", "index", 0).model(twin.output) / "model.safetensors")
    assert all(first[k].allclose(again[k], atol=1e-5) for k in first)


def test_a_failed_cell_is_named_and_the_others_are_done(grid):
    recipe = grid(
        variants={
            "index": {"backbone": "moe", "about": "split by index"},
            "broken": {"backbone": "moe", "about": "asks for too many", "convert": {"text_experts": 4}},
        },
        seeds=[0], claims=[], open_question=None,
    )  # fmt: skip
    with pytest.raises(MostError, match=r"1 failed.*broken, seed 0.*text_experts"):
        ablate(recipe, **QUIET)
    assert Cell("", "index", 0).model(recipe.output).exists()
