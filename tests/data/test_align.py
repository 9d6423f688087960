"""Forced paths against all paths there are; words begin where they were put; guided sequences hold them."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from most.data.align import align_manifests, forced, word_starts
from most.data.arrays import ArrayStore
from most.data.dataset import ExampleEncoder
from most.data.words import WORDS, WordStarts, read_starts
from most.errors import MostError
from most.manifest import read_examples, write_jsonl
from most.model.load import load_most


def scores_of(t: int, v: int, seed: int) -> np.ndarray:
    logits = 2 * torch.randn(t, v + 1, generator=torch.Generator().manual_seed(seed))
    return logits.log_softmax(dim=-1).numpy()


@pytest.mark.parametrize("tokens", [[0], [0, 1], [1, 1], [2, 0, 2], [0, 0, 1]])
@pytest.mark.parametrize("seed", range(3))
def test_the_likeliest_of_all_paths(tokens, seed):
    v, t = 3, 6
    scores = scores_of(t, v, seed)

    def spelled(path):
        return [k for k, _ in itertools.groupby(path) if k != v]

    paths = [p for p in itertools.product(range(v + 1), repeat=t) if spelled(p) == tokens]
    best = max(paths, key=lambda p: sum(scores[k, c] for k, c in enumerate(p)))
    runs, at = [], 0
    for token, group in itertools.groupby(best):
        n = len(list(group))
        if token != v:
            runs.append(max(range(at, at + n), key=lambda k, token=token: scores[k, token]))
        at += n
    assert forced(scores, tokens) == runs


def test_a_text_that_does_not_fit_has_no_path():
    assert forced(scores_of(2, 3, 0), [0, 1, 2]) is None
    assert forced(scores_of(2, 3, 0), [1, 1]) is None, "a blank must lie between"


def test_words_begin_between_what_is_heard_of_them(tokenizer):
    text = "one two, three"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    v, places = len(tokenizer), [4 + 3 * k for k in range(len(ids))]
    scores = np.full((60, v + 1), -20.0)
    scores[:, v] = 0.0
    for place, token in zip(places, ids, strict=True):
        scores[place, [token, v]] = [0.0, -20.0]
    starts, spread = word_starts(scores, text, tokenizer, n_units=120)
    assert not spread
    ends = [m.end() for m in re.finditer(r"\S+", text)]
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    n_before = [sum(b <= end for _, b in offsets) for end in ends[:-1]]  # tokens up to each word's end
    expected = [0, *(round((places[n - 1] + places[n] + 1) / 2 * 2) for n in n_before)]
    assert starts == expected
    short, spread = word_starts(scores[:3], text, tokenizer, n_units=6)
    assert spread
    assert short == [0, round(4 / 14 * 6), round(9 / 14 * 6)]


@pytest.fixture
def hearing(tiny_most, tmp_path):
    """The tiny model, as if it had been trained with a CTC term."""
    folder = shutil.copytree(tiny_most, tmp_path / "hearing")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"ctc_loss_weight": 1.0}))
    return folder


@pytest.fixture
def spoken(tiny_corpus, tmp_path):
    """The tiny corpus with its texts, as prepared sets have them."""
    rows = list(read_examples(tiny_corpus / "train.jsonl"))
    path = tiny_corpus / "spoken.jsonl"
    write_jsonl(path, [replace(e, meta={"text": "four five"}) if e.task == "tts" else e for e in rows])
    return path


def test_a_manifest_is_aligned_once_and_read(spoken, tiny_arrays, hearing, tiny_most, tmp_path, builder):
    out, said = tmp_path / "words", []
    done = align_manifests([spoken], tiny_arrays, out, hearing, batch_size=4, echo=said.append, progress=False)
    assert (done["aligned"], done["kept"]) == (6, 0)
    whole = (out / WORDS).read_text()
    (out / WORDS).write_text("".join(whole.splitlines(keepends=True)[:2]))
    done = align_manifests([spoken], tiny_arrays, out, hearing, batch_size=1, echo=said.append, progress=False)
    assert (done["aligned"], done["kept"]) == (4, 2)
    assert read_starts(out / WORDS) == {r["audio"]: r["starts"] for r in map(json.loads, whole.splitlines())}
    with pytest.raises(MostError, match="not trained with a CTC term"):
        align_manifests([spoken], tiny_arrays, out, tiny_most)
    units, starts = ArrayStore(tiny_arrays / "units"), WordStarts(out)
    processor = load_most(tiny_most)[1]
    encode = ExampleEncoder(
        processor.builder, spoken.parent, frames=None, units=units, stack=processor.audio_stack, max_length=None,
        words=starts,
    )  # fmt: skip
    v = processor.vocab
    for example in read_examples(spoken):
        if example.task != "tts":
            continue
        ids = encode.encode(example).ids.tolist()
        said_ids = ids[ids.index(v.audio_begin) + 1 : ids.index(v.audio_end)]
        key = example.turns[-1].audio.path.name
        own = [i - v.unit_start for i in said_ids if v.is_unit(i)]
        assert own == units[key].tolist()
        words = processor.builder.words("four five")
        start = read_starts(out / WORDS)[key][1]
        at = len(words[0]) + start
        assert said_ids[: len(words[0])] == words[0]
        assert said_ids[at : at + len(words[1])] == words[1]
        assert len(said_ids) == len(own) + len(words[0]) + len(words[1])
        assert processor.tokenizer.decode(words[0] + words[1]) == " four five"


def test_what_is_not_aligned_is_named(spoken, tiny_arrays, tmp_path, tiny_most):
    processor = load_most(tiny_most)[1]
    (example, *_) = [e for e in read_examples(spoken) if e.task == "tts"]

    def encode(folder, example=example):
        encoder = ExampleEncoder(
            processor.builder, spoken.parent, frames=None, units=ArrayStore(tiny_arrays / "units"), stack=1,
            max_length=None, words=WordStarts(folder),
        )  # fmt: skip
        return encoder.encode(example)

    with pytest.raises(MostError, match="most data align"):
        encode(None)
    with pytest.raises(MostError, match=r"words\.jsonl.*is not there"):
        encode(tmp_path)
    (tmp_path / WORDS).write_text("")
    with pytest.raises(MostError, match="is not aligned"):
        encode(tmp_path)
    (tmp_path / WORDS).write_text(json.dumps({"audio": example.turns[-1].audio.path.name, "starts": [0]}) + "\n")
    with pytest.raises(MostError, match="aligned to 1 words, not to 2"):
        encode(tmp_path)
    with pytest.raises(MostError, match=r"meta\.text"):
        encode(tmp_path, replace(example, meta={}))
    (tmp_path / WORDS).write_text("{")
    with pytest.raises(MostError, match="is no line"):
        encode(tmp_path)
