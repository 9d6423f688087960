"""Recipes: strictness, kinds and overrides."""

from __future__ import annotations

import pytest

from most.errors import MostError
from most.settings import build, load_recipe, to_plain
from most.train.recipe import TrainRecipe

GOOD = {
    "model": "m", "output": "o", "steps": 10, "batch_size": 4, "learning_rate": "1e-3",
    "data": {"manifests": ["train.jsonl"]},
}  # fmt: skip


def test_a_recipe_reads_and_writes_back():
    recipe = build(TrainRecipe, GOOD)
    assert recipe.learning_rate == 1e-3
    assert recipe.micro == 4
    assert build(TrainRecipe, to_plain(recipe)) == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lerning_rate": 1}, "did you mean 'learning_rate'"),
        ({"steps": "many"}, "kind int"),
        ({"steps": True}, "kind int"),
        ({"steps": 0}, "at least 1"),
        ({"schedule": "cosin"}, "must be one of 'cosine'"),
        ({"micro_batch_size": 3}, "must divide"),
        ({"warmup_steps": 10}, "0..9"),
        ({"data": {"manifest": ["x"]}}, "did you mean 'manifests'"),
        ({"data": ["x"]}, "must be a mapping"),
        ({"data": {"manifests": "x"}}, "must be a list, or must be a mapping"),
        ({"data": {"manifests": {"a": "x"}}}, r"manifests.a: 'x': must be a list"),
        ({"learning_rate": "fast"}, "must be a number"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(MostError, match=message):
        build(TrainRecipe, GOOD | change)


def test_missing_keys_are_named():
    with pytest.raises(MostError, match=r"output.*missing"):
        build(TrainRecipe, {k: v for k, v in GOOD.items() if k != "output"})


def test_files_and_overrides(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("model: m\noutput: o\nsteps: 5\nbatch_size: 2\nlearning_rate: 1e-3\ndata: {manifests: [a]}\n")
    recipe = load_recipe(TrainRecipe, path, ["steps=7", "data.max_length=99", "data.mixture={text: 1}"])
    assert (recipe.steps, recipe.data.max_length, recipe.data.mixture) == (7, 99, {"text": 1.0})
    with pytest.raises(MostError, match="section"):
        load_recipe(TrainRecipe, path, ["steps"])
    with pytest.raises(MostError, match="no such file"):
        load_recipe(TrainRecipe, tmp_path / "none.yaml")
    path.write_text("a: [")
    with pytest.raises(MostError, match="not YAML"):
        load_recipe(TrainRecipe, path)
