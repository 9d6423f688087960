"""Manifests: round trips and every kind of bad line."""

from __future__ import annotations

import json

import pytest

from most.errors import MostError
from most.manifest import AudioRef, Example, Turn, Utterance, read_examples, read_utterances, write_jsonl


def test_examples_round_trip(tmp_path):
    ref = AudioRef(path=tmp_path / "a" / "x.flac", start=1.5, duration=2.0)
    rows = [
        Example(
            id="1",
            task="asr",
            turns=(Turn(role="user", audio=ref, text="Transcribe.", speaker="s"), Turn(role="assistant", text="é")),
            source="corpus",
            licence="CC0-1.0",
            meta={"take": 3},
        ),
        Example(id="2", task="text", turns=(Turn(role="document", text="hello"),)),
    ]
    path = tmp_path / "train.jsonl"
    assert write_jsonl(path, rows) == 2
    assert read_examples(path) == rows
    assert "a/x.flac" in path.read_text()
    assert str(tmp_path) not in path.read_text()


def test_utterances_round_trip(tmp_path):
    rows = [Utterance(id="u", audio=AudioRef(path=tmp_path / "x.wav"), speaker="s", text="one")]
    write_jsonl(tmp_path / "u.jsonl", rows)
    assert read_utterances(tmp_path / "u.jsonl") == rows


def test_a_failed_write_leaves_nothing(tmp_path):
    def broken():
        yield Utterance(id="u", audio=AudioRef(path=tmp_path / "x.wav"))
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        write_jsonl(tmp_path / "u.jsonl", broken())
    assert not (tmp_path / "u.jsonl").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ({"task": "asr", "turns": []}, "no field 'id'"),
        ({"id": "1", "task": "asr", "turns": []}, "at least one turn"),
        ({"id": "1", "task": "sing", "turns": [{"role": "user", "text": "x"}]}, "task.*known"),
        ({"id": "1", "task": "asr", "turns": [{"role": "usr", "text": "x"}]}, "did you mean 'user'"),
        ({"id": "1", "task": "asr", "turns": [{"role": "user"}]}, "neither text nor audio"),
        ({"id": "1", "task": "asr", "turns": [{"role": "user", "txt": "x"}]}, "did you mean 'text'"),
        ({"id": "1", "task": "asr", "turns": [{"role": "user", "audio": {"path": "x", "star": 1}}]}, "'start'"),
        ({"id": "1", "task": "asr", "turns": [{"role": "user", "audio": {"path": "x", "start": -1}}]}, ">= 0"),
        ({"id": "1", "task": "asr", "turns": [{"role": "user", "audio": {"path": "x", "duration": 0}}]}, "> 0"),
        ({"id": "1", "task": "asr", "turns": [{"role": "user", "text": "x"}], "lang": "en"}, "unknown field"),
    ],
)
def test_bad_example_lines_are_named(tmp_path, line, message):
    path = tmp_path / "m.jsonl"
    path.write_text((line if isinstance(line, str) else json.dumps(line)) + "\n")
    with pytest.raises(MostError, match=message):
        read_examples(path)


def test_bad_utterance_manifests(tmp_path):
    path = tmp_path / "m.jsonl"
    with pytest.raises(MostError, match="no such file"):
        read_utterances(path)
    path.write_text("\n")
    with pytest.raises(MostError, match="holds no utterance"):
        read_utterances(path)
    path.write_text('{"text": "x"}\n')
    with pytest.raises(MostError, match="no field 'audio'"):
        read_utterances(path)
    path.write_text('{"audio": "x.wav"}\n{"audio": "x.wav"}\n')
    with pytest.raises(MostError, match="line 1 already"):
        read_utterances(path)
