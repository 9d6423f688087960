"""The spoken form of whole dialogues: only what is said, in chunks within the limit; what cannot be is listed."""

import json
from dataclasses import replace

import pytest

from most.data.dialogue.collected import Rejection
from most.data.dialogue.dialogue import Turn, read_dialogues, write_dialogues
from most.data.dialogue.speakable import speak_file, speakable

pytest.importorskip("num2words")


def test_an_interrupted_turn_is_said_up_to_the_cut(make):
    text = "It cost $5 in 1999, and then it cost $7."
    turns = (
        Turn(role="user", text="How much?"),
        Turn(role="assistant", text=text, interrupted_at=text.index(", and")),
        Turn(role="user", text="Wait!", interrupts=True),
        Turn(role="assistant", text="Okay. And then it cost $7."),
    )
    made = speakable(replace(make("d1"), turns=turns))
    assert [t.spoken for t in made.turns] == [
        ("How much?",),
        ("It cost five dollars in nineteen ninety-nine",),
        ("Wait!",),
        ("Okay. And then it cost seven dollars.",),
    ]
    assert [t.text for t in made.turns] == [t.text for t in turns]


def test_file(make, tmp_path, shipped):
    source, out = tmp_path / "d.jsonl", tmp_path / "s.jsonl"
    write_dialogues(source, [*shipped[:40], make("mute", "Hello.", "😀")])
    done = speak_file(source, out, max_words=9)
    assert (done.kept, done.reasons) == (40, {"a turn with nothing to say": 1})
    assert [json.loads(x)["id"] for x in (tmp_path / "s.rejected.jsonl").read_text().splitlines()] == ["mute"]
    chunks = [c for d in read_dialogues(out) for t in d.turns for c in t.spoken]
    assert max(len(c.split()) for c in chunks) <= 9
    assert not any(c.isdigit() for chunk in chunks for c in chunk)
    speak_file(out, tmp_path / "again.jsonl", max_words=9)
    assert (tmp_path / "again.jsonl").read_bytes() == out.read_bytes(), "saying it twice changes nothing"


def test_day_first(make):
    made = speakable(make("d", "When?", "On 05/03/2021."), locale="GB")
    assert made.turns[1].spoken == ("On the fifth of March twenty twenty-one.",)
    assert isinstance(speakable(make("d", "When?", "...")), Rejection)
