"""Questions that end a dialogue: the turns before are given as they should be, and scores are split by scene."""

from __future__ import annotations

import json

import numpy as np
import pytest

from most.evaluate.most_subject import MostSubject
from most.evaluate.sets.base import SetSettings
from most.evaluate.tasks.spoken_qa import Settings, make
from most.generate.engine import SpeakSettings
from most.manifest import AudioRef, Example, Turn, write_jsonl
from most.speech.audio import write_audio

DIALOGUES = {
    "a": (["Which ocean?", "Again, please."], {"expect": ["Arctic"], "scene": "again"}),
    "b": (["How old am I?"], {"expect": ["I don't know"], "scene": "unknown"}),
    "c": (["Count.", "Wait, which day?"], {"expect": ["Monday"], "scene": "breaking in", "thread": "two, three"}),
    "d": (["Name the days.", "Which year?"], {"expect": ["1999"], "scene": "breaking in", "thread": "Sunday"}),
}
RESPONSES = {"a": "The Arctic.", "b": "It is four.", "c": "It's monday. Anyway, two, three.", "d": ""}


class FakeSubject:
    name, capabilities = "fake", frozenset({"text", "hear", "speak"})

    def __init__(self):
        self.asked = []

    def answer_text(self, questions, *, max_new_tokens=64):
        self.asked += questions
        return [RESPONSES[name] for name in "abcd"]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dialogues")
    rng, examples = np.random.default_rng(0), []
    for name, (words, meta) in DIALOGUES.items():
        turns = []
        for k in range(len(words)):
            wav = rng.normal(0, 0.1, 3200).astype(np.float32)
            path = write_audio(folder / f"{name}{k}.wav", wav, 16000)
            turns += [
                Turn(role="user", audio=AudioRef(path=path)), Turn(role="assistant", text=f"Reply {k} of {name}.")
            ]  # fmt: skip
        meta = {**meta, "written": words}
        examples.append(Example(id=name, task="dialogue", turns=tuple(turns), meta=meta))
    write_jsonl(folder / "train.jsonl", examples)
    return SetSettings(kind="dialogues", path=str(folder / "train.jsonl"))


def answered(spoken, folder, ask):
    task, subject = make(Settings(set=spoken, ask=ask), "manners"), FakeSubject()
    return task, json.loads(json.dumps(task.answer(subject, task.items, folder))), subject.asked


def test_the_turns_before_are_heard_or_read(spoken, tmp_path):
    task, rows, asked = answered(spoken, tmp_path, "speech")
    contents = [(turn["role"], *turn["content"]) for turn in asked[0]]
    assert [role for role, _ in contents] == ["user", "assistant", "user"]
    assert [part["type"] for _, part in contents] == ["audio", "text", "audio"]
    assert [contents[k][1]["audio"].path.name for k in (0, 2)] == ["a0.wav", "a1.wav"]
    assert isinstance(asked[1], AudioRef)  # nothing before it
    assert rows[0]["turns_before"] == ["user: Which ocean?", "assistant: Reply 0 of a."]
    assert task.facts["turns before"].startswith("the set's own: the user's spoken")
    assert task.needs == {"hear", "text"}

    task, _, asked = answered(spoken, tmp_path, "text")
    assert [turn["content"][0]["text"] for turn in asked[0]] == ["Which ocean?", "Reply 0 of a.", "Again, please."]
    assert asked[1] == "How old am I?"
    assert task.needs == {"text"}


def test_scores_over_all_and_by_scene(spoken, tmp_path):
    task, rows, _ = answered(spoken, tmp_path, "speech")
    scores = {s.metric: s for s in task.score(rows)}
    assert list(scores) == [
        "contained", "exact", "alias", "contained/again", "contained/breaking in", "contained/unknown", "resumed"
    ]  # fmt: skip
    values = {name: s.value for name, s in scores.items()}
    assert values == {
        "contained": 0.5, "exact": 0.25, "alias": 0.5, "contained/again": 1.0, "contained/breaking in": 0.5,
        "contained/unknown": 0.0, "resumed": 0.5,
    }  # fmt: skip
    assert (scores["contained/breaking in"].n_items, scores["contained/breaking in"].n_empty) == (2, 1)
    assert (scores["resumed"].n_items, scores["resumed"].better) == (2, None)


def test_a_failed_item_stays_in_its_scene(spoken, tmp_path):
    task, rows, _ = answered(spoken, tmp_path, "speech")
    rows[2] = {"id": "c", "error": "RuntimeError: out of memory"}
    scores = {s.metric: s for s in task.score(rows)}
    assert (scores["contained/breaking in"].value, scores["contained/breaking in"].n_failed) == (0.0, 1)
    assert (scores["resumed"].value, scores["resumed"].n_items) == (0.0, 2)


@pytest.mark.parametrize("ask", ["speech", "text"])
def test_a_model_is_given_the_whole_conversation(spoken, tmp_path, tiny_most, tiny_codec, ask):
    """As its engine answers the turns written out here, alone or in a batch."""
    task = make(Settings(set=spoken, ask=ask, max_new_tokens=8), "manners")
    whole, alone = (MostSubject.load(tiny_most, codec=tiny_codec, batch_size=n) for n in (4, 1))
    rows = [task.answer(s, task.items, tmp_path) for s in (whole, alone)]
    assert rows[0] == rows[1]
    conversations = []
    for q in task.items:
        turns = [*((t.role, t.text, t.audio) for t in q.history), ("user", q.question, q.audio)]
        conversations.append([
            {"role": role, "content": [{"type": "audio", "audio": audio}] if ask == "speech" and audio else text}
            for role, text, audio in turns
        ])  # fmt: skip
    expected = whole.engine.write(conversations, max_new_tokens=8)
    assert [r["response"] for r in rows[0]] == expected
    assert whole.engine.write([c[-1:] for c in conversations], max_new_tokens=8) != expected

    if ask == "text":
        return
    speech = whole.answer_speech(conversations[:2], seeds=[1, 2], max_seconds=0.2)
    replies = whole.engine.reply(conversations[:2], seeds=[1, 2], settings=SpeakSettings(max_seconds=0.2))
    assert [s.units.tolist() for s in speech] == [r.speech.units.tolist() for r in replies]
