"""Stand-ins over stand-in voices, one of which takes phones."""

from __future__ import annotations

import json

import pytest

from most.data.dialogue.voice.table import SYNTHESIZERS
from most.data.stand_ins.blimp import sblimp
from most.data.stand_ins.questions import spoken_qa
from most.data.stand_ins.recipe import SBlimpRecipe, SpokenQaRecipe, StoryClozeRecipe, SWuggyRecipe
from most.data.stand_ins.stories import story_cloze
from most.data.stand_ins.swuggy import swuggy
from most.settings import build

KINDS = {
    "sblimp": (SBlimpRecipe, sblimp), "swuggy": (SWuggyRecipe, swuggy), "story-cloze": (StoryClozeRecipe, story_cloze),
    "spoken-qa": (SpokenQaRecipe, spoken_qa),
}  # fmt: skip


@pytest.fixture(scope="session")
def phone_tones(tones):
    """Tones that also say phones, a tone a phone."""

    class PhoneTones(tones.Tones):
        name = "phone-tones"

        def synthesize_phones(self, phones, voice, seed, *, speed=1.0):
            return self.synthesize(" ".join(phones), voice, seed, speed=speed)

    SYNTHESIZERS.setdefault("phone-tones", PhoneTones)
    return PhoneTones


@pytest.fixture
def recipe(tmp_path, phone_tones):
    """The recipe of a verb over the stand-in voice; keyword arguments are its keys."""

    def make(verb, name="out", **keys):
        tree = {
            "output": str(tmp_path / name), "voices": [{"kind": "phone-tones", "names": ["low", "high"]}],
            "source": "shipped", "retry_seconds": 0.0, **keys,
        }  # fmt: skip
        return build(KINDS[verb][0], tree, "recipe")

    return make


@pytest.fixture
def run():
    """Builds a set; returns what its lines hold and what it said."""

    def run(verb, recipe):
        said: list[str] = []
        KINDS[verb][1](recipe, echo=said.append, progress=False)
        (path,) = [p for p in recipe.output.glob("*.jsonl") if p.name != "rejected.jsonl"]
        return rows_of(path), "\n".join(said)

    return run


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def written(tmp_path):
    """A file of JSON lines."""

    def write(rows, name="source.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write
