"""Each published corpus in its layout; where lhotse has a recipe, the same recordings, texts and speakers as it."""

from __future__ import annotations

import shutil

import pytest

from most.data.corpora.table import open_corpus
from most.errors import MostError

pytestmark = pytest.mark.filterwarnings("ignore")


def ours(corpus, split):
    return {
        (i.id, i.audio.path.resolve(), i.text.strip(), i.speaker, i.audio.start, i.audio.duration)
        for i in corpus.items(split)
    }


def theirs(manifests, speaker=None):
    from pathlib import Path

    recordings = {r.id: r for r in manifests["recordings"]}
    out = set()
    for s in manifests["supervisions"]:
        recording = recordings[s.recording_id]
        whole = s.start == 0 and s.duration == recording.duration
        path = Path(recording.sources[0].source).resolve()
        bounds = (0.0, None) if whole else (s.start, s.duration)
        out.add((s.id, path, s.text, speaker or s.speaker, *bounds))
    return out


def test_librispeech_equals_lhotse(librispeech, tmp_path):
    from lhotse.recipes.librispeech import prepare_librispeech

    corpus = open_corpus("librispeech", librispeech, tmp_path)
    assert corpus.splits() == ("train-clean-100", "dev-clean")
    assert open_corpus("librispeech", librispeech.parent, tmp_path).splits() == corpus.splits()
    recipe = prepare_librispeech(librispeech)
    for split in corpus.splits():
        assert ours(corpus, split) == theirs(recipe[split])


def test_librispeech_names_what_the_recipe_dies_of(librispeech, tmp_path, look):
    from lhotse.recipes.librispeech import prepare_librispeech

    broken = tmp_path / "LibriSpeech"
    shutil.copytree(librispeech, broken)
    (broken / "dev-clean/84/198/84-198-0001.flac").write_bytes(b"not audio")
    with pytest.raises(Exception, match="84-198-0001"):
        prepare_librispeech(broken)
    (broken / "dev-clean/84/198/84-198.trans.txt").write_text("84-198-0000\n84-198-0001 YES\n84-198-0007 NO\n")
    look.prepare("librispeech", broken, tmp_path / "out", max_rejected=0.5)
    reasons = {r["id"]: r["reason"] for r in look.lines(tmp_path / "out" / "rejected.jsonl")}
    assert reasons == {
        "84-198-0000": "empty transcript", "84-198-0001": "unreadable", "84-198-0007": "missing",
        "84-198-0002": "no transcript", "84-198-0003": "no transcript",
    }  # fmt: skip


def test_ljspeech_equals_lhotse(tmp_path, lay, look):
    from lhotse.recipes.ljspeech import prepare_ljspeech

    root = lay.ljspeech(tmp_path / "LJSpeech-1.1")
    recipe = theirs(prepare_ljspeech(root), speaker="LJ")
    assert ours(open_corpus("ljspeech", root, tmp_path, {"text_column": "text"}), "train") == recipe
    spoken = next(iter(open_corpus("ljspeech", root, tmp_path).items("train")))
    assert spoken.text.endswith("in fourteen 0")
    with (root / "metadata.csv").open("a") as f:
        f.write("LJ001-0009|only two fields\n")
    lay.tone(root / "wavs" / "LJ001-0008.wav")
    look.prepare("ljspeech", root, tmp_path / "out", max_rejected=0.5)
    assert [r["reason"] for r in look.lines(tmp_path / "out" / "rejected.jsonl")] == ["bad row", "no transcript"]


def test_commonvoice_equals_lhotse(tmp_path, lay):
    from lhotse.recipes.commonvoice import prepare_commonvoice

    folder = lay.commonvoice(tmp_path / "cv-corpus-17.0")
    corpus = open_corpus("commonvoice", folder, tmp_path)
    assert corpus.splits() == ("train", "dev", "test")
    recipe = prepare_commonvoice(folder.parent, tmp_path / "lhotse", languages="en", splits=["train"])["en"]["train"]
    assert ours(corpus, "train") == theirs(recipe)
    assert len(ours(open_corpus("commonvoice", folder.parent, tmp_path), "train")) == 3


def test_commonvoice_mp3_and_validated(tmp_path, lay, look):
    folder = lay.commonvoice(tmp_path / "cv")
    counts = look.prepare("commonvoice", folder, tmp_path / "out", splits=["validated"])
    assert counts["validated"].kept == 5
    texts = [u["text"] for u in look.lines(tmp_path / "out" / "utterances_validated.jsonl")]
    assert texts[1] == '"with which we are concerned'
    assert counts["validated"].rates == {48000: 5}


def test_voxpopuli_sessions_equal_lhotse(tmp_path, lay):
    from lhotse.recipes.voxpopuli import prepare_voxpopuli

    root = lay.voxpopuli(tmp_path / "vox", "sessions")
    (tmp_path / "lhotse").mkdir()
    shutil.copy(root / "asr_en.tsv.gz", tmp_path / "lhotse")  # where the recipe looks before it downloads
    recipe = prepare_voxpopuli(root, tmp_path / "lhotse")
    corpus = open_corpus("voxpopuli", root, tmp_path)
    for split in ("train", "dev", "test"):
        assert {(p, t, s, round(b, 6), round(d, 6)) for _, p, t, s, b, d in ours(corpus, split)} == {
            (p, t, s, round(b, 6), round(d, 6)) for _, p, t, s, b, d in theirs(recipe[split])
        }


@pytest.mark.parametrize("layout", ["cut", "hub", "sessions"])
def test_voxpopuli_layouts(tmp_path, lay, look, layout):
    root = lay.voxpopuli(tmp_path / "vox", layout)
    counts = look.prepare("voxpopuli", root, tmp_path / "out")
    assert {s: c.kept for s, c in counts.items()} == (
        {"train": 2, "dev": 1, "test": 1} if layout == "sessions" else {"train": 2, "dev": 2, "test": 2}
    )
    raw = open_corpus("voxpopuli", root, tmp_path, {"text_column": "raw_text"})
    text = next(iter(raw.items("train"))).text
    assert text == ("printing in the only sense." if layout == "sessions" else 'He said "no".'.replace('".', "."))


def test_libriheavy_takes_stretches_and_cased_text(tmp_path, lay, look):
    manifests, audio = lay.libriheavy(tmp_path)
    with pytest.raises(MostError, match="--audio-root"):
        look.prepare("libriheavy", manifests, tmp_path / "no")
    counts = look.prepare("libriheavy", manifests, tmp_path / "out", options={"audio_root": audio})
    assert {s: (c.kept, round(c.seconds, 2)) for s, c in counts.items()} == {"small": (2, 2.72), "dev": (1, 1.36)}
    row = look.lines(tmp_path / "out" / "utterances_small.jsonl")[1]
    assert row["audio"] == {
        "path": "../elsewhere/small/100/sea_fairies_0812_librivox_64kb_mp3/01_baum_sea_fairies_64kb.flac",
        "start": 2.0, "duration": 1.36,
    }  # fmt: skip
    assert (row["text"], row["speaker"]) == ('"But why do folks dive?" she asked.', "100")


def test_wrong_folders_are_refused(tmp_path):
    for name in ("librispeech", "libriheavy", "commonvoice", "voxpopuli", "ljspeech", "lhotse", "text"):
        with pytest.raises(MostError, match="source"):
            open_corpus(name, tmp_path, tmp_path / "out").splits()
        with pytest.raises(MostError, match="source"):
            open_corpus(name, tmp_path / "absent", tmp_path / "out").splits()
    with pytest.raises(MostError, match="did you mean 'librispeech'"):
        open_corpus("libri-speech", tmp_path, tmp_path)
    with pytest.raises(MostError, match="no option of librispeech"):
        open_corpus("librispeech", tmp_path, tmp_path, {"audio_root": tmp_path})
