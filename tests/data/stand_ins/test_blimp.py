"""Minimal pairs in every published form, equally many of each paradigm, said alike."""

from __future__ import annotations

import json
import tarfile
from collections import Counter

import numpy as np

from most.data.stand_ins.blimp import choose
from most.data.stand_ins.files import read_rows
from most.data.stand_ins.recipe import ASSETS
from most.speech.audio import read_audio


def test_the_package_has_every_paradigm():
    rows = [row for _, row in read_rows(ASSETS / "blimp-sample.jsonl")]
    counts = Counter(row["UID"] for row in rows if row)
    assert len(counts) == 67
    assert set(counts.values()) == {6}
    assert all(row and row["sentence_good"] != row["sentence_bad"] for row in rows)


def test_balanced_and_larger_limits_only_add(recipe):
    few, more = (choose(recipe("sblimp", limit=n)).items for n in (100, 170))
    counts = Counter(i.row["paradigm"] for i in few)
    assert len(few) == 100
    assert len(counts) == 67
    assert set(counts.values()) == {1, 2}
    assert {i.id for i in few} < {i.id for i in more}
    assert {i.row["group"] for i in few if i.row["paradigm"].startswith("npi")} == {"npi_licensing"}


def test_a_folder_and_a_tar_are_read_alike(recipe, tmp_path):
    data = tmp_path / "blimp" / "data"
    data.mkdir(parents=True)
    for uid in ("b_two", "a_one"):
        rows = [
            {"sentence_good": f"Good {uid} {k}.", "sentence_bad": f"Bad {uid} {k}.", "UID": uid, "pairID": str(k)}
            for k in range(3)
        ]
        (data / f"{uid}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with tarfile.open(tmp_path / "data.tar.gz", "w:gz") as tar:
        tar.add(data, "data")
    folder = choose(recipe("sblimp", source=str(tmp_path / "blimp"))).items
    packed = choose(recipe("sblimp", source=str(tmp_path / "data.tar.gz"))).items
    assert folder == packed
    assert [i.id for i in folder] == [f"{u}-{k}" for u in ("a_one", "b_two") for k in range(3)]


def test_both_sentences_are_said_alike(recipe, run):
    one = recipe("sblimp", limit=10)
    rows, _ = run("sblimp", one)
    assert len({r["voice"] for r in rows}) == 2
    for row in rows:
        loud = [np.sqrt(np.mean(read_audio(one.output / row[s]["audio"]) ** 2)) for s in ("good", "bad")]
        assert abs(20 * np.log10(loud[0] / loud[1])) < 0.5
        assert row["prompt"] is None
        # A tone a word and the same noise: what differs is what is said.
        n_words = [len(row[s]["text"].split()) for s in ("good", "bad")]
        seconds = [len(read_audio(one.output / row[s]["audio"])) for s in ("good", "bad")]
        assert (n_words[0] == n_words[1]) == (abs(seconds[0] - seconds[1]) < 400)
