"""A small build over the stand-in voice."""

from __future__ import annotations

import copy

import pytest

from most.data.build.recipe import BuildRecipe
from most.data.build.run import build_data
from most.settings import build

TREE = {
    "variables": {"texts": None, "people": None},
    "steps": {
        "sentences": {"verb": "sentences", "sources": ["${texts}"], "test_share": 0.3},
        "text": {"verb": "prepare", "corpus": "text", "source": "@sentences/train.jsonl"},
        "voices": {
            "verb": "read-aloud", "sentences": ["@sentences/train.jsonl"], "gate": {"judge": "none"},
            "voices": [{"kind": "tones", "names": ["low", "mid"]}],
            "augment": {"noise": {"share": 0.5, "kinds": ["babble"]}},
        },
        "test-unheard": {
            "verb": "read-aloud", "split": "test_unheard", "sentences": ["@sentences/test.jsonl"],
            "voices": [{"kind": "tones", "names": ["high"]}], "gate": {"judge": "none"},
        },
        "people": {"verb": "prepare", "optional": True, "corpus": "generic", "source": "${people}"},
        "chats": {"verb": "collect", "source": "self-dialogue", "limit": 4},
        "interrupted": {"verb": "interrupt", "dialogues": "@chats/dialogues.jsonl"},
        "said": {"verb": "speakable", "dialogues": "@interrupted/dialogues.jsonl"},
        "dialogues": {
            "verb": "speak", "dialogues": "@said/dialogues.jsonl", "limit": 2, "gate": {"judge": "none"},
            "voices": [{"kind": "tones"}],
        },
        "arrays": {"verb": "encode", "manifests": ["@voices/train.jsonl"]},
    },
}  # fmt: skip


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts" / "a.txt"
    path.parent.mkdir()
    path.write_text("".join(f"Sentence {k} says that {k} is a number.\n" for k in range(14)))
    return path


@pytest.fixture
def tree(texts, tiny_codec):
    made = copy.deepcopy(TREE)
    made["variables"]["texts"] = str(texts.parent)
    made["steps"]["arrays"]["codec"] = str(tiny_codec)
    return made


@pytest.fixture
def run(tmp_path, tones):
    """Runs a build; returns its summary and what it said."""

    def run(tree, name="out", **more):
        lines: list[str] = []
        recipe = build(BuildRecipe, {**tree, "output": str(tmp_path / name)}, "recipe")
        return build_data(recipe, echo=lines.append, progress=False, **more), "\n".join(lines)

    return run
