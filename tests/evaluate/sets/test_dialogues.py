"""Sets of spoken dialogues: what is asked, what stands before it, what is left out, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from most.errors import MostError
from most.evaluate.sets.base import SetInfo, SetSettings, write_info
from most.evaluate.sets.questions import load_questions
from most.manifest import AudioRef, Example, Turn, write_jsonl
from most.speech.audio import write_audio


@pytest.fixture
def said(tmp_path):
    """Makes an example of as many spoken turns of the user's as words are given."""

    def make(name, *words, meta=None, lead=()):
        turns = list(lead)
        for k in range(len(words)):
            audio = tmp_path / f"{name}-{k}.wav"
            write_audio(audio, np.full(1600, 0.1, dtype=np.float32), 16000)
            turns += [
                Turn(role="user", audio=AudioRef(path=audio), speaker="ann"),
                Turn(role="assistant", text=f"Reply {k}."),
            ]
        known = {"expect": ["reply"], "written": list(words), "scene": "again"} if meta is None else meta
        return Example(id=name, task="dialogue", turns=tuple(turns), source="manners", licence="CC0", meta=known)

    return make


def load(tmp_path, examples, *, name=None, **more):
    write_jsonl(tmp_path / "train.jsonl", examples)
    options = {"name": name} if name else {}
    return load_questions(SetSettings(kind="dialogues", path=str(tmp_path / "train.jsonl"), options=options), **more)


def test_the_last_turn_of_the_user_is_asked_behind_the_others(tmp_path, said):
    system = Turn(role="system", text="Be brief.")
    examples = [said("a", "Who?", "What?", lead=(system,)), said("b", "Where?"), said("c", "Why?", meta={})]
    found = load(tmp_path, examples)
    a, b = found.questions
    assert (a.id, a.question, a.answers, a.scene, a.thread) == ("a", "What?", ("reply",), "again", "")
    assert a.audio == AudioRef(path=tmp_path / "a-1.wav")
    assert [(t.role, t.text) for t in a.history] == [
        ("system", "Be brief."), ("user", "Who?"), ("assistant", "Reply 0.")
    ]  # fmt: skip
    assert a.history[1].audio == AudioRef(path=tmp_path / "a-0.wav")
    assert b.history == ()
    assert found.info.name == f"{tmp_path.name}/train"
    assert found.info.licence == "CC0"
    assert "the 2 of 3 dialogues" in found.info.source
    assert len(load(tmp_path, examples, limit=1).questions) == 1


def test_a_description_beside_the_manifest_names_the_set(tmp_path, said):
    write_info(tmp_path, SetInfo(name="Manners", source="here"))
    info = load(tmp_path, [said("a", "Who?")]).info
    assert info.name == "Manners"
    assert load(tmp_path, [said("a", "Who?")], name="Held-out manners").info.name == "Held-out manners"
    assert info.source.startswith("here; the 1 of 1 dialogues")


def test_written_dialogues_are_asked_in_writing_alone(tmp_path):
    turns = tuple(Turn(role=r, text=t) for r, t in (("user", "Who?"), ("assistant", "I.")) * 2)
    examples = [Example(id="a", task="dialogue", turns=turns, meta={"expect": ["I"]})]
    assert load(tmp_path, examples, spoken=False).questions[0].history[0].text == "Who?"
    with pytest.raises(MostError, match="only written"):
        load(tmp_path, examples)


def test_audio_of_an_earlier_turn_that_is_not_there(tmp_path, said):
    examples = [said("a", "Who?", "What?")]
    (tmp_path / "a-0.wav").unlink()
    with pytest.raises(MostError, match=r"a-0\.wav.*audio of question a"):
        load(tmp_path, examples)
    assert load(tmp_path, examples, spoken=False).questions


def test_what_cannot_be_asked(tmp_path, said):
    with pytest.raises(MostError, match=r"meta\.expect.*in no example"):
        load(tmp_path, [said("a", "Who?", meta={"topic": "manners"})])
    with pytest.raises(MostError, match="a': does not say what is said in each turn"):
        load(tmp_path, [said("a", "Who?", "What?", meta={"expect": ["x"], "written": ["Who?"]})])
    lone = Example(id="a", task="dialogue", turns=(Turn(role="user", text="Who?"),), meta={"expect": ["x"]})
    with pytest.raises(MostError, match="must end with a turn of the user's"):
        load(tmp_path, [lone])
    with pytest.raises(MostError, match="no such file"):
        load_questions(SetSettings(kind="dialogues", path=str(tmp_path / "none.jsonl")))
    with pytest.raises(MostError, match=r"options\.split"):
        load_questions(SetSettings(kind="dialogues", path=str(tmp_path / "train.jsonl"), options={"split": "test"}))
