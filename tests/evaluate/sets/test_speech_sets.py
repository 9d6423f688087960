"""Sets of recordings with transcripts: manifests both ways round, the published layouts, and what is refused."""

import json

import numpy as np
import pytest

from most.errors import MostError
from most.evaluate.sets.base import SetInfo, SetSettings, write_info
from most.evaluate.sets.speech import load_speech
from most.manifest import AudioRef, Example, Turn, Utterance, write_jsonl
from most.speech.audio import write_audio


def load(kind, path, task="asr", limit=None, **options):
    return load_speech(SetSettings(kind=kind, path=str(path), options=options), task=task, limit=limit)


def sound(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, (0.1 * np.random.default_rng(0).normal(size=4000)).astype(np.float32), 16000)
    return AudioRef(path=path)


def example(task, name, ref, text, meta=None, ask="Say: {}"):
    if task == "asr":
        turns = (Turn(role="user", text="Transcribe the speech.", audio=ref, speaker="ann"),
                 Turn(role="assistant", text=text))  # fmt: skip
    else:
        turns = (Turn(role="user", text=ask.format(text)), Turn(role="assistant", audio=ref, speaker="ann"))
    return Example(id=name, task=task, turns=turns, source="made up", licence="cc0-1.0", meta=meta or {})


@pytest.fixture
def mixed(tmp_path):
    ref = sound(tmp_path / "a.wav")
    document = Example(id="d", task="text", turns=(Turn(role="document", text="words"),))
    rows = [example("asr", "x", ref, "heard"), document, example("tts", "y", ref, "said", {"text": "said"})]
    write_jsonl(tmp_path / "test.jsonl", rows)
    return tmp_path / "test.jsonl"


def test_a_manifest_gives_a_task_its_own_examples(mixed):
    found = load("manifest", mixed)
    assert [(i.id, i.text, i.audio.path.name, i.speaker) for i in found.items] == [("x", "heard", "a.wav", "ann")]
    assert [(i.id, i.text) for i in load("manifest", mixed, "tts").items] == [("y", "said")]
    assert found.info == SetInfo(name=f"{mixed.parent.name}/test", source="test.jsonl (made up)", licence="cc0-1.0")


@pytest.mark.parametrize("ask", ["Say: {}", "Read aloud: {}", "Speak these words: {}"])
def test_examples_are_turned_round_where_there_are_only_the_other_s(tmp_path, ask):
    write_jsonl(tmp_path / "t.jsonl", [example("tts", "y", sound(tmp_path / "a.wav"), "big words", ask=ask)])
    for task in ("asr", "tts"):
        assert [i.text for i in load("manifest", tmp_path / "t.jsonl", task).items] == ["big words"]


def test_a_builder_s_label_is_kept(mixed):
    info = SetInfo(name="digits", source="made here", licence="cc0-1.0", stand_in_for="LibriSpeech test-clean")
    write_info(mixed.parent, info)
    assert load("manifest", mixed).info == info


def test_utterances_and_their_limit(tmp_path):
    ref = sound(tmp_path / "a.wav")
    write_jsonl(tmp_path / "u.jsonl", [Utterance(id=str(k), audio=ref, text=f"word {k}") for k in range(5)])
    assert [i.id for i in load("manifest", tmp_path / "u.jsonl", limit=2).items] == ["0", "1"]


def test_librispeech_as_unpacked(tmp_path):
    chapter = tmp_path / "LibriSpeech/test-other/84/121123"
    sound(chapter / "84-121123-0000.flac")
    (chapter / "84-121123.trans.txt").write_text("84-121123-0000 GO DO YOU HEAR\n")
    found = load("librispeech", tmp_path, split="test-other")
    assert [(i.id, i.text, i.speaker) for i in found.items] == [("84-121123-0000", "GO DO YOU HEAR", "84")]
    assert found.info.name == "LibriSpeech test-other"
    assert (found.info.source, found.info.licence) == ("https://www.openslr.org/12", "cc-by-4.0")
    with pytest.raises(MostError, match="did you mean 'test-other'"):
        load("librispeech", tmp_path)


def test_common_voice_as_unpacked(tmp_path):
    sound(tmp_path / "clips/c1.wav")
    (tmp_path / "test.tsv").write_text('client_id\tpath\tsentence\nann\tc1.wav\tHe said: "no.\n')
    found = load("commonvoice", tmp_path)
    assert [(i.id, i.text, i.speaker) for i in found.items] == [("c1", 'He said: "no.', "ann")]
    assert found.info.name == "Common Voice test"


def test_voxpopuli_and_its_text_columns(tmp_path):
    sound(tmp_path / "test/v1.wav")
    columns = "id\traw_text\tnormalized_text\tspeaker_id\tsplit\tgender\tis_gold_transcript\taccent\n"
    (tmp_path / "asr_test.tsv").write_text(columns + "v1\tMr President,\tmr president\t1\ttest\tmale\tTrue\tNone\n")
    assert [i.text for i in load("voxpopuli", tmp_path).items] == ["mr president"]
    assert [i.text for i in load("voxpopuli", tmp_path, text_column="raw_text").items] == ["Mr President,"]
    with pytest.raises(MostError, match="no option of voxpopuli"):
        load("voxpopuli", tmp_path, colour="blue")


def test_datasets_with_inline_audio(tmp_path):
    datasets = pytest.importorskip("datasets")
    sound(tmp_path / "a.wav")
    rows = {"audio": [{"bytes": (tmp_path / "a.wav").read_bytes(), "path": None}], "text": ["some words"]}
    features = datasets.Features(
        {
            "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "text": datasets.Value("string"),
        }
    )
    datasets.DatasetDict({"test": datasets.Dataset.from_dict(rows, features=features)}).save_to_disk(tmp_path / "hub")
    with pytest.raises(MostError, match="inline"):
        load("hf", tmp_path / "hub")
    found = load("hf", tmp_path / "hub", out=str(tmp_path / "out"))
    assert found.items[0].text == "some words"
    assert found.items[0].audio.path.read_bytes() == (tmp_path / "a.wav").read_bytes()


def test_what_would_change_the_denominator_is_refused(tmp_path):
    chapter = tmp_path / "test-clean/1/2"
    sound(chapter / "1-2-0000.flac")
    sound(chapter / "1-2-0001.flac")
    (chapter / "1-2.trans.txt").write_text("1-2-0000 WORDS\n")
    with pytest.raises(MostError, match="1-2-0001"):
        load("librispeech", tmp_path)
    assert len(load("librispeech", tmp_path, limit=1).items) == 1
    ref = sound(tmp_path / "a.wav")
    (tmp_path / "u.jsonl").write_text(json.dumps({"id": "dumb", "audio": str(ref.path)}) + "\n")
    with pytest.raises(MostError, match="dumb"):
        load("manifest", tmp_path / "u.jsonl")


def test_mistakes_are_named(tmp_path, mixed):
    with pytest.raises(MostError, match="did you mean 'librispeech'"):
        load("libirspeech", tmp_path)
    with pytest.raises(MostError, match="no such file"):
        load("manifest", tmp_path / "none.jsonl")
    with pytest.raises(MostError, match="split"):
        load("manifest", mixed, split="test")
    write_jsonl(tmp_path / "d.jsonl", [Example(id="d", task="text", turns=(Turn(role="document", text="words"),))])
    with pytest.raises(MostError, match="nothing to use"):
        load("manifest", tmp_path / "d.jsonl")
    write_jsonl(tmp_path / "t.jsonl", [example("tts", "y", sound(tmp_path / "a.wav"), "w", ask="Shout {}")])
    with pytest.raises(MostError, match=r"meta\.text"):
        load("manifest", tmp_path / "t.jsonl", "tts")
