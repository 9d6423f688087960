"""What is wrong with data is found before the first step and named; manifests may be grouped."""

from __future__ import annotations

import json
import shutil

import pytest
from transformers import AutoProcessor

from most.data.arrays import ArrayStore
from most.errors import MostError
from most.files import read_lines
from most.manifest import read_examples, write_jsonl
from most.train.corpus import build_dataset, sources_of
from most.train.recipe import DataSettings, TrainRecipe

pytestmark = pytest.mark.usefixtures("no_estimate")


@pytest.fixture
def processor(tiny_most):
    return AutoProcessor.from_pretrained(tiny_most)


@pytest.fixture
def written(tiny_corpus, tmp_path):
    """Some of the tiny corpus's examples as a manifest of their own."""

    def write(name, keep):
        path = tmp_path / name / "train.jsonl"
        write_jsonl(path, [e for e in read_examples(tiny_corpus / "train.jsonl") if keep(e)])
        return path

    return write


def test_a_mixture_names_groups_tasks_and_tasks_of_groups(recipe, processor, tiny_corpus, tiny_arrays, written):
    written_text = written("texts", lambda e: e.task == "text" and e.id != "text0")
    data = {
        "manifests": {"speech": (tiny_corpus / "train.jsonl",), "instructions": (written_text,)},
        "arrays": {"speech": tiny_arrays},
        "mixture": {"instructions": 0.4, "speech/tts": 0.4, "asr": 0.2},
    }
    dataset = build_dataset(recipe(data=data), processor)
    assert {key: len(rows) for key, rows in dataset.examples.items()} == {"instructions": 5, "speech/tts": 6, "asr": 6}
    tasks = [dataset[i].task for i in range(10)]
    assert sorted(tasks) == ["asr"] * 2 + ["instructions"] * 4 + ["speech/tts"] * 4
    with pytest.raises(MostError, match=r"mixture\.spech/tts.*did you mean 'speech'"):
        build_dataset(recipe(data=data | {"mixture": {"spech/tts": 1.0}}), processor)
    with pytest.raises(MostError, match="is no group; did you mean 'speech'"):
        build_dataset(recipe(data=data | {"arrays": {"spech": tiny_arrays}}), processor)
    with pytest.raises(MostError, match=r"speech/dialogue.*no examples"):
        build_dataset(recipe(data=data | {"mixture": {"speech/dialogue": 1.0}}), processor)


def test_arrays_pair_with_the_manifests_of_a_group(tmp_path):
    a, b, c = (tmp_path / name for name in "abc")
    data = DataSettings(manifests={"x": (a, b), "y": (c,)}, arrays={"x": (tmp_path / "1", tmp_path / "2")})
    assert [(s.group, s.manifest, s.arrays) for s in sources_of(data)] == [
        ("x", a, tmp_path / "1"), ("x", b, tmp_path / "2"), ("y", c, None),
    ]  # fmt: skip
    with pytest.raises(MostError, match="one for each of the 2 manifests"):
        sources_of(DataSettings(manifests={"x": (a, b)}, arrays={"x": (tmp_path / "1",)}))


def test_a_yaml_recipe_may_list_group_or_share_arrays(tmp_path):
    from most.settings import build

    for arrays, kind in (("a", type(tmp_path)), (["a", "b"], tuple), ({"x": "a", "y": ["b"]}, dict)):
        manifests = {"x": ["m"], "y": ["n"]} if kind is dict else ["m", "n"]
        tree = {"model": "m", "output": "o", "steps": 1, "batch_size": 1, "learning_rate": 1.0}
        tree["data"] = {"manifests": manifests, "arrays": arrays}
        assert isinstance(build(TrainRecipe, tree, "recipe").data.arrays, kind)


def test_every_example_without_arrays_is_counted(recipe, processor, tiny_corpus, tiny_arrays, tmp_path):
    corpus = tmp_path / "corpus"
    shutil.copytree(tiny_corpus, corpus)
    shutil.copy(corpus / "0.wav", corpus / "new.wav")
    text = (corpus / "train.jsonl").read_text()
    (corpus / "train.jsonl").write_text(text.replace("3.wav", "new.wav"))
    with pytest.raises(MostError, match=r"2 of 18 examples cannot be used.*asr3.*not found.*most data encode"):
        build_dataset(recipe(data={"manifests": (corpus / "train.jsonl",), "arrays": tiny_arrays}), processor)


def test_units_outside_the_vocabulary_are_named(recipe, processor, tiny_arrays, tmp_path, monkeypatch):
    read = ArrayStore.__getitem__
    monkeypatch.setattr(ArrayStore, "__getitem__", lambda self, key: read(self, key) + 15 * ("2.wav" in key))
    with pytest.raises(MostError, match=r"tts2.*must lie in 0\.\.19"):
        build_dataset(recipe(), processor)


def test_too_long_examples_are_refused_or_left_out_counted_and_listed(recipe, processor):
    whole = build_dataset(recipe(), processor)
    longest = max(int(n) for rows in whole.lengths.values() for n in rows)
    limit = longest - 1
    n_long = sum(int(n) > limit for rows in whole.lengths.values() for n in rows)
    with pytest.raises(MostError, match=f"{n_long} examples are longer than max_length {limit}"):
        build_dataset(recipe(data={"max_length": limit}), processor)
    made = recipe("out", data={"max_length": limit, "too_long": "leave_out"})
    made.output.mkdir()
    said = []
    dataset = build_dataset(made, processor, echo=said.append)
    assert sum(len(rows) for rows in dataset.examples.values()) == 18 - n_long
    assert len(read_lines(made.output / "left_out.jsonl")) == n_long
    assert f"{n_long} examples" in said[0]
    assert max(len(dataset[i].encoded) for i in range(len(dataset))) <= limit
    assert all(dataset.n_tokens(i) == len(dataset[i].encoded) for i in range(20))


def test_lengths_are_read_again_only_when_something_changed(recipe, processor, monkeypatch, tiny_corpus, tiny_arrays):
    from most.data.dataset import ExampleEncoder

    made = recipe()
    made.output.mkdir()
    first = build_dataset(made, processor).lengths
    calls = []
    encode = ExampleEncoder.encode
    monkeypatch.setattr(ExampleEncoder, "encode", lambda self, e: calls.append(e.id) or encode(self, e))
    again = build_dataset(made, processor).lengths
    assert not calls
    assert all((first[key] == again[key]).all() for key in first)
    (made.output / "lengths.npz").write_bytes((made.output / "lengths.npz").read_bytes()[:40])
    build_dataset(made, processor)
    assert len(calls) == 18
    processor.audio_stack = 3
    build_dataset(made, processor)
    assert len(calls) == 36
    assert json.loads((tiny_corpus / "train.jsonl").read_text().splitlines()[0])["id"] == "asr0"
