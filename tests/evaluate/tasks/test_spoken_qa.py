"""Spoken QA with a made-up subject and judge: what is asked and logged, and that nothing leaves the denominator."""

import json

import numpy as np
import pytest

from most.errors import MostError
from most.evaluate.answers import MATCHES
from most.evaluate.judges import JUDGES, JudgeSettings
from most.evaluate.most_subject import MostSubject
from most.evaluate.sets.base import SetInfo, SetSettings, write_info
from most.evaluate.tasks.naming import seed_of
from most.evaluate.tasks.spoken_qa import Settings, make
from most.generate.engine import Speech
from most.manifest import AudioRef
from most.settings import build
from most.speech.audio import read_audio, write_audio

QUESTIONS = [
    ("q/1", "What is the capital of France?", ["Paris"], []),
    ("q/2", "How many days has January?", ["31"], []),
    ("q/3", "Which musical?", ["Sunset Boulevard"], ["Sunset Blvd"]),
    ("q/4", "Who knows?", ["Nobody"], []),
]
ANSWERS = {
    "What is the capital of France?": "Paris",
    "How many days has January?": "It has thirty one.",
    "Which musical?": "I think Sunset Blvd, often.",
    "Who knows?": "",
}


class Parrot:
    """Hears what `FakeSubject` hid in the first sample."""

    sample_rate, name, made = 8000, "parrot", 0

    def __init__(self, volume=1):
        type(self).made += 1

    def transcribe(self, wav, rate):
        assert rate == 8000
        return list(ANSWERS.values())[round(float(wav[0]) * 10)]


class FakeSubject:
    """Knows every answer; a spoken question is known by its length."""

    name, capabilities = "fake", frozenset({"text", "hear", "speak"})

    def __init__(self):
        self.asked, self.seeds = [], []

    def _index(self, question):
        self.asked.append(question)
        if isinstance(question, str):
            return list(ANSWERS).index(question)
        return len(read_audio(question, 16000)) // 1600 - 1

    def answer_text(self, questions, *, max_new_tokens=64):
        return [list(ANSWERS.values())[self._index(q)] for q in questions]

    def answer_speech(self, questions, *, seeds, max_seconds=20.0):
        self.seeds += seeds
        out = []
        for q in questions:
            k = self._index(q)
            wav = np.full(800 if list(ANSWERS.values())[k] else 0, k / 10, dtype=np.float32)
            out.append(Speech(wav, 8000, np.zeros(len(wav), dtype=np.int64), k == 1))
        return out


@pytest.fixture
def built(tmp_path):
    folder = tmp_path / "set"
    rows = []
    for k, (name, question, answers, aliases) in enumerate(QUESTIONS):
        write_audio(folder / f"{k}.wav", np.full(1600 * (k + 1), 0.1, dtype=np.float32), 16000)
        rows.append({"id": name, "question": question, "audio": f"{k}.wav", "answers": answers, "aliases": aliases})
    (folder / "qa.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    write_info(folder, SetInfo(name="built questions", source="here", stand_in_for="Llama Questions"))
    return SetSettings(kind="built", path=str(folder))


@pytest.fixture(autouse=True)
def judge(monkeypatch):
    monkeypatch.setitem(JUDGES, "parrot", Parrot)
    return JudgeSettings(name="parrot", settings={"volume": 2})


def run(task, folder, batch=4):
    subject, rows = FakeSubject(), []
    for k in range(0, len(task.items), batch):
        rows += task.answer(subject, task.items[k : k + batch], folder)
    return json.loads(json.dumps(rows)), subject


def values(task, rows):
    return {s.metric: s.value for s in task.score(rows)}


@pytest.mark.parametrize("ask", ["speech", "text"])
def test_answers_in_writing(built, tmp_path, ask):
    task = make(Settings(set=built, ask=ask), "qa")
    rows, subject = run(task, tmp_path)
    assert [r["response"] for r in rows] == list(ANSWERS.values())
    assert all(isinstance(q, AudioRef if ask == "speech" else str) for q in subject.asked)
    assert values(task, rows) == {"contained": 0.25, "exact": 0.25, "alias": 0.75}
    assert task.needs == ({"hear", "text"} if ask == "speech" else {"text"})
    assert ("question_audio" in rows[0]) == (ask == "speech")
    assert task.info.stand_in_for == "Llama Questions"


def test_answers_aloud_are_written_and_judged(built, tmp_path, judge):
    task = make(Settings(set=built, to="speech", judge=judge), "qa")
    rows, subject = run(task, tmp_path)
    assert [r["response"] for r in rows] == list(ANSWERS.values())
    assert values(task, rows) == {"contained": 0.25, "exact": 0.25, "alias": 0.75}
    wavs = [r["wav"] for r in rows]
    assert wavs[3] == ""
    assert len(set(wavs[:3])) == 3
    assert len(read_audio(tmp_path / wavs[1], 8000)) == 800
    assert [r["truncated"] for r in rows] == [False, True, False, False]
    assert rows[0]["seconds"] == 0.1
    assert subject.seeds == [seed_of(0, name) for name, *_ in QUESTIONS]
    assert task.needs == {"hear", "speak"}
    assert task.facts["judge"] == "parrot (volume 2)"


def test_answers_do_not_depend_on_how_items_are_batched(built, tmp_path, judge):
    task = make(Settings(set=built, to="speech", judge=judge), "qa")
    runs = [run(task, tmp_path, batch) for batch in (1, 3, 8)]
    assert all(rows == runs[0][0] and subject.seeds == runs[0][1].seeds for rows, subject in runs)


class Listener(Parrot):
    """Hears something of its own in every sound."""

    def transcribe(self, wav, rate):
        return f"{len(wav)} samples at {float(np.abs(wav).max()):.3f}"


@pytest.mark.parametrize("to", ["text", "speech"])
def test_a_real_model_answers_alike_at_every_batch_size(built, tmp_path, tiny_most, tiny_codec, monkeypatch, to):
    monkeypatch.setitem(JUDGES, "listener", Listener)
    judge = JudgeSettings(name="listener") if to == "speech" else None
    task = make(Settings(set=built, to=to, judge=judge, max_seconds=1.0, max_new_tokens=8), "qa")
    found = []
    for n in (1, 3, 8):
        subject = MostSubject.load(tiny_most, codec=tiny_codec, batch_size=n)
        found.append([r for k in range(0, 4, n) for r in task.answer(subject, task.items[k : k + n], tmp_path)])
    assert found[0] == found[1] == found[2]
    assert len({r["response"] for r in found[0]}) > 1


def test_the_judge_is_made_once_and_not_before_it_is_needed(built, tmp_path):
    settings = JudgeSettings(name="parrot", settings={"volume": 7})
    before = Parrot.made
    tasks = [make(Settings(set=built, to="speech", judge=settings), name) for name in ("one", "two")]
    assert tasks[0].facts
    assert Parrot.made == before
    for task in tasks:
        run(task, tmp_path)
    assert Parrot.made == before + 1


def test_failed_and_empty_answers_stay_in_the_denominator(built, tmp_path):
    task = make(Settings(set=built), "qa")
    rows, _ = run(task, tmp_path)
    rows[0] = {"id": "q/1", "error": "RuntimeError: out of memory"}
    for score in task.score(rows):
        assert (score.n_items, score.n_failed, score.n_empty) == (4, 1, 1)
        assert score.low <= score.value <= score.high
    assert values(task, rows) == {"contained": 0.0, "exact": 0.0, "alias": 0.5}
    assert [s.metric for s in task.score(rows)] == list(MATCHES)


def test_worst_first(built, tmp_path):
    task = make(Settings(set=built), "qa")
    rows, _ = run(task, tmp_path)
    rows.append({"id": "x", "error": "boom"})
    rows.append({**rows[0], "response": "London"})
    order = sorted(rows, key=task.badness, reverse=True)
    assert [r.get("response") for r in order] == [
        None, "", "London", "It has thirty one.", "I think Sunset Blvd, often.", "Paris"
    ]  # fmt: skip


def test_audio_that_a_set_carries_inline_is_written_beside_the_answers(tmp_path):
    datasets = pytest.importorskip("datasets")
    write_audio(tmp_path / "a.flac", np.full(1600, 0.1, dtype=np.float32), 16000)
    audio = {"bytes": (tmp_path / "a.flac").read_bytes(), "path": None}
    question = "What is the capital of France?"
    table = datasets.Dataset.from_dict({"question": [question], "answer": ["Paris"], "audio": [audio]})
    table.cast_column("audio", datasets.Audio()).to_parquet(tmp_path / "data" / "test.parquet")
    task = make(Settings(set=SetSettings(kind="hub", path=str(tmp_path / "data"))), "qa")
    rows, _ = run(task, tmp_path / "out")
    assert rows[0]["response"] == "Paris"
    assert np.allclose(read_audio(tmp_path / "out" / rows[0]["question_audio"]["path"]), 0.1, atol=1e-4)


def test_recipe_form(built, judge):
    tree = {
        "set": {"kind": "built", "path": built.path}, "to": "speech", "limit": 2,
        "judge": {"name": "parrot", "settings": {"volume": 2}},
    }  # fmt: skip
    settings = build(Settings, tree)
    assert settings == Settings(set=built, to="speech", judge=judge, limit=2)
    assert [q.id for q in make(settings, "qa").items] == ["q/1", "q/2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"to": "speech"}, "judge"),
        ({"limit": 0}, "limit"),
        ({"max_seconds": -1.0}, "max_seconds"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
    ],
)
def test_settings_that_make_no_sense(built, change, message):
    with pytest.raises(MostError, match=message):
        Settings(set=built, **change)


def test_a_judge_for_written_answers_makes_no_sense(built, judge):
    with pytest.raises(MostError, match="only for those"):
        Settings(set=built, judge=judge)


def test_an_unknown_judge():
    with pytest.raises(MostError, match="did you mean 'parrot'"):
        JudgeSettings(name="parot")


def test_a_written_set_cannot_be_asked_aloud(tmp_path):
    (tmp_path / "test.json").write_text(json.dumps([{"qId": "w1", "answers": ["Rome"], "qText": "where?"}]))
    written = SetSettings(kind="web_questions", path=str(tmp_path / "test.json"))
    with pytest.raises(MostError, match="build the spoken version"):
        make(Settings(set=written), "qa")
    assert make(Settings(set=written, ask="text"), "qa").needs == {"text"}
