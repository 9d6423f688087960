"""A recipe over the tiny model and corpus, and a way to run it."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from most.train.recipe import DataSettings, TrainRecipe
from most.train.run import train
from most.train.trainer import MostTrainer, read_history
from most.train.watch.settings import WatchSettings

QUIET = {"echo": lambda _: None, "progress": False}
CLOCK = ("tokens_per_second", "loader_wait", "share_of_peak")
"""What a log line says of the machine, not of the run."""


@pytest.fixture
def recipe(tiny_most, tiny_corpus, tiny_arrays, tmp_path):
    def make(name="run", **changes):
        data = {"manifests": (tiny_corpus / "train.jsonl",), "arrays": tiny_arrays} | changes.pop("data", {})
        settings = {
            "model": tiny_most, "output": tmp_path / name, "data": DataSettings(**data), "steps": 6, "batch_size": 10,
            "learning_rate": 3e-3, "checkpoint_every": 3, "log_every": 1,
            "watch": WatchSettings(routing_every=0, gradients=False, report=False),
        }  # fmt: skip
        return TrainRecipe(**settings | changes)

    return make


@pytest.fixture
def weights():
    """Weights of a finished run's model, or of any folder."""

    def read(folder) -> dict[str, torch.Tensor]:
        return load_file(folder / "model.safetensors")

    return read


@pytest.fixture
def quietly():
    """Train a recipe to its end without a word."""

    def run(recipe, **kwargs):
        return train(recipe, **QUIET | kwargs)

    return run


@pytest.fixture
def history():
    """What a run logged, without what hangs on the machine's speed."""

    def read(output) -> list[dict[str, float]]:
        return [{k: v for k, v in r.items() if k not in CLOCK} for r in read_history(output / "history.jsonl")]

    return read


@pytest.fixture
def no_estimate(monkeypatch):
    """Spare many small runs the second in which the machine's rates are measured."""
    monkeypatch.setattr("most.train.run.estimate_line", lambda *_: "no estimate")


@pytest.fixture
def killed(quietly, monkeypatch):
    """Run a recipe until it is killed in the step behind this one."""

    def run(made, step: int) -> None:
        class Killed(BaseException):
            pass

        whole = MostTrainer.training_step

        def dies(self, *args, **kwargs):
            if self.state.global_step == step:
                raise Killed
            return whole(self, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(MostTrainer, "training_step", dies)
            with pytest.raises(Killed):
                quietly(made)

    return run
