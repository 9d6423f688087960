"""Recognition as a task: rates equal jiwer's over the set, nothing leaves the denominator, no batch size matters."""

import json

import jiwer
import numpy as np
import pytest

from most.errors import MostError
from most.evaluate.most_subject import MostSubject
from most.evaluate.tasks.asr import Settings, make
from most.evaluate.text import normalize
from most.manifest import AudioRef, Utterance, write_jsonl
from most.settings import build
from most.speech.audio import write_audio

TEXTS = {"u/1": "The colour is grey.", "u/2": "Mr. Smith won't go", "u/3": "one two three", "u/4": "hello there"}
SAID = {"u/1": "the color was gray", "u/2": "mister smith will not go to", "u/3": "...", "u/4": None}


class Fake:
    name, capabilities = "fake", frozenset({"hear"})

    def transcribe(self, audios, *, max_new_tokens):
        said = [SAID[a.path.stem.replace("-", "/")] for a in audios]
        if None in said:
            raise RuntimeError("out of memory")
        return said


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asr")
    for k, name in enumerate(TEXTS):
        wav = 0.1 * np.random.default_rng(k).normal(size=4000 + 700 * k)
        write_audio(folder / f"{name.replace('/', '-')}.wav", wav.astype(np.float32), 16000)
    rows = [
        Utterance(id=name, audio=AudioRef(path=folder / f"{name.replace('/', '-')}.wav"), text=text)
        for name, text in TEXTS.items()
    ]
    write_jsonl(folder / "test.jsonl", rows)
    return folder / "test.jsonl"


def task(manifest, **more):
    return make(build(Settings, {"set": {"kind": "manifest", "path": str(manifest)}, **more}), "x")


def rows_of(made, folder):
    """As a runner does it: item by item, a failure as a row."""
    rows = []
    for item in made.items:
        try:
            rows += made.answer(Fake(), [item], folder)
        except RuntimeError as e:
            rows.append({"id": item.id, "error": str(e)})
    return json.loads(json.dumps(rows))


def test_rates_are_jiwer_s_over_all_items(manifest, tmp_path):
    made = task(manifest)
    rows = rows_of(made, tmp_path)
    scores = {s.metric: s for s in made.score(rows)}
    refs = [normalize(t) for t in TEXTS.values()]
    hyps = [normalize(SAID[name] or "") for name in TEXTS]
    assert next(iter(scores)) == "wer"
    assert scores["wer"].value == pytest.approx(jiwer.wer(refs, hyps))
    assert scores["cer"].value == pytest.approx(jiwer.cer(refs, hyps))
    counted = jiwer.process_words(refs, hyps)
    n_words = sum(len(r.split()) for r in refs)
    assert scores["words"].value == n_words
    for part in ("substitutions", "deletions", "insertions"):
        assert scores[part].value * n_words == pytest.approx(getattr(counted, part))
    for score in scores.values():
        assert (score.n_items, score.n_failed, score.n_empty) == (4, 1, 1)
        assert score.low <= score.value <= score.high


def test_rows_are_raw_and_the_worst_come_first(manifest, tmp_path):
    made = task(manifest)
    rows = rows_of(made, tmp_path)
    assert rows[0]["reference"] == "The colour is grey."
    assert rows[0]["hypothesis"] == SAID["u/1"]
    assert (tmp_path / rows[0]["audio"]["path"]).resolve() == (manifest.parent / "u-1.wav").resolve()
    assert [r["id"] for r in sorted(rows, key=made.badness, reverse=True)] == ["u/4", "u/3", "u/1", "u/2"]


def test_what_is_left_out_is_said(manifest):
    facts = task(manifest, limit=2, normalizer="digits", max_new_tokens=9).facts
    assert "first 2" in facts["items"]
    assert "digit a word" in facts["normalizer"]
    assert "9" in facts["decoding"]
    assert [i.id for i in task(manifest, limit=2).items] == ["u/1", "u/2"]


def test_answers_and_scores_do_not_depend_on_the_batch(tiny_most, tiny_codec, tiny_corpus, tmp_path):
    made = task(tiny_corpus / "train.jsonl", max_new_tokens=8)
    rows = {}
    for n in (1, 3, 8):
        subject = MostSubject.load(tiny_most, codec=tiny_codec, batch_size=n)
        rows[n] = made.answer(subject, made.items, tmp_path)
    assert rows[1] == rows[3] == rows[8]
    assert len(rows[1]) == 6
    halves = made.answer(subject, made.items[:2], tmp_path) + made.answer(subject, made.items[2:], tmp_path)
    assert made.score(halves) == made.score(rows[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"normalizer": "englich"}, "did you mean 'english'"),
        ({"limit": 0}, "limit"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
    ],
)
def test_mistakes_are_named(manifest, settings, message):
    with pytest.raises(MostError, match=message):
        task(manifest, **settings)


def test_a_reference_without_words_is_named(tmp_path):
    rows = [Utterance(id="odd", audio=AudioRef(path=tmp_path / "a.wav"), text="[noise] uh...")]
    write_jsonl(tmp_path / "test.jsonl", rows)
    with pytest.raises(MostError, match="odd"):
        task(tmp_path / "test.jsonl")
