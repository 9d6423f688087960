"""The benchmark of partitions at toy size: it goes on after an interruption, and its exact cases are exact."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from most.errors import MostError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "conversion_cost.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("conversion_cost", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["conversion_cost"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["conversion_cost"]


@pytest.fixture(scope="module")
def toy(bench, tmp_path_factory, tiny_codec):
    folder = tmp_path_factory.mktemp("cost")
    text = folder / "text.txt"
    text.write_text("\n\n".join(f"{i} and {i + 1} are {2 * i + 1}, and so on." for i in range(400)))

    def settings(name, **changes):
        shape = {"block": 16, "vocab_size": 280, "width": 16, "layers": 2, "experts": 4, "top_k": 2}
        run = {"steps": 12, "batch_size": 4, "held_out_tokens": 600, "seeds": 2, "learning_rate": 1e-2}
        values = {"text": text, "output": folder / name, "codec": tiny_codec, **shape, **run, **changes}
        return bench.CostSettings(**values)

    return settings


@pytest.fixture(scope="module")
def rows(bench, toy):
    return bench.run(toy("whole"))


def test_what_must_be_exact_is_exact(rows):
    by = {(r["family"], r["partition"], r.get("scores_over"), r["seed"]): r for r in rows}
    assert len(rows) == len(by) == 2 * 12 + 3
    for family in ("deepseek_v2", "qwen3_moe"):
        for n_audio in (4, 2):
            row = by[family, f"expand, {n_audio} audio experts", "own", 0]
            assert row["largest_change"] < 1e-5
            assert (row["text_experts"], row["audio_experts"]) == (4, n_audio)
        for partition in ("index", "usage", "random"):
            assert by[family, partition, "all", 0]["largest_change"] > 1e-4
    # Weights that sum to one do not hang on what the scores compete with.
    same = (by["qwen3_moe", "index", s, 0]["perplexity"] for s in ("all", "own"))
    assert next(same) == pytest.approx(next(same), rel=1e-6)
    for partition in ("upcycle", "upcycle, shared expert"):
        assert by["llama", partition, "own", 0]["largest_change"] < 1e-5
    for row in rows:
        assert row["perplexity"] <= row["perplexity_whole_vocabulary"] * (1 + 1e-6)


def test_the_table_holds_every_partition_once(bench, toy, rows):
    out = toy("whole").output
    text = (out / "cost.md").read_text()
    assert json.loads((out / "cost.json").read_text()) == rows
    lines = text.splitlines()
    assert len(lines) == 2 + 2 * 10 + 3
    assert len({line.count("|") for line in lines}) == 1
    random = next(line for line in lines if "| random | own" in line)
    assert " to " in random
    assert not (out / "most").exists()


def test_a_finished_run_measures_nothing_again(bench, toy, rows, monkeypatch):
    monkeypatch.setattr(bench, "convert", None)
    monkeypatch.setattr(bench.LanguageModelTrainer, "train", None)
    assert bench.run(toy("whole")) == rows
    with pytest.raises(MostError, match="was begun with seeds = 2"):
        bench.run(toy("whole", seeds=3))


@pytest.mark.parametrize("family", ["deepseek_v2", "qwen3_moe"])
def test_an_interrupted_training_ends_in_the_same_weights(family, bench, toy, rows, monkeypatch):
    s = toy("interrupted")
    tokenizer = bench.prepare(s)
    step, steps = bench.LanguageModelTrainer.training_step, []

    def interrupted(*args, **kwargs):
        steps.append(1)
        if len(steps) == 8:
            raise KeyboardInterrupt
        return step(*args, **kwargs)

    monkeypatch.setattr(bench.LanguageModelTrainer, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.train(s, family, tokenizer)
    done = len(steps)
    again = bench.train(s, family, tokenizer)
    assert len(steps) - done < s.steps
    expected = load_file(toy("whole").output / family / "model.safetensors")
    tensors = load_file(again / "model.safetensors")
    assert set(tensors) == set(expected)
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, expected[name], msg=name)


def test_text_that_is_too_short_is_refused(bench, toy, tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("one line")
    with pytest.raises(MostError, match="need more"):
        bench.prepare(toy("short", text=text))
