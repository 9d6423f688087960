"""Users' own recordings and lhotse manifests: columns found or refused, folders, splits, foreign cuts."""

from __future__ import annotations

import json

import pytest

from most.data.corpora.table import open_corpus
from most.errors import MostError

pytestmark = pytest.mark.filterwarnings("ignore")


def items(source, tmp_path, split="train", **options):
    return list(open_corpus("generic", source, tmp_path, options).items(split))


def test_tables_alike(tmp_path, lay, look):
    lay.tone(tmp_path / "clips/a b.wav")
    lay.tone(tmp_path / "clips/c.wav")
    (tmp_path / "m.csv").write_text('\ufefffile,sentence,speaker_id\nclips/a b.wav,"One, two",x\nclips/c.wav,Three,\n')
    (tmp_path / "m.tsv").write_text('file\tsentence\tspeaker_id\nclips/a b.wav\tOne, two\tx\nclips/c.wav\t"Three\t\n')
    (tmp_path / "m.jsonl").write_text(
        json.dumps({"file": "clips/a b.wav", "sentence": "One, two", "speaker_id": "x"})
        + "\n\n" + json.dumps({"file": "clips/c.wav", "sentence": "Three", "speaker_id": None}) + "\n"
    )  # fmt: skip
    csv, tsv, jsonl = (items(tmp_path / f"m.{kind}", tmp_path) for kind in ("csv", "tsv", "jsonl"))
    assert csv == jsonl
    assert tsv[1].text == '"Three'
    assert [(i.id, i.text, i.speaker) for i in csv] == [
        ("clips/a b.wav", "One, two", "x"),
        ("clips/c.wav", "Three", ""),
    ]
    assert look.prepare("generic", tmp_path / "m.csv", tmp_path / "out")["train"].kept == 2


def test_columns_are_named_or_refused(tmp_path):
    table = tmp_path / "m.csv"
    table.write_text("path,audio,raw,id\na.wav,b.wav,hello,7\n")
    with pytest.raises(MostError, match=r"--audio-column: \['path', 'audio'\]"):
        items(table, tmp_path)
    with pytest.raises(MostError, match="known to hold text"):
        items(table, tmp_path, audio_column="audio")
    with pytest.raises(MostError, match="did you mean 'raw'"):
        items(table, tmp_path, audio_column="audio", text_column="rav")
    item = items(table, tmp_path, audio_column="audio", text_column="raw", audio_root=tmp_path / "x")[0]
    assert (item.id, item.audio.path, item.text) == ("7", tmp_path / "x/b.wav", "hello")


def test_rows_that_are_torn_are_yielded_with_their_problem(tmp_path):
    (tmp_path / "m.csv").write_text("audio,text,start,duration\na.wav,one,0,1\nb.wav,two\nc.wav,three,zero,1\n")
    found = items(tmp_path / "m.csv", tmp_path)
    assert [(i.problem or ("",))[0] for i in found] == ["", "bad row", "bad row"]
    assert (found[0].id, found[0].audio.duration) == ("a.wav@0", 1.0)


def test_split_column_and_bytes_that_are_no_text(tmp_path, lay, look):
    for name in "abc":
        lay.tone(tmp_path / f"{name}.wav")
    (tmp_path / "m.tsv").write_bytes(
        b"audio\ttext\tsplit\na.wav\tone\ttest\nb.wav\ttwo\ttrain\nc.wav\t\xff\xfe\ttrain\n"
    )
    counts = look.prepare("generic", tmp_path / "m.tsv", tmp_path / "out", max_rejected=0.5)
    assert {s: (c.items, c.kept) for s, c in counts.items()} == {"test": (1, 1), "train": (2, 1)}
    assert look.lines(tmp_path / "out/rejected.jsonl")[0]["reason"] == "not unicode"
    (tmp_path / "m.tsv").write_text("audio\ttext\tsplit\na.wav\tone\t../evil\n")
    with pytest.raises(MostError, match="cannot name a file"):
        look.prepare("generic", tmp_path / "m.tsv", tmp_path / "evil")


def test_folder_with_texts_beside_and_audiofolder(tmp_path, lay):
    for name in ("train/s1/a.wav", "train/b.FLAC", "test/c.wav"):
        lay.tone((tmp_path / name).with_suffix(".flac" if "FLAC" in name else ".wav"))
        (tmp_path / name).with_suffix(".txt").write_text("hello\n")
    lay.tone(tmp_path / "test/d.ogg")
    corpus = open_corpus("generic", tmp_path, tmp_path / "out")
    assert corpus.splits() == ("train", "test")
    assert [i.id for i in corpus.items("train")] == ["b", "s1/a"]
    assert [(i.id, i.problem and i.problem[0]) for i in corpus.items("test")] == [("c", None), ("d", "no transcript")]
    (tmp_path / "metadata.csv").write_text("file_name,transcription\ntrain/b.flac,Hello\n")
    assert [i.text for i in items(tmp_path, tmp_path / "out")] == ["Hello"]


def test_lhotse_round_trip_of_our_own_cuts(prepared, tmp_path, look):
    counts = look.prepare("lhotse", prepared, tmp_path / "again", options={"licence": "cc-by-4.0"})
    assert {s: c.kept for s, c in counts.items()} == {"dev-clean": 8, "train-clean-100": 8}
    for split in counts:
        before, after = (look.lines(f / f"utterances_{split}.jsonl") for f in (prepared, tmp_path / "again"))
        assert [(u["id"], u["text"], u["speaker"]) for u in before] == [
            (u["id"], u["text"], u["speaker"]) for u in after
        ]
        assert (tmp_path / "again" / after[0]["audio"]["path"]).resolve() == (
            prepared / before[0]["audio"]["path"]
        ).resolve()


def test_what_a_lhotse_recipe_wrote_is_read(librispeech, tmp_path, look):
    from lhotse.recipes.librispeech import prepare_librispeech

    prepare_librispeech(librispeech, output_dir=tmp_path / "manifests")
    counts = look.prepare("lhotse", tmp_path / "manifests", tmp_path / "out")
    assert {s: c.kept for s, c in counts.items()} == {"dev-clean": 8, "train-clean-100": 8}


def test_cuts_that_are_no_stretch_of_one_file_are_named(tmp_path, lay, look):
    from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

    recording = Recording.from_file(lay.tone(tmp_path / "a.wav", 3.0))
    two = [SupervisionSegment(id=f"a{k}", recording_id="a", start=k, duration=1.0, text=f"word {k}", speaker="s")
           for k in (0, 1)]  # fmt: skip
    cut = MonoCut(id="a", start=0.5, duration=2.5, channel=0, recording=recording, supervisions=two)
    fast = MonoCut(id="fast", start=0, duration=1.0, channel=0, recording=recording, supervisions=two[:1])
    cuts = [cut, fast.perturb_volume(2.0).with_id("loud"), cut.with_id("mixed").mix(fast, snr=10).with_id("mixed"),
            MonoCut(id="bare", start=0, duration=1.0, channel=0, recording=recording)]  # fmt: skip
    CutSet.from_cuts(cuts).to_file(tmp_path / "my_cuts_dev.jsonl.gz")
    look.prepare("lhotse", tmp_path / "my_cuts_dev.jsonl.gz", tmp_path / "out", max_rejected=0.9)
    kept = look.lines(tmp_path / "out/utterances_dev.jsonl")
    assert [(u["id"], u["audio"].get("start"), u["text"]) for u in kept] == [
        ("a0", 0.5, "word 0"),
        ("a1", 1.5, "word 1"),
    ]
    reasons = {r["id"]: r["reason"] for r in look.lines(tmp_path / "out/rejected.jsonl")}
    assert reasons == {"loud": "not a file", "mixed": "not a file", "bare": "no transcript"}
