"""A prepared set: what it holds, who can read it back, that its bytes repeat, that a kill changes nothing."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile as sf

from most.data.corpora.check import Limits
from most.data.corpora.journal import Journal
from most.data.prompts import ASR_PROMPTS, TTS_PROMPTS
from most.errors import MostError
from most.manifest import read_examples, read_utterances
from most.speech.audio import read_audio

pytestmark = pytest.mark.filterwarnings("ignore")


def test_manifests_read_back(prepared):
    examples = read_examples(prepared / "train-clean-100.jsonl")
    assert [e.task for e in examples] == ["asr", "tts"] * 8
    asr, tts = examples[:2]
    assert asr.turns[0].text in ASR_PROMPTS
    assert tts.turns[0].text in [p.replace("{text}", asr.turns[1].text) for p in TTS_PROMPTS]
    assert asr.turns[0].audio == tts.turns[1].audio
    assert (asr.source, asr.licence, tts.meta) == (
        "librispeech", "cc-by-4.0", {"seconds": 0.5, "text": "PRINTING IN THE ONLY SENSE"},
    )  # fmt: skip
    assert len({e.turns[0].text for e in examples if e.task == "asr"}) > 1
    # What is measured on asks in the canonical wording.
    assert {e.turns[0].text for e in read_examples(prepared / "dev-clean.jsonl") if e.task == "asr"} == {ASR_PROMPTS[0]}
    utterance = read_utterances(prepared / "utterances_dev-clean.jsonl")[0]
    assert (utterance.id, utterance.speaker) == ("174-198-0000", "174")
    assert len(read_audio(utterance.audio)) == 8000


def test_lhotse_reads_the_cuts_and_writes_them_alike(prepared):
    from lhotse import CutSet
    from lhotse.qa import validate_cut

    path = prepared / "cuts_train-clean-100.jsonl.gz"
    plain = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    cuts = list(CutSet.from_file(path))
    assert [c.to_dict() for c in cuts] == plain
    for cut in CutSet.from_file(path).with_recording_path_prefix(prepared):
        validate_cut(cut, read_data=True)
        assert cut.load_audio().shape == (1, cut.num_samples)
    assert cuts[0].supervisions[0].speaker == "19"


def test_lhotse_reads_stretches_and_channels(tmp_path, lay, look):
    from lhotse import CutSet
    from lhotse.qa import validate_cut

    lay.tone(tmp_path / "a.wav", 3.0, channels=2)
    rows = [{"audio": "a.wav", "text": "one", "start": 0.0, "duration": 1.0},
            {"audio": "a.wav", "text": "two", "start": 2.5, "duration": 0.52}]  # fmt: skip
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    out = tmp_path / "out"
    look.prepare("generic", tmp_path / "m.jsonl", out)
    cuts = list(CutSet.from_file(out / "cuts_train.jsonl.gz").with_recording_path_prefix(out))
    assert [(c.start, c.duration, c.channel) for c in cuts] == [(0, 1.0, [0, 1]), (2.5, 0.5, [0, 1])]
    assert cuts[0].recording.id == cuts[1].recording.id == "a.wav"
    for cut in cuts:
        validate_cut(cut, read_data=True)


def test_datasets_reads_manifests_and_card(prepared, tmp_path):
    from datasets import load_dataset
    from huggingface_hub import DatasetCard

    files = {"train": str(prepared / "train-clean-100.jsonl")}
    assert load_dataset("json", data_files=files, cache_dir=str(tmp_path))["train"].num_rows == 16
    by_card = load_dataset(str(prepared), "utterances", cache_dir=str(tmp_path))
    assert {s: d.num_rows for s, d in by_card.items()} == {"train_clean_100": 8, "dev_clean": 8}
    assert load_dataset(str(prepared), cache_dir=str(tmp_path))["dev_clean"][0]["task"] == "asr"
    card = DatasetCard.load(prepared / "README.md")
    assert (card.data.license, card.data.size_categories) == ("cc-by-4.0", ["n<1K"])
    assert card.data.task_categories == ["automatic-speech-recognition", "text-to-speech"]
    assert "| train-clean-100 | 8 | 8 | 0 | 0.00 | 2 | 16000 |" in card.text


def test_same_input_same_bytes_and_a_second_run_does_nothing(prepared, librispeech, look):
    again = prepared.parent / "again"
    look.prepare("librispeech", librispeech, again, workers=1)
    assert look.tree(again) == look.tree(prepared)
    before = {p: p.stat().st_mtime_ns for p in again.iterdir()}
    counts = look.prepare("librispeech", librispeech, again)
    assert counts["dev-clean"].kept == 8
    assert {p: p.stat().st_mtime_ns for p in again.iterdir()} == before
    with pytest.raises(MostError, match="begun with tasks"):
        look.prepare("librispeech", librispeech, again, tasks=["asr"])
    (again / "prepare.json").unlink()
    with pytest.raises(MostError, match="no prepared set"):
        look.prepare("librispeech", librispeech, again)


def make_bad(folder, lay):
    """A table over recordings of which each but the first two is wrong in its own way."""
    folder.mkdir()
    lay.tone(folder / "good.wav")
    lay.tone(folder / "good2.flac")
    lay.tone(folder / "long.wav", 3.0)
    lay.tone(folder / "short.wav", 0.05)
    (folder / "zero.wav").write_bytes(b"")
    (folder / "garbage.flac").write_bytes(b"not audio at all" * 40)
    sf.write(folder / "nothing.wav", np.zeros(0), 16000)
    for name in ("cut.wav", "cut.flac"):
        whole = lay.tone(folder / f"whole.{name[-4:].strip('.')}", 1.5).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
    (folder / "folder.wav").mkdir()
    rows = [("good.wav", "A fine one"), ("good2.flac", "Another"), ("long.wav", "x"), ("short.wav", "x"),
            ("zero.wav", "x"), ("garbage.flac", "x"), ("nothing.wav", "x"), ("cut.wav", "x"), ("cut.flac", "x"),
            ("folder.wav", "x"), ("absent.wav", "x"), ("good.wav", "again"), ("whole.wav", " ... "),
            ("", "x")]  # fmt: skip
    table = [json.dumps({"audio": a, "text": t}) for a, t in rows]
    table += ["{torn", json.dumps({"audio": "whole.flac", "text": None}),
              json.dumps({"audio": "good2.flac", "text": "again"})]  # fmt: skip
    (folder / "all.jsonl").write_text("\n".join(table) + "\n")
    return folder / "all.jsonl"


EXPECTED = {
    "long.wav": "too long", "short.wav": "too short", "zero.wav": "empty audio", "garbage.flac": "unreadable",
    "nothing.wav": "empty audio", "cut.wav": "damaged", "cut.flac": "damaged", "folder.wav": "missing",
    "absent.wav": "missing", "good.wav": "duplicate id", "whole.wav": "empty transcript",
    "all.jsonl:14": "bad row", "all.jsonl:15": "bad row", "whole.flac": "no transcript", "good2.flac": "duplicate id",
}  # fmt: skip


def test_everything_wrong_is_named_and_counted(tmp_path, lay, look):
    table, out = make_bad(tmp_path / "in", lay), tmp_path / "out"
    counts = look.prepare("generic", table, out, max_rejected=1.0, limits=Limits(max_seconds=2.0))["train"]
    rejected = look.lines(out / "rejected.jsonl")
    assert (counts.items, counts.kept, len(rejected)) == (17, 2, 15)
    assert {r["id"]: r["reason"] for r in rejected} == EXPECTED
    assert all(r["detail"] and r["split"] == "train" for r in rejected)
    assert {r["audio"] for r in rejected if r["reason"] == "too long"} == {"../in/long.wav"}
    card = (out / "README.md").read_text()
    assert "| train | 17 | 2 | 15 |" in card
    assert "| train | too long | 1 |" in card
    assert len(read_utterances(out / "utterances_train.jsonl")) == 2


def test_a_cut_flac_is_damaged_and_silence_is_found_by_decoding(tmp_path, lay, look):
    whole = lay.tone(tmp_path / "w.flac", 2.0).read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/cut.flac").write_bytes(whole[: len(whole) * 2 // 3])
    sf.write(tmp_path / "in/silent.wav", np.zeros(8000), 16000)
    for name in ("cut", "silent"):
        (tmp_path / f"in/{name}.txt").write_text("hello")
    look.prepare("generic", tmp_path / "in", tmp_path / "header", max_rejected=0.5)
    assert [r["reason"] for r in look.lines(tmp_path / "header/rejected.jsonl")] == ["damaged"]
    lay.tone(tmp_path / "in/fine.wav")
    (tmp_path / "in/fine.txt").write_text("HELLO\nthere")
    limits = Limits(decode=True, lower_case=True)
    look.prepare("generic", tmp_path / "in", tmp_path / "whole", max_rejected=0.9, limits=limits)
    assert [r["reason"] for r in look.lines(tmp_path / "whole/rejected.jsonl")] == ["damaged", "silent"]
    assert [u["text"] for u in look.lines(tmp_path / "whole/utterances_train.jsonl")] == ["hello there"]


def test_too_many_rejected_fails_and_keeps_the_journal(tmp_path, lay, look):
    table, out = make_bad(tmp_path / "in", lay), tmp_path / "out"
    with pytest.raises(
        MostError, match=r"14 of 17 items were rejected: bad row \(2\).*such as all.jsonl:14: .*\.journal"
    ):
        look.prepare("generic", table, out)
    assert not (out / "README.md").exists()
    assert len((out / ".journal/train.jsonl").read_text().splitlines()) == 18
    opened = []
    real = sf.info
    try:
        sf.info = lambda p: opened.append(p) or real(p)
        look.prepare("generic", table, out, max_rejected=0.95)
    finally:
        sf.info = real
    assert opened == []
    assert not (out / ".journal").exists()


def test_a_hopeless_source_fails_early(tmp_path, look):
    rows = "".join(json.dumps({"audio": f"{k}.wav", "text": "x"}) + "\n" for k in range(3000))
    (tmp_path / "m.jsonl").write_text(rows)
    with pytest.raises(MostError, match="1000 of the first 1000 items"):
        look.prepare("generic", tmp_path / "m.jsonl", tmp_path / "out")
    with pytest.raises(MostError, match="1000 of the first 1000 items"):
        look.prepare("generic", tmp_path / "m.jsonl", tmp_path / "out")


def test_a_changed_source_is_noticed(tmp_path, lay, look):
    table, out = make_bad(tmp_path / "in", lay), tmp_path / "out"
    with pytest.raises(MostError, match="were rejected"):
        look.prepare("generic", table, out)
    journal = out / ".journal/train.jsonl"
    journal.write_text("\n".join(journal.read_text().splitlines()[:5]) + '\n{"torn')
    table.write_text(table.read_text().replace("Another", "Changed"))
    with pytest.raises(MostError, match="no longer what train held"):
        look.prepare("generic", table, out, max_rejected=1.0)


RUN = """
import sys, time
import most.data.corpora.prepare as p
real, slow = p.check, float(sys.argv[3])
def check(*args, **kwargs):
    time.sleep(slow)
    return real(*args, **kwargs)
p.check = check
import most.data.corpora.journal as j
j._FLUSH_EVERY = 1
p.prepare("librispeech", sys.argv[1], sys.argv[2], workers=2, progress=False)
"""


def test_killed_anywhere_it_resumes_to_the_same_bytes(tmp_path, librispeech, prepared, look):
    out = prepared.parent / "killed"
    shutil.rmtree(out, ignore_errors=True)
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = []
    for lines_wanted in (3, 6, 11):
        run = subprocess.Popen([sys.executable, "-c", RUN, librispeech, out, "0.25"], env=env)
        journals = [out / ".journal" / f"{s}.jsonl" for s in ("train-clean-100", "dev-clean")]
        deadline = time.time() + 30
        while time.time() < deadline and run.poll() is None:
            n = sum(len(j.read_bytes().splitlines()) for j in journals if j.exists())
            if n >= lines_wanted:
                break
            time.sleep(0.02)
        os.kill(run.pid, signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
        done.append(n)
    assert not (out / "README.md").exists()
    journal = journals[1] if journals[1].exists() else journals[0]
    journal.write_bytes(journal.read_bytes()[:-7])  # and the last line torn
    opened = []
    real = sf.info
    try:
        sf.info = lambda p: opened.append(p) or real(p)
        look.prepare("librispeech", librispeech, out)
    finally:
        sf.info = real
    assert 0 < len(opened) <= 18 - done[-1]  # one line is the first split's end, one was torn
    assert look.tree(out) == look.tree(prepared)


def test_killed_between_the_last_files_it_ends_the_same(librispeech, prepared, look, monkeypatch):
    from most.data.corpora import prepare, write

    for n, name in enumerate(("write_cuts", "write_rejected", "write_text")):
        out = prepared.parent / f"late{n}"

        def die(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(write, name, die) if name != "write_text" else patch.setattr(
                prepare, name, lambda p, c: die() if p.name == "README.md" else p.write_text(c)
            )
            with pytest.raises(KeyboardInterrupt):
                look.prepare("librispeech", librispeech, out)
        look.prepare("librispeech", librispeech, out)
        assert look.tree(out) == look.tree(prepared)


def test_a_folder_behind_a_link_finds_its_audio(tmp_path, librispeech, prepared, look):
    (tmp_path / "disk/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk/deep")
    look.prepare("librispeech", librispeech, tmp_path / "link/set", splits=["dev-clean"])
    assert all(u.audio.path.is_file() for u in read_utterances(tmp_path / "link/set/utterances_dev-clean.jsonl"))


def test_two_at_once_are_refused(tmp_path, librispeech, look):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/prepare.json").write_text('{"settings": {}}')
    with Journal(tmp_path / "out/.journal/train-clean-100.jsonl").writer():  # noqa: SIM117
        with pytest.raises(MostError, match="another `most data prepare`"):
            look.prepare("librispeech", librispeech, tmp_path / "out")


def test_bad_arguments(tmp_path, librispeech, look):
    for match, kwargs in (
        ("--split", {"splits": ["train-clean-1000"]}), ("--tasks", {"tasks": ["stt"]}), ("--tasks", {"tasks": []}),
        ("--max-rejected", {"max_rejected": 2.0}),
    ):  # fmt: skip
        with pytest.raises(MostError, match=match):
            look.prepare("librispeech", librispeech, tmp_path / "out", **kwargs)
    assert not (tmp_path / "out").exists()
    with pytest.raises(MostError, match="min_seconds"):
        Limits(min_seconds=5, max_seconds=4)
