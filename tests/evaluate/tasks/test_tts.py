"""Synthesis as a task: what was never said counts, judges and originals stand side by side, no batch size matters."""

import json
import zlib

import jiwer
import numpy as np
import pytest

from most.errors import MostError
from most.evaluate.judges import JUDGES
from most.evaluate.most_subject import MostSubject
from most.evaluate.tasks.tts import Settings, make
from most.generate.engine import Speech
from most.manifest import AudioRef, Utterance, write_jsonl
from most.settings import build
from most.speech.audio import read_audio, write_audio

TEXTS = ["red green blue", "one apple", "nothing here", "will fail now"]
RATE = 22050


def tone(hz, rate, seconds=0.6):
    t = np.arange(int(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 8))
    return (0.1 * wave).astype(np.float32)


class Ear:
    """Writes down what was hidden in the length; `hard_of_hearing` loses the first word."""

    sample_rate = 16000

    def __init__(self, hard_of_hearing=False):
        self.name, self.drop = ("deaf" if hard_of_hearing else "ear"), int(hard_of_hearing)

    def transcribe(self, wav, rate):
        seconds = len(wav) / rate
        return " ".join(TEXTS[round((seconds - 0.6) / 0.1)].split()[self.drop :])


class Fake:
    name, capabilities = "fake", frozenset({"speak"})

    def __init__(self):
        self.seeds = {}

    def speak(self, texts, *, seeds, max_seconds):
        if TEXTS[3] in texts:
            raise RuntimeError("out of memory")
        self.seeds.update(zip(texts, seeds, strict=True))
        out = []
        for text in texts:
            k = TEXTS.index(text)
            wav = tone(200, RATE, 0.6 + 0.1 * k) if k < 2 else np.zeros(0, np.float32)
            out.append(Speech(wav, RATE, np.arange(len(wav) // 441), k == 1))
        return out


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tts")
    for k in range(4):
        write_audio(folder / f"{k}.wav", tone(120, 16000, 0.6 + 0.1 * k), 16000)
    rows = [
        Utterance(id=f"t/{k}", audio=AudioRef(path=folder / f"{k}.wav"), text=text, speaker="ann" if k < 3 else "bob")
        for k, text in enumerate(TEXTS)
    ]
    write_jsonl(folder / "test.jsonl", rows)
    return folder / "test.jsonl"


@pytest.fixture(autouse=True)
def ears(monkeypatch):
    monkeypatch.setitem(JUDGES, "ear", Ear)


def task(manifest, **more):
    judges = [{"name": "ear"}, {"name": "ear", "settings": {"hard_of_hearing": True}}]
    tree = {"set": {"kind": "manifest", "path": str(manifest)}, "judges": judges, **more}
    return make(build(Settings, tree), "x")


def rows_of(made, subject, folder):
    rows = []
    for item in made.items:
        try:
            rows += made.answer(subject, [item], folder)
        except RuntimeError as e:
            rows.append({"id": item.id, "error": str(e)})
    return json.loads(json.dumps(rows))


def test_every_judge_beside_the_originals(manifest, tmp_path):
    made = task(manifest)
    rows = rows_of(made, Fake(), tmp_path)
    scores = {s.metric: s for s in made.score(rows)}
    heard = {"ear": [*TEXTS[:2], "", ""], "deaf": ["green blue", "apple", "", ""]}
    assert list(scores)[:4] == ["wer (ear)", "wer/originals (ear)", "wer (deaf)", "wer/originals (deaf)"]
    for judge, hyps in heard.items():
        assert scores[f"wer ({judge})"].value == pytest.approx(jiwer.wer(TEXTS, hyps))
        assert (scores[f"wer ({judge})"].n_items, scores[f"wer ({judge})"].n_failed) == (4, 1)
        assert scores[f"wer ({judge})"].n_empty == 1
    assert scores["wer/originals (ear)"].value == 0
    assert scores["wer/originals (deaf)"].value == pytest.approx(3 / 7)
    assert scores["wer/originals (ear)"].n_items == 3
    assert (scores["truncated"].value, scores["truncated"].n_items, scores["truncated"].n_empty) == (0.25, 4, 1)


def test_pitch_and_length_describe_what_was_said(manifest, tmp_path):
    made = task(manifest)
    scores = {s.metric: s for s in made.score(rows_of(made, Fake(), tmp_path))}
    assert scores["f0"].value == pytest.approx(200, rel=0.02)
    assert scores["f0/originals"].value == pytest.approx(120, rel=0.02)
    assert (scores["f0"].unit, scores["f0"].better, scores["f0"].n_items) == ("Hz", None, 2)
    assert scores["seconds"].value == pytest.approx(0.65)
    assert 0.8 < scores["voiced"].value <= 1
    bare = task(manifest, pitch=False, originals=False)
    metrics = [s.metric for s in bare.score(rows_of(bare, Fake(), tmp_path))]
    assert metrics == ["wer (ear)", "wer (deaf)", "truncated", "seconds"]


def test_rows_name_the_audio_that_was_written(manifest, tmp_path):
    made = task(manifest)
    rows = rows_of(made, Fake(), tmp_path)
    assert len(read_audio(tmp_path / rows[0]["wav"], RATE)) == round(0.6 * RATE)
    assert rows[2]["wav"] == ""
    assert rows[2]["heard"] == {"ear": "", "deaf": ""}
    assert rows[1]["original"] == {"path": rows[1]["original"]["path"]}
    assert (tmp_path / rows[1]["original"]["path"]).resolve() == (manifest.parent / "1.wav").resolve()
    assert len({r["wav"] for r in rows[:2]}) == 2
    assert [r["id"] for r in sorted(rows, key=made.badness, reverse=True)] == ["t/3", "t/2", "t/0", "t/1"]


def test_an_item_s_seed_follows_from_its_id(manifest, tmp_path):
    subject = Fake()
    rows_of(task(manifest, seed=5), subject, tmp_path)
    assert subject.seeds["one apple"] == zlib.crc32(b"5/t/1")
    assert len(set(subject.seeds.values())) == 3


def test_a_set_of_which_all_failed_is_all_wrong(manifest):
    made = task(manifest)
    scores = made.score([{"id": item.id, "error": "no"} for item in made.items])
    assert [s.metric for s in scores] == ["wer", "truncated"]
    assert (scores[0].value, scores[0].n_failed) == (1.0, 4)


def test_likeness_to_the_original_and_of_the_originals_among_themselves(manifest, tmp_path, tiny_xvector):
    made = task(manifest, speaker_model=str(tiny_xvector))
    rows = rows_of(made, Fake(), tmp_path)
    scores = {s.metric: s for s in made.score(rows)}
    assert -1 <= scores["similarity"].value <= 1
    assert scores["similarity"].n_items == 4
    assert scores["similarity"].value == pytest.approx(sum(r.get("similarity", 0) for r in rows) / 4)
    assert rows[2]["similarity"] == 0
    assert scores["similarity/originals"].n_items == 3, "those of the speaker with several recordings"
    voice = task(manifest, speaker_model=str(tiny_xvector), voice=str(manifest))
    again = {s.metric: s for s in voice.score(rows_of(voice, Fake(), tmp_path))}
    assert "similarity/originals" not in again
    assert again["similarity"].value != scores["similarity"].value


def test_answers_and_scores_do_not_depend_on_the_batch(tiny_most, tiny_codec, tiny_corpus, tmp_path):
    tree = {"set": {"kind": "manifest", "path": str(tiny_corpus / "train.jsonl")}, "max_seconds": 0.4,
            "judges": [{"name": "pocketsphinx-digits"}]}  # fmt: skip
    made = make(build(Settings, tree), "x")
    assert [i.text for i in made.items] == ["one", "two", "three", "four", "five", "six"]
    rows = {}
    for n in (1, 3, 8):
        subject = MostSubject.load(tiny_most, codec=tiny_codec, batch_size=n)
        rows[n] = made.answer(subject, made.items, tmp_path)
    assert rows[1] == rows[3] == rows[8]
    backwards = made.answer(subject, made.items[::-1], tmp_path)
    assert backwards[::-1] == rows[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"judges": []}, "at least one"),
        ({"judges": [{"name": "eer"}]}, "did you mean 'ear'"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"seed": -1}, "seed"),
        ({"limit": 0}, "limit"),
        ({"voice": "a.jsonl"}, "speaker_model"),
    ],
)
def test_mistakes_are_named(manifest, settings, message):
    with pytest.raises(MostError, match=message):
        task(manifest, **settings)


def test_judges_that_cannot_be_told_apart_are_refused(manifest, tmp_path):
    made = task(manifest, judges=[{"name": "ear"}, {"name": "ear"}])
    with pytest.raises(MostError, match="same name"):
        made.answer(Fake(), made.items[:1], tmp_path)
