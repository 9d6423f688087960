"""`most data prepare` on the command line: options arrive, mistakes are one line."""

from __future__ import annotations

import json

import pytest

from most.cli import main
from most.cli.data import CORPUS_NAMES
from most.data.corpora.table import CORPORA


def most(monkeypatch, *args):
    monkeypatch.setattr("sys.argv", ["most", "data", "prepare", *map(str, args)])
    with pytest.raises(SystemExit) as e:
        main()
    return e.value.code


def test_help_names_every_corpus():
    assert (*CORPORA, "release") == CORPUS_NAMES


def test_prepare(tmp_path, lay, monkeypatch, capsys, look):
    lay.tone(tmp_path / "x/a.wav")
    (tmp_path / "m.csv").write_text("clip,words\na.wav,HELLO\n")
    code = most(monkeypatch, "generic", tmp_path / "m.csv", "--out", tmp_path / "out", "--audio-root", tmp_path / "x",
                "--audio-column", "clip", "--text-column", "words", "--tasks", "asr", "--lower-case",
                "--licence", "my own", "--workers", 1)  # fmt: skip
    assert code in (0, None)
    said = capsys.readouterr().out
    assert said.startswith("reads recordings, train, from ")
    assert "1 of 1 items kept" in said
    assert [r["turns"][1] for r in look.lines(tmp_path / "out/train.jsonl")] == [{"role": "assistant", "text": "hello"}]
    assert "license_name: my own" in (tmp_path / "out/README.md").read_text()


def test_release_and_mistakes(tmp_path, monkeypatch, capsys):
    row = {"instruction": "Say it.", "input": "Hi.", "output": "[Hu3]"}
    (tmp_path / "r.jsonl").write_text(json.dumps(row) + "\n")
    assert most(monkeypatch, "release", tmp_path / "r.jsonl", "--out", tmp_path / "r", "--n-units", 4) in (0, None)
    capsys.readouterr()
    for args, word in (
        (("release", tmp_path / "r.jsonl", "--out", tmp_path / "q", "--language", "en"), "--language"),
        (("librispeech", tmp_path, "--out", tmp_path / "q"), "source"),
        (("librispech", tmp_path, "--out", tmp_path / "q"), "did you mean 'librispeech'"),
    ):
        assert most(monkeypatch, *args) == 2
        assert word in capsys.readouterr().err
