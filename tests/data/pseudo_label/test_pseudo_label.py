"""Recordings without transcripts: what is kept is what judges agree on, marked everywhere, the same after any stop."""

from __future__ import annotations

import gzip
import json
import shutil

import pytest

from most.data.build.recipe import BuildRecipe
from most.data.build.run import build_data
from most.data.fsdd import Recordings
from most.data.pseudo_label import label, run
from most.data.pseudo_label.recipe import PseudoLabelRecipe
from most.data.pseudo_label.run import pseudo_label
from most.errors import MostError
from most.manifest import AudioRef, Utterance, read_examples, read_utterances, write_jsonl
from most.settings import build
from most.speech.audio import write_audio

MISHEARS = {"name": "tones-too", "settings": {"mishears": {"five": "nine"}}}


@pytest.fixture
def make(tmp_path):
    def make(name="out", **keys):
        tree = {"source": str(tmp_path / "in"), "output": str(tmp_path / name), "judge": {"name": "tones"}}
        # Digits a word each: Whisper's own normaliser makes one number of several.
        tree |= {"normalizer": "digits", **(keys or {"second_judge": MISHEARS})}
        return build(PseudoLabelRecipe, tree, "recipe")

    return make


def quiet(recipe):
    lines: list[str] = []
    return pseudo_label(recipe, echo=lines.append, progress=False), "\n".join(lines)


def rejected(recipe):
    return [json.loads(line) for line in (recipe.output / "rejected.jsonl").read_text().splitlines()]


def test_agreement_marks_and_speakers(make, speak, tmp_path):
    speak("ann/a.wav", "one two three")
    speak("ann/b.flac", "four five six")
    speak("bob/c.ogg", "seven eight")
    recipe = make(second_judge=MISHEARS, speaker="^([^/]+)/", licence="cc0-1.0")
    counts, said = quiet(recipe)
    assert (counts.items, counts.kept) == (3, 2)
    examples = read_examples(recipe.output / "train.jsonl")
    assert [(e.id, e.task, e.turns[1].text, e.turns[0].speaker) for e in examples] == [
        ("asr-ann/a", "asr", "one two three", "ann"), ("asr-bob/c", "asr", "seven eight", "bob"),
    ]  # fmt: skip
    assert {e.source for e in examples} == {"pseudo-label:tone-judge:a"}
    marks = {"pseudo_label": "tone-judge:a", "agrees": "tone-judge:b", "disagreement": 0.0}
    assert [{k: e.meta[k] for k in marks} for e in examples] == [marks, marks]
    (row,) = rejected(recipe)
    assert (row["id"], row["split"], row["reason"]) == ("ann/b", "train", "judges disagree")
    assert "0.33" in row["detail"]
    assert "'Four nine six.'" in row["detail"]
    card = (recipe.output / "README.md").read_text()
    assert "**Pseudo-labelled: no person wrote these transcripts. They were written by `tone-judge:a`" in card
    assert "machine-generated" in card
    # Whoever reads the other manifests is told too, or gets no text.
    assert [u.text for u in read_utterances(recipe.output / "utterances_train.jsonl")] == [None, None]
    with gzip.open(recipe.output / "cuts_train.jsonl.gz", "rt") as f:
        cuts = [json.loads(line) for line in f]
    assert [c["supervisions"][0]["custom"]["pseudo_label"] for c in cuts] == ["tone-judge:a"] * 2
    assert "2 speakers by name, 0 of speakers that are not known" in said


def test_more_disagreement_and_the_text_as_written(make, speak):
    speak("b.wav", "four five six")
    recipe = make(second_judge=MISHEARS, max_disagreement=0.34, transcript="written", split="test_people")
    assert quiet(recipe)[0].kept == 1
    (example,) = read_examples(recipe.output / "test_people.jsonl")
    assert example.turns[1].text == "Four five six."
    assert example.meta["disagreement"] == pytest.approx(1 / 3, abs=1e-3)


def test_a_judge_alone_has_to_be_sure(make, speak):
    for name, noise in (("clean", 0.0), ("noisy", 0.06), ("noisier", 0.09)):
        speak(f"{name}.wav", "one two", noise=noise)
    sure = {"min_logprob": -0.8, "max_no_speech": 0.2}
    recipe = make(judge={"name": "tones-sure"}, sure=sure, max_rejected_share=0.7)
    quiet(recipe)
    (example,) = read_examples(recipe.output / "train.jsonl")
    assert example.id == "asr-clean"
    assert example.meta["logprob"] == 0
    assert {r["id"]: r["detail"][:18] for r in rejected(recipe)} == {
        "noisy": "probability of no ", "noisier": "mean log-probabili",
    }  # fmt: skip


def test_long_recordings_are_cut_between_words(make, speak):
    words = " ".join(["one", "two", "three", "four", "six", "seven", "eight"] * 3)
    speak("long.wav", words)  # 12.6 s
    speak("short.wav", "one two")
    recipe = make(second_judge=MISHEARS, max_seconds=4.0)
    counts, said = quiet(recipe)
    assert "1 of 2 recordings were longer than 4 s and cut into 4 pieces; 0 of 3 cuts found no silence" in said
    assert counts.kept == 5
    examples = read_examples(recipe.output / "train.jsonl")
    pieces = [e for e in examples if "long@" in e.id]
    assert " ".join(e.turns[1].text for e in pieces) == words
    refs = [e.turns[0].audio for e in pieces]
    ends = [r.start + r.duration for r in refs]
    assert ends[:-1] == pytest.approx([r.start for r in refs[1:]])
    assert ends[-1] == pytest.approx(12.6)
    assert all(1.0 <= r.duration <= 4.0 for r in refs)
    assert "cut into 4 pieces" in (recipe.output / "README.md").read_text()


def test_lhotse_reads_the_pieces_and_their_marks(make, speak):
    lhotse = pytest.importorskip("lhotse")
    speak("long.wav", "one two three four six seven eight one two")
    recipe = make(second_judge=MISHEARS, max_seconds=2.0)
    quiet(recipe)
    cuts = lhotse.CutSet.from_file(recipe.output / "cuts_train.jsonl.gz").with_recording_path_prefix(recipe.output)
    assert sum(c.load_audio().shape[1] for c in cuts) == pytest.approx(9 * 0.6 * 16000, abs=50)
    assert {c.supervisions[0].pseudo_label for c in cuts} == {"tone-judge:a"}


def test_bad_audio_is_counted_and_named(make, speak, tmp_path):
    for name in ("a.wav", "b.wav", "c.wav", "same.flac", "same.wav"):
        speak(name, "one two three")
    speak("quiet.wav", "one")
    write_audio(tmp_path / "in" / "quiet.wav", [0.0] * 16000, 16000)
    speak("brief.wav", "one", gap=0.0)
    (tmp_path / "in" / "empty.mp3").touch()
    (tmp_path / "in" / "noise.opus").write_bytes(b"no audio at all")
    cut = (tmp_path / "in" / "b.wav").read_bytes()
    (tmp_path / "in" / "b.wav").write_bytes(cut[: len(cut) // 2])
    recipe = make(second_judge=MISHEARS, max_rejected_share=0.7)
    counts, said = quiet(recipe)
    assert {r["id"]: r["reason"] for r in rejected(recipe)} == {
        "b": "damaged", "brief": "too short", "empty": "empty audio", "noise": "unreadable", "quiet": "nothing heard",
        "same": "duplicate id",
    }  # fmt: skip
    assert (counts.items, counts.kept) == (9, 3)
    assert "5 recordings cannot be used" in said
    with pytest.raises(MostError, match="6 of 9 items were rejected"):
        quiet(make(name="strict", second_judge=MISHEARS, max_rejected_share=0.5))


def test_stopped_at_any_piece_it_ends_with_the_same_bytes(make, speak, contents, monkeypatch):
    for k, words in enumerate(["one two", "four five", "six seven eight one two three", "nine one"]):
        speak(f"{k}.wav", words)
    keys = {"second_judge": MISHEARS, "max_seconds": 2.4}
    whole = make(name="whole", **keys)
    quiet(whole)
    expected, hear = contents(whole.output), label.Labeller.label
    for stop in range(5):
        recipe, seen = make(name=f"stopped{stop}", **keys), 0

        def dies(self, piece, stop=stop):
            nonlocal seen
            seen += 1
            if seen > stop:
                raise KeyboardInterrupt
            return hear(self, piece)

        with monkeypatch.context() as m:
            m.setattr(label.Labeller, "label", dies)
            with pytest.raises(KeyboardInterrupt):
                quiet(recipe)
        assert not (recipe.output / "README.md").exists()
        for name in ("train.jsonl", "train.opened.jsonl"):  # as a kill may leave them
            with (recipe.output / ".journal" / name).open("a") as f:
                f.write('{"id": "torn')
        _, said = quiet(recipe)
        assert (f"goes on: {stop} pieces" in said) == (stop > 0)
        assert contents(recipe.output) == expected
    assert "nothing to do" in quiet(whole)[1]


def test_what_was_heard_is_on_the_disk_at_once(make, speak, monkeypatch):
    for k in range(3):
        speak(f"{k}.wav", "one two")
    recipe, hear = make(second_judge=MISHEARS), label.Labeller.label
    there: list[int] = []

    def counts(self, piece):
        there.append(len((recipe.output / ".journal" / "train.jsonl").read_bytes().splitlines()))
        return hear(self, piece)

    monkeypatch.setattr(label.Labeller, "label", counts)
    quiet(recipe)
    assert there == [0, 1, 2]


def test_it_stops_early_where_nearly_all_is_left_out(make, speak, monkeypatch):
    monkeypatch.setattr(run, "_EARLY_PIECES", 4)
    for k in range(9):
        speak(f"{k}.wav", "five five" if k else "one two")
    with pytest.raises(MostError, match=r"3 of the first 4 items were rejected: judges disagree"):
        quiet(make())
    assert quiet(make(second_judge=MISHEARS, max_rejected_share=0.9))[0].kept == 1


def test_two_processes_make_what_one_makes(tmp_path, contents):
    pytest.importorskip("pocketsphinx")
    recordings = Recordings()
    for digit in range(2):
        name = recordings.ids("theo", digit)[0]
        write_audio(tmp_path / "in" / f"{name}.wav", recordings.wav(name), 8000)
    made = []
    for workers in (1, 2):
        tree = {
            "source": str(tmp_path / "in"), "output": str(tmp_path / f"by{workers}"), "min_seconds": 0.1,
            "judge": {"name": "pocketsphinx-digits"}, "second_judge": {"name": "pocketsphinx"},
            "max_disagreement": 100.0, "speaker": r"\d_([a-z]+)_", "workers": workers,
        }  # fmt: skip
        recipe = build(PseudoLabelRecipe, tree, "recipe")
        quiet(recipe)
        made.append(contents(recipe.output))
    assert made[0] == made[1]
    rows = read_examples(tmp_path / "by1" / "train.jsonl")
    assert [(e.turns[0].speaker, e.turns[1].text.split()[-1]) for e in rows] == [("theo", "zero"), ("theo", "one")]


def test_a_manifest_without_text(make, speak, tmp_path):
    speak("one.wav", "one two three four")
    ref = AudioRef(path=tmp_path / "in" / "one.wav", start=0.6, duration=1.2)
    write_jsonl(tmp_path / "m.jsonl", [Utterance(id="u", audio=ref, speaker="eve")])
    recipe = make(source=str(tmp_path / "m.jsonl"), second_judge=MISHEARS, speaker="one")
    quiet(recipe)
    (example,) = read_examples(recipe.output / "train.jsonl")
    assert (example.turns[1].text, example.turns[0].speaker) == ("two three", "eve")
    write_jsonl(tmp_path / "m.jsonl", [Utterance(id="u", audio=ref, text="two three")])
    with pytest.raises(MostError, match="has a transcript, and a person's is better"):
        quiet(make(name="new", source=str(tmp_path / "m.jsonl"), second_judge=MISHEARS))


def test_a_step_of_a_build(speak, tmp_path):
    speak("a.wav", "one two three")
    speak("b.wav", "four five six")
    step = {
        "verb": "pseudo-label",
        "source": str(tmp_path / "in"),
        "judge": {"name": "tones"},
        "second_judge": MISHEARS,
    }
    recipe = build(BuildRecipe, {"output": str(tmp_path / "built"), "steps": {"people": step}}, "recipe")
    said: list[str] = []
    summary = build_data(recipe, echo=said.append, progress=False)
    row = summary["steps"]["people"]
    assert row["examples"]["train.jsonl"]["tasks"] == {"asr": 1}
    assert row["left_out"] == {"judges disagree": 1}
    assert "about 2 items" in said[1]
    build_data(recipe, echo=said.append, progress=False)
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(MostError, match="no such file or folder"):
        build_data(recipe, echo=said.append, progress=False)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"judge": {"name": "tones"}}, "tones cannot say how sure it is; name a second judge"),
        ({"second_judge": {"name": "tones"}}, "agrees with itself"),
        ({"judge": {"name": "tone"}}, "did you mean 'tones'"),
        ({"second_judge": MISHEARS, "max_disagreement": -1}, "max_disagreement"),
        ({"second_judge": MISHEARS, "speaker": "("}, "no regular expression"),
        ({"second_judge": MISHEARS, "min_seconds": 12.0}, "min_seconds"),
        ({"second_judge": MISHEARS, "split": "rejected"}, "split"),
        ({"second_judge": MISHEARS, "normalizer": "englsh"}, "did you mean 'english'"),
    ],
)
def test_mistakes_are_named(make, keys, message):
    with pytest.raises(MostError, match=message):
        make(**keys)


def test_other_settings_and_another_source_are_refused(make, speak, tmp_path):
    speak("a.wav", "one two three")
    quiet(make())
    with pytest.raises(MostError, match="begun with transcript"):
        quiet(make(second_judge=MISHEARS, transcript="written"))
    speak("b.wav", "one two")
    with pytest.raises(MostError, match="begun with recordings"):
        quiet(make())
    with pytest.raises(MostError, match="no such folder"):
        quiet(make(name="new", source=str(tmp_path / "nowhere"), second_judge=MISHEARS))


def test_people_are_held_out_by_name(make, speak):
    for who, words in (("1-a", "one two three"), ("8-b", "four six"), ("8-c", "seven eight"), ("2-d", "six")):
        speak(f"{who}.wav", words)

    def names(split, speakers, **keys):
        recipe = make(split, second_judge=MISHEARS, speaker="^(\\d+)-", speakers=speakers, split=split, **keys)
        quiet(recipe)
        return [e.turns[0].speaker for e in read_examples(recipe.output / f"{split}.jsonl")]

    assert names("train", "^[0-79]") == ["1", "2"]
    assert names("test", "^8") == ["8", "8"]
    assert names("test_one", "^8", limit=1) == ["8"]
    with pytest.raises(MostError, match="matches no speaker of the 4"):
        names("none", "^5")
    with pytest.raises(MostError, match="regular expression"):
        make(second_judge=MISHEARS, speakers="(")
