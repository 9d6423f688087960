"""Sentences read aloud: a prepared set, the same in any order and after any interruption, with what failed named."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import soundfile

from most.data.dialogue.voice import work
from most.data.dialogue.voice.quality import GateSettings
from most.data.read_aloud import run as module
from most.data.read_aloud.recipe import ReadAloudRecipe
from most.data.read_aloud.run import read_aloud
from most.data.read_aloud.sentences import read_sentences
from most.errors import MostError
from most.manifest import read_examples, read_utterances
from most.settings import build

SENTENCES = [
    "The river rises in the hills.", "I paid $3 for it.", "Nobody knows her name.", "Turn left at the second corner.",
    "nobody knows her name", "It is raining again.", "Where did you find that apple?", "We walked home at night.",
]  # fmt: skip
AUGMENT = {"noise": {"share": 0.4, "kinds": ["babble", "pink"]}, "speed": {"share": 0.3}, "room": {"share": 0.2}}


@pytest.fixture
def make(tmp_path, tones):
    def make(sentences=SENTENCES, name="out", **keys):
        (tmp_path / "s.txt").write_text("\n".join(sentences) + "\n")
        tree = {
            "sentences": [str(tmp_path / "s.txt")], "output": str(tmp_path / name), "voices": [{"kind": "tones"}],
            "gate": {"judge": "none"}, "retry_seconds": 0.0, "licence": "cc0-1.0", **keys,
        }  # fmt: skip
        return build(ReadAloudRecipe, tree, "recipe")

    return make


def quiet(recipe, **more):
    lines: list[str] = []
    return read_aloud(recipe, echo=lines.append, progress=False, **more), "\n".join(lines)


def test_a_prepared_set(make):
    recipe = make(augment=AUGMENT)
    counts, echoed = quiet(recipe)
    assert (counts.items, counts.kept) == (7, 7)  # of two that are said alike one
    assert "s of work a second of speech" in echoed
    examples = read_examples(recipe.output / "train.jsonl")
    asr = [e for e in examples if e.task == "asr"]
    tts = [e for e in examples if e.task == "tts"]
    clean = {u.id for u in read_utterances(recipe.output / "utterances_train.jsonl")}
    assert len(asr) == 7
    assert 0 < len(clean) < 7
    assert {e.id[4:] for e in tts} == clean
    texts = [e.turns[1].text for e in asr]
    assert "I paid three dollars for it." in texts
    assert tts[0].turns[0].text.endswith(tts[0].meta["text"])
    for utterance in read_utterances(recipe.output / "utterances_train.jsonl"):
        info = soundfile.info(utterance.audio.path)
        assert (info.samplerate, info.format) == (16000, "FLAC")
        assert utterance.speaker.startswith("tones:")
    card = (recipe.output / "README.md").read_text()
    assert "| tones:low |" in card
    assert "license: cc0-1.0" in card
    assert "Nobody recorded is heard" in card


def test_datasets_and_lhotse_read_it(make):
    datasets, lhotse = pytest.importorskip("datasets"), pytest.importorskip("lhotse")
    recipe = make()
    quiet(recipe)
    assert datasets.load_dataset(str(recipe.output), "utterances")["train"].num_rows == 7
    cuts = lhotse.CutSet.from_file(recipe.output / "cuts_train.jsonl.gz").with_recording_path_prefix(recipe.output)
    assert sum(len(c.load_audio()[0]) for c in cuts) > 7 * 1000


def test_order_changes_no_audio(make, contents):
    one = make(augment=AUGMENT)
    quiet(one)
    two = make(SENTENCES[:4] + SENTENCES[:3:-1], name="two", augment=AUGMENT)
    quiet(two)
    first, second = contents(one.output / "audio"), contents(two.output / "audio")
    assert len(first) == 7
    assert first == second


def test_stopped_at_any_sentence_it_ends_with_the_same_bytes(make, contents, monkeypatch):
    whole = make(name="whole", augment=AUGMENT)
    quiet(whole)
    expected, say = contents(whole.output), module.SENTENCES.make
    for stop in range(7):
        recipe = make(name=f"stopped{stop}", augment=AUGMENT)
        seen = 0

        def dies(sentence, speaker, stop=stop):
            nonlocal seen
            seen += 1
            if seen > stop:
                raise KeyboardInterrupt
            return say(sentence, speaker)

        dying = work.Work(id=module.SENTENCES.id, make=dies, reject=module.SENTENCES.reject)
        with monkeypatch.context() as m:
            m.setattr(module, "SENTENCES", dying)
            with pytest.raises(KeyboardInterrupt):
                quiet(recipe)
        assert not (recipe.output / "train.jsonl").exists()
        _, echoed = quiet(recipe)
        assert ("goes on: " in echoed) == (stop > 0)
        assert contents(recipe.output) == expected
    _, echoed = quiet(whole)
    assert "nothing to do" in echoed


def test_what_is_not_understood_is_made_again_then_left_out(make, monkeypatch):
    class Deaf:
        name, sample_rate = "deaf", 16000
        calls, knows = 0, 0

        def transcribe(self, wav, rate):
            self.calls += 1
            return "It is raining again." if len(wav) == self.knows else "something else"

    clean = make(name="clean")
    quiet(clean)
    rain = next(u for u in read_utterances(clean.output / "utterances_train.jsonl") if u.text == "It is raining again.")
    judge = Deaf()
    monkeypatch.setattr(GateSettings, "make", lambda self: judge)
    judge.knows = soundfile.info(rain.audio.path).frames
    recipe = make(gate={"max_wer": 0.2}, max_rejected_share=1.0)
    counts, _ = quiet(recipe)
    rejected = [json.loads(line) for line in (recipe.output / "rejected.jsonl").read_text().splitlines()]
    assert counts.kept + len(rejected) == 7
    assert len(rejected) >= 5
    assert {r["reason"] for r in rejected} == {"not understood"}
    assert "after 2 takes" in rejected[0]["detail"]
    assert judge.calls >= 2 * len(rejected)
    assert len(list((recipe.output / "audio").rglob("*.flac"))) == counts.kept
    with pytest.raises(MostError, match="not understood"):
        quiet(make(name="strict", gate={"max_wer": 0.2}))


def test_texts_nobody_can_say_and_a_voice_that_comes_back(make, tones, monkeypatch):
    recipe = make(["Say an unspeakable word.", "Good morning.", "12 34"], max_rejected_share=0.5)
    quiet(recipe)
    (row,) = [json.loads(line) for line in (recipe.output / "rejected.jsonl").read_text().splitlines()]
    assert row["reason"] == "cannot be said"
    failing = tones.Tones(fails=99)
    monkeypatch.setitem(work.make_voices.__globals__, "make_synthesizer", lambda kind, settings: failing)
    recipe = make(["Good morning.", "Good night."], name="away")
    with pytest.raises(MostError, match="voice failed"):
        quiet(recipe)
    failing.fails = 0
    assert quiet(recipe)[0].kept == 2


def test_voices_by_weight(make):
    voices = [{"kind": "tones", "names": ["low"], "weight": 5}, {"kind": "tones", "names": ["high"], "weight": 1}]
    recipe = make([f"Sentence number {k} is here." for k in range(120)], voices=voices)
    quiet(recipe)
    seen = Counter(u.speaker for u in read_utterances(recipe.output / "utterances_train.jsonl"))
    assert seen["tones:low"] == pytest.approx(100, abs=15)
    assert seen["tones:low"] + seen["tones:high"] == 120


def test_other_settings_and_mistakes(make):
    recipe = make()
    quiet(recipe)
    with pytest.raises(MostError, match="begun with seed"):
        quiet(make(seed=3))
    with pytest.raises(MostError, match="begun with sentences"):
        quiet(make(SENTENCES[:3]))
    for keys, text in (
        ({"split": "rejected"}, "split"), ({"tasks": []}, "tasks"), ({"chunk_words": 0}, "chunk_words"),
        ({"voices": [{"kind": "tones", "weight": 0}]}, "voices.weight"), ({"transcripts": "x"}, "did you mean"),
    ):  # fmt: skip
        with pytest.raises(MostError, match=text):
            make(**keys)
    fresh = make(name="fresh")
    quiet(fresh, dry_run=True)
    assert not fresh.output.exists()


def test_sentences_of_all_kinds(tmp_path):
    (tmp_path / "a.txt").write_text("One line.\n\nAnother  line.\n")
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": "From JSON."}) + "\n" + json.dumps({"other": 1}) + "\n")
    turns = [{"role": "user", "text": "Hello there. How are you?"}, {"role": "assistant", "text": "Fine."}]
    row = {"id": "d", "turns": turns, "source": "s", "licence": "l"}
    (tmp_path / "c.jsonl").write_text(json.dumps(row) + "\n")
    found = read_sentences([tmp_path / n for n in ("a.txt", "b.jsonl", "c.jsonl")], 4)
    assert [s.text for s in found] == [
        "One line.", "Another line.", "From JSON.", "Hello there.", "How are you?", "Fine.",
    ]  # fmt: skip
    assert len({s.id for s in found}) == 6
    assert read_sentences([tmp_path / "a.txt"], limit=1) == found[:1]
