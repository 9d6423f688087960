"""Sets that share no sentence, and voices that prompts name."""

from __future__ import annotations

import shutil

import pytest

from most.data.read_aloud.recipe import ReadAloudRecipe
from most.data.read_aloud.run import read_aloud
from most.data.read_aloud.sentences import read_sentences
from most.errors import MostError
from most.manifest import read_examples
from most.settings import build


def test_skipping_parts_the_sentences(tmp_path):
    lines = [f"This is sentence {w}." for w in ("one", "two", "three", "two", "four", "five")]
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    everything = [s.id for s in read_sentences([tmp_path / "a.txt"])]
    first = [s.id for s in read_sentences([tmp_path / "a.txt"], limit=2)]
    rest = [s.id for s in read_sentences([tmp_path / "a.txt"], skip=2)]
    assert len(everything) == 5
    assert first + rest == everything
    assert [s.id for s in read_sentences([tmp_path / "a.txt"], limit=2, skip=2)] == everything[2:4]


@pytest.mark.skipif(shutil.which("flite") is None, reason="needs the flite program")
def test_a_voice_that_is_called_something_is_asked_for_by_it(tmp_path):
    (tmp_path / "a.txt").write_text("Bring me some tea.\nIt rains.\n", encoding="utf-8")
    plain = {
        "sentences": [tmp_path / "a.txt"], "output": tmp_path / "out", "voices": [{"kind": "flite", "names": ["slt"]}],
        "gate": {"judge": "none"}, "called": "ann", "skip": 1,
    }  # fmt: skip
    read_aloud(build(ReadAloudRecipe, plain, ""), progress=False, echo=lambda _: None)
    asr, tts = sorted(read_examples(tmp_path / "out" / "train.jsonl"), key=lambda e: e.task)
    assert asr.turns[1].text == tts.meta["text"] == "It rains."
    assert tts.turns[0].text in ("Say as ann: It rains.", "Read aloud as ann: It rains.")
    assert "ann" not in str(asr.turns[0].text)


def test_a_negative_skip_is_refused(tmp_path):
    with pytest.raises(MostError, match="skip"):
        build(
            ReadAloudRecipe,
            {"sentences": [tmp_path], "output": tmp_path, "voices": [{"kind": "flite"}], "skip": -1},
            "",
        )
