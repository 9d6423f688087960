from __future__ import annotations

import json

import numpy as np
import pytest

from most.data.dialogue.voice import pipeline
from most.data.dialogue.voice.quality import SECOND_TAKE_SPEED, NotUnderstood, Verdict, gated, judge_speech

from .conftest import plain_dialogue  # isort: skip


class Parrot:
    """A judge that hears what it is told to, one text after another."""

    name, sample_rate = "parrot", 16000

    def __init__(self, *heard: str) -> None:
        self.heard = list(heard)

    def transcribe(self, wav, rate):
        return self.heard.pop(0)


def test_verdicts():
    wav = np.ones(100, np.float32)
    assert judge_speech(None, wav, 16000, "Hello there.") == Verdict()
    assert judge_speech(Parrot(), wav, 16000, "Mhm.") == Verdict(), "nothing to compare"
    verdict = judge_speech(Parrot("hello bear"), wav, 16000, "Hello there.")
    assert (verdict.errors, verdict.words, verdict.wer) == (1, 2, 0.5)


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("Is it a super hero one?", "Is it a superhero one?", 0),
        ("On my windowsill.", "on my window sill", 0),
        ("A bee to bee.", "a beeto be", 1),
        ("The super hero.", "The superhere", 2),
    ],
)
def test_a_space_cannot_be_heard(said, heard, errors):
    assert judge_speech(Parrot(heard), np.ones(100, np.float32), 16000, said).errors == errors


def test_a_second_take_is_slower_and_the_last():
    takes = []

    def make(number, speed):
        takes.append((number, speed))
        return number

    passed = gated(make, lambda take: Verdict(wer=0.6 if take == 0 else 0.2, errors=1, words=5), 0.25)
    assert (passed.take, passed.takes, passed.verdict.wer) == (1, 2, 0.2)
    assert takes == [(0, 1.0), (1, SECOND_TAKE_SPEED)]
    with pytest.raises(NotUnderstood, match=r"0\.60 after 2 takes"):
        gated(make, lambda take: Verdict(wer=0.6, errors=3, words=5, heard="no"), 0.25)


def test_a_dialogue_with_a_turn_nobody_understands_is_left_out(make_recipe, monkeypatch):
    good, bad = plain_dialogue("good", 1), plain_dialogue("bad", 1)
    first = [" ".join(t.spoken) for t in good.turns]
    judge = Parrot(first[0], "something else", first[1], "no", "nothing")
    monkeypatch.setattr("most.data.dialogue.voice.quality.GateSettings.make", lambda self: judge)
    recipe = make_recipe([good, bad], max_rejected_share=0.5, gate={"judge": "pocketsphinx-digits"})
    lines: list[str] = []
    counts = pipeline.speak(recipe, echo=lines.append, progress=False)
    assert (counts["spoken"], counts["rejected"], counts["remade"]) == (1, 1, 2)
    row = json.loads((recipe.output / "rejected.jsonl").read_text())
    assert (row["id"], row["kind"]) == ("bad", "quality")
    assert "limit is 0.3" in row["reason"]
    turns = json.loads((recipe.output / "dialogues" / "good" / "dialogue.json").read_text())["turns"]
    assert [t["takes"] for t in turns] == [1, 2]
    assert [t["wer"] for t in turns] == [0.0, 0.0]
