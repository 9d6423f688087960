"""The recipe of all stand-ins with flite's real voices, and what its phones are."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from most.data.build.recipe import BuildRecipe
from most.data.build.run import build_data
from most.data.dialogue.voice.table import make_synthesizer
from most.data.stand_ins.info import read_info
from most.settings import load_recipe

from .conftest import rows_of  # isort: skip

RECIPE = Path(__file__).parents[3] / "recipes" / "eval" / "sets.yaml"
LIMITS = {"sblimp": 4, "swuggy": 3, "story-cloze": 2, "topic-story-cloze": 2, "webquestions": 3}
pytestmark = pytest.mark.skipif(shutil.which("flite") is None, reason="the program flite is not installed")


def test_a_word_by_its_phones_is_the_word():
    flite = make_synthesizer("flite", {})
    word = flite.synthesize("constitution", "slt", 0)
    phones = ["K", "AA2", "N", "S", "T", "AH0", "T", "UW1", "SH", "AH0", "N"]
    assert np.array_equal(flite.synthesize_phones(phones, "slt", 0), word)
    assert not np.array_equal(flite.synthesize_phones([*phones[:-1], "M"], "slt", 0), word)


def test_every_set_of_the_recipe(tmp_path, contents):
    pytest.importorskip("num2words")

    def make(name, *more):
        limits = [f"steps.{step}.limit={n}" for step, n in LIMITS.items()]
        recipe = load_recipe(
            BuildRecipe, RECIPE, [f"output={tmp_path / name}", "steps.digits.n_test=2", *limits, *more]
        )
        said: list[str] = []
        return build_data(recipe, echo=said.append, progress=False), "\n".join(said)

    summary, said = make("one")
    assert "sblimp (sblimp): to do" in said
    assert "4 items, 0.01 h of speech" in said
    for step, n in LIMITS.items():
        folder = tmp_path / "one" / step
        assert read_info(folder).stand_in_for
        (lines,) = [p for p in folder.glob("*.jsonl") if p.name != "rejected.jsonl"]
        assert len(rows_of(lines)) == n
        assert summary["steps"][step]["rows"] == {lines.name: n}
    assert (tmp_path / "one" / "digits" / "test_asr_unheard.jsonl").is_file()
    # By two processes, in whatever order, the same bytes.
    make("two", "steps.sblimp.workers=2")
    assert contents(tmp_path / "one" / "sblimp") == contents(tmp_path / "two" / "sblimp")
    assert "story-cloze (story-cloze): done" in make("two", "steps.sblimp.workers=2")[1]
