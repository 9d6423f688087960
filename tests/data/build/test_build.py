"""Builds: what is there is left alone, what stopped goes on, what changed is noticed, and the sums are right."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from most.data.arrays import ArrayStore, audio_key
from most.data.build import stamps
from most.data.build.held_out import held_out
from most.data.build.stamps import Stamp
from most.errors import MostError
from most.manifest import read_examples

SLOW, TONES = Path(__file__).with_name("slow.py"), Path(__file__).parents[1] / "dialogue" / "voice" / "tones.py"


def same(one: Path, two: Path, contents) -> None:
    """Every byte. Of arrays, whose parts may be cut otherwise, every array; journals are in the order of a run."""
    a, b = contents(one), contents(two)
    for files in (a, b):
        for name in list(files):
            if name.startswith(("arrays/", ".build/arrays", ".build/lock")) or name.endswith(".journal.jsonl"):
                del files[name]
    assert a.keys() == b.keys()
    assert [n for n in a if a[n] != b[n]] == []
    for kind in ("frames", "units"):
        first, second = ArrayStore(one / "arrays" / kind), ArrayStore(two / "arrays" / kind)
        audio = {t.audio for e in read_examples(one / "voices" / "train.jsonl") for t in e.turns if t.audio}
        keys = [key for key in (audio_key(ref, one / "voices") for ref in audio) if key in first]
        assert len(keys) == len(first) == len(second) > 0
        assert all(np.array_equal(first[key], second[key]) for key in keys)


def test_everything_is_made_once_and_summed(tree, run, tmp_path, contents):
    summary, said = run(tree)
    out = tmp_path / "out"
    assert "people (prepare): left out, variables.people is not set" in said
    assert "voices (read-aloud): to do; reads @sentences/train.jsonl" in said
    steps = summary["steps"]
    train = [json.loads(line)["text"] for line in (out / "sentences/train.jsonl").read_text().splitlines()]
    test = [json.loads(line)["text"] for line in (out / "sentences/test.jsonl").read_text().splitlines()]
    assert len(train) + len(test) == 14
    assert train
    assert test
    assert all(held_out(t, 0.3) for t in test)
    for part in ("train", "test"):  # so that a slice of them is an even draw, however the sources are sorted
        digests = [json.loads(line)["id"] for line in (out / f"sentences/{part}.jsonl").read_text().splitlines()]
        assert digests == sorted(digests)
    made = steps["voices"]["examples"]["train.jsonl"]
    assert made["tasks"]["asr"] == len(train)
    assert 0 < made["tasks"]["tts"] < len(train)
    assert made["speakers"] == ["tones:low", "tones:mid"]
    seconds = sum(e.meta["seconds"] for e in read_examples(out / "voices/train.jsonl") if e.task == "asr")
    assert made["hours"] == pytest.approx(seconds / 3600, abs=1e-4)
    assert steps["test-unheard"]["examples"]["test_unheard.jsonl"]["speakers"] == ["tones:high"]
    assert steps["people"] == {"verb": "prepare", "not_made": "variables.people is not set"}
    assert summary["totals"]["train"]["tasks"]["text"] == len(train)
    assert summary["totals"]["test"]["tasks"] == {"asr": len(test), "tts": len(test)}
    assert json.loads((out / "build.json").read_text()) == summary

    before = contents(out)
    changed = {p: p.stat().st_mtime_ns for p in (out / "voices").rglob("*")}
    again, said = run(tree)
    assert again == summary
    assert said.count(": done; reads") == 9
    assert "begins" not in said
    assert contents(out) == before
    assert changed == {p: p.stat().st_mtime_ns for p in (out / "voices").rglob("*")}


def test_another_place_makes_the_same_bytes(tree, run, tmp_path, contents, texts):
    run(tree)
    shutil.copytree(texts.parent, tmp_path / "elsewhere", copy_function=shutil.copy2)
    moved = {**tree, "variables": {**tree["variables"], "texts": str(tmp_path / "elsewhere")}}
    run(moved, "two")
    same(tmp_path / "out", tmp_path / "two", contents)


def test_stopped_before_and_after_each_step_it_ends_with_the_same_bytes(tree, run, tmp_path, contents, monkeypatch):
    run(tree, "whole")
    write, said = Stamp.write, []
    for attempt in range(2 * len(tree["steps"])):
        left = 1 + attempt % 2  # the stamp of a step that begins, and every other time that of its end

        def dies(self, root, name):
            nonlocal left
            if not left:
                raise KeyboardInterrupt
            left -= 1
            write(self, root, name)

        with monkeypatch.context() as patch:
            patch.setattr(Stamp, "write", dies)
            try:
                said.append(run(tree)[1])
                break
            except KeyboardInterrupt:
                said.append(run(tree, dry_run=True)[1])
    assert len(said) == 2 * (len(tree["steps"]) - 1)  # one is left out
    assert all((": goes on; reads" in text) == (n % 2 == 0) for n, text in enumerate(said[:-1]))
    same(tmp_path / "whole", tmp_path / "out", contents)


def test_killed_while_it_speaks_it_ends_with_the_same_bytes(tree, run, tmp_path, contents):
    run(tree, "whole")
    out = tmp_path / "killed"
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**tree, "output": str(out)}, sort_keys=False))
    process = subprocess.Popen(
        [sys.executable, str(SLOW), str(TONES), str(tmp_path / "recipe.yaml"), "steps.voices.workers=2"],
        start_new_session=True,
        stdout=subprocess.DEVNULL, env={**os.environ, "TONES_SLOW_SECONDS": "0.2"},
    )  # fmt: skip
    deadline = time.monotonic() + 100
    while len(list(out.glob("voices/audio/**/*.flac"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.5)  # the workers see that their parent is gone
    assert 3 <= len(list(out.glob("voices/audio/**/*.flac"))) < 9
    assert not (out / "build.json").exists()
    _, said = run(tree, "killed")
    assert "voices (read-aloud): goes on" in said
    same(tmp_path / "whole", out, contents)


def test_what_changed_is_refused_and_made_anew_with_all_that_reads_it(tree, run, tmp_path, texts):
    first, _ = run(tree)
    tree["steps"]["voices"]["seed"] = 5
    with pytest.raises(MostError, match=r"voices: 'seed was 0'.*--remake.*anew: voices, arrays"):
        run(tree)
    _, said = run(tree, dry_run=True)
    assert "arrays (encode): changed: manifests[0]: @voices has changed" in said
    second, said = run(tree, remake=True)
    assert {n for n in first["steps"] if first["steps"][n] != second["steps"][n]} == {"voices", "arrays"}
    assert "sentences: begins" not in said
    # Workers change nothing that is made.
    tree["steps"]["voices"]["workers"] = 2
    assert "begins" not in run(tree)[1]
    del tree["steps"]["voices"]["workers"]
    texts.write_text("Another sentence altogether.\n" + texts.read_text())
    with pytest.raises(
        MostError, match=r"sources\[0\].fingerprint: what lies there has changed.*anew: sentences, text"
    ):
        run(tree)
    run(tree, remake=True)
    (tmp_path / "out/text/train.jsonl").write_text("")
    with pytest.raises(MostError, match="its files are not those it wrote"):
        run(tree)


@pytest.mark.parametrize("limit", [1 << 26, 0], ids=["whole", "ends"])
def test_a_copy_of_a_folder_is_the_same_source(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(stamps, "_WHOLE_BYTES", limit)
    first, copy = tmp_path / "first", tmp_path / "copy"
    for folder in (first, copy):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep/words.txt").write_bytes(bytes(range(256)) * 40)
    os.utime(copy / "deep/words.txt", (1, 1))
    assert stamps.fingerprint(first) == stamps.fingerprint(copy)
    for where in (0, -1):
        data = bytearray((first / "deep/words.txt").read_bytes())
        data[where] ^= 1
        (copy / "deep/words.txt").write_bytes(data)
        assert stamps.fingerprint(first) != stamps.fingerprint(copy)
    assert stamps.fingerprint(first / "deep/words.txt") != stamps.fingerprint(copy / "deep/words.txt")


def test_a_dry_run_writes_nothing(tree, run, tmp_path):
    _, said = run(tree, dry_run=True)
    assert not (tmp_path / "out").exists()
    assert "about 14 items" in said
    assert "h of speech" in said


def test_two_at_once_are_refused(tree, run, monkeypatch):
    from most.data.build import run as module

    def also(planned, root, echo, progress):
        with module._alone(root):
            pass

    monkeypatch.setattr(module, "_make", also)
    with pytest.raises(MostError, match="another `most data build` is at work"):
        run(tree)
