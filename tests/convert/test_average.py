"""The mean of checkpoints: every weight, in float32, and nothing else of them changed."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from most.convert.average import average
from most.errors import MostError
from most.model.load import load_most

QUIET = {"echo": lambda _: None, "progress": False}


@pytest.fixture
def moved(tiny_most, tmp_path):
    """`moved(k)`: the tiny model with every weight moved by noise of the seed `k`."""

    def make(k: int):
        folder = tmp_path / f"moved-{k}"
        shutil.copytree(tiny_most, folder)
        file, generator = folder / "model.safetensors", torch.Generator().manual_seed(k)
        weights = {n: t + 0.1 * torch.randn(t.shape, generator=generator) for n, t in load_file(file).items()}
        save_file(weights, file, metadata={"format": "pt"})
        return folder

    return make


def test_every_weight_is_the_mean(tiny_most, moved, tmp_path):
    models = [moved(1), moved(2), tiny_most]
    out = average(models, tmp_path / "mean", **QUIET)
    a, b, c = (load_file(m / "model.safetensors") for m in models)
    mean = load_file(out / "model.safetensors")
    assert set(mean) == set(c)
    for name, tensor in mean.items():
        torch.testing.assert_close(tensor, (a[name] + b[name] + c[name]) / 3)
        assert not torch.equal(tensor, c[name])
    assert json.loads((out / "average.json").read_text())["models"] == [str(m) for m in models]
    assert {f.name for f in out.iterdir()} == {f.name for f in tiny_most.iterdir()} | {"average.json"}
    load_most(out)


def test_models_that_do_not_fit_are_refused(tiny_most, moved, tmp_path):
    other = moved(1)
    with pytest.raises(MostError, match="two or more"):
        average([tiny_most], tmp_path / "mean", **QUIET)
    with pytest.raises(MostError, match="exists"):
        average([tiny_most, other], other, **QUIET)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "balance_loss_alpha": 0.5}))
    with pytest.raises(MostError, match="another balance_loss_alpha"):
        average([other, tiny_most], tmp_path / "mean", **QUIET)
    weights = load_file(other / "model.safetensors")
    save_file({n: t for n, t in weights.items() if "norm" not in n}, other / "model.safetensors")
    with pytest.raises(MostError, match="missing"):
        average([other, tiny_most], tmp_path / "mean", **QUIET)
    assert not (tmp_path / "mean").exists()
