"""A recipe over the tiny model."""

from __future__ import annotations

import pytest

from most.train.recipe import DataSettings, TrainRecipe


@pytest.fixture
def recipe(tiny_most, tiny_corpus, tiny_arrays, tmp_path):
    def make(**changes):
        data = {"manifests": (tiny_corpus / "train.jsonl",), "arrays": tiny_arrays} | changes.pop("data", {})
        settings = {
            "model": tiny_most, "output": tmp_path / "run", "data": DataSettings(**data), "steps": 6, "batch_size": 10,
            "learning_rate": 3e-3,
        }  # fmt: skip
        return TrainRecipe(**settings | changes)

    return make
