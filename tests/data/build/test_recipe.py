"""What a recipe may say, and how mistakes are named before anything is made."""

from __future__ import annotations

import pytest

from most.cli.data import app
from most.data.build.recipe import BuildRecipe, resolve
from most.errors import MostError
from most.settings import build


def steps_of(tree):
    return resolve(build(BuildRecipe, {"output": "out", **tree}, "recipe"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentences": {"verb": "sentencs"}}, "did you mean 'sentences'"),
        ({"sentences": {}}, "verb.*missing"),
        ({"voices": {"sentences": ["@sentence/train.jsonl"]}}, "no step makes it; did you mean 'sentences'"),
        ({"voices": {"sentences": ["@said/dialogues.jsonl"]}}, "no step makes it before this one"),
        ({"voices": {"sede": 3}}, "unknown key; did you mean 'seed'"),
        ({"voices": {"output": "x"}}, "leave it out"),
        ({"voices": {"voices": [{"kind": "fliet"}]}}, "did you mean 'flite'"),
        ({"sentences": {"sources": ["${texts}", "${text}"]}}, "no such variable; did you mean 'texts'"),
        ({"sentences": {"test_share": 1.5}}, "test_share"),
        ({"people": {"optional": "yes"}}, "must be true or false"),
        ({"../x": {"verb": "collect", "source": "self-dialogue"}}, "cannot name a folder"),
    ],
)
def test_mistakes_are_named(tree, tones, change, message):
    for name, keys in change.items():
        tree["steps"][name] = {**tree["steps"].get(name, {}), **keys} if keys else {}
    with pytest.raises(MostError, match=message):
        steps_of(tree)


def test_variables(tree, tones):
    tree["variables"]["texts"] = None
    with pytest.raises(MostError, match=r"variables.texts: None: is not set and step 'sentences' needs it"):
        steps_of(tree)
    tree["variables"] |= {"texts": "t", "peoples": "x"}
    with pytest.raises(MostError, match="no step uses it; did you mean 'people'"):
        steps_of(tree)
    del tree["variables"]["peoples"]
    tree["steps"]["more"] = {"verb": "encode", "manifests": ["@people/train.jsonl"]}
    with pytest.raises(MostError, match="make this step optional too"):
        steps_of(tree)
    tree["steps"]["more"]["optional"] = True
    assert [s.name for s in steps_of(tree) if s.left_out] == ["people", "more"]
    tree["variables"]["people"] = "clips"
    assert not [s for s in steps_of(tree) if s.left_out]


def test_what_is_missing_is_found_before_anything_is_made(tree, run, tmp_path):
    tree["variables"]["texts"] = str(tmp_path / "nowhere")
    with pytest.raises(MostError, match=r"steps.sentences.*nowhere.*no step makes it"):
        run(tree)
    assert not (tmp_path / "out").exists()


def test_a_file_that_a_step_does_not_write_is_named(tree, run):
    tree["steps"]["arrays"]["manifests"] = ["@voices/dev.jsonl"]
    with pytest.raises(MostError, match=r"step 'voices' wrote no such file, but .*train.jsonl"):
        run(tree)


def test_the_command_is_there():
    names = {c.name or c.callback.__name__ for c in app.registered_commands}
    assert {"speak", "read-aloud", "build"} <= names
