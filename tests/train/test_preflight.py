"""A recipe that does not fit its model or its arrays ends before the first step, and says what does not fit."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from most.data.arrays import ArrayStore, write_part
from most.errors import MostError
from most.model import MostForConditionalGeneration
from most.train.corpus import Source
from most.train.preflight import check_arrays, check_length

pytestmark = pytest.mark.usefixtures("no_estimate")


@pytest.fixture
def config(tiny_most):
    return MostForConditionalGeneration.config_class.from_pretrained(tiny_most)


@pytest.fixture
def arrays(tmp_path):
    """A folder of arrays that say of themselves what a test wants."""

    def make(frames=None, units=None, width=16):
        folder = tmp_path / "made"
        if frames is not None:
            write_part(folder / "frames", "a", frames, {"x": np.zeros((3, width), np.float16)})
        if units is not None:
            write_part(folder / "units", "a", units, {"x": np.zeros(3, np.int16)})
        return [Source("", tmp_path / "m.jsonl", folder)]

    return make


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"frames": {"layer": None}, "width": 24}, "frames are 24 wide, the model's encoder gives 16"),
        ({"frames": {"layer": 1}}, "encoder layer 1, the model reads None"),
        ({"units": {"n_units": 100}}, "codec of 100, the model has 20"),
        ({"units": {"n_units": 20, "codec": "another"}}, "made by codec another"),
        ({}, "holds neither frames nor units"),
    ],
)
def test_arrays_that_do_not_fit_are_named(arrays, config, tiny_most, made, message):
    with pytest.raises(MostError, match=message):
        check_arrays(arrays(**made), config, tiny_most)


def test_what_the_project_makes_fits(config, tiny_arrays, tiny_most, tmp_path):
    check_arrays([Source("", tmp_path / "m.jsonl", tiny_arrays)], config, tiny_most)
    recorded = json.loads((tiny_most / "conversion.json").read_text())["codec"]
    assert ArrayStore(tiny_arrays / "units").about["codec"] == recorded


def test_positions_are_counted(config):
    check_length(config.text_config.max_position_embeddings, config.text_config)
    with pytest.raises(MostError, match="is more than the backbone's"):
        check_length(config.text_config.max_position_embeddings + 1, config.text_config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"max_length": 10_000_000}}, "more than the backbone's"),
        ({"experts_implementation": "magic"}, "experts_implementation: 'magic'"),
        ({"model": "nowhere"}, "holds no config"),
    ],
)
def test_a_run_ends_before_its_first_step(recipe, quietly, changes, message):
    made = recipe(**changes)
    with pytest.raises(MostError, match=message):
        quietly(made)
    assert not (made.output / "recipe.json").exists(), "a mistake must not claim the folder"
    assert quietly(recipe(steps=1)).is_dir()


def test_the_trained_model_keeps_what_it_was_made_from(recipe, quietly, tiny_most, tmp_path):
    final = quietly(recipe(steps=1))
    before = json.loads((tiny_most / "conversion.json").read_text())
    after = json.loads((final / "conversion.json").read_text())
    assert after["codec"] == before["codec"]
    assert "sha256" not in after
    shutil.rmtree(final)
