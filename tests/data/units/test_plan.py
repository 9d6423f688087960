"""The plan: which audio, in which shards; and what a changed manifest or a mended file makes of it."""

from __future__ import annotations

import json

import pytest

from most.data.arrays import ArrayStore
from most.data.encode import units_job
from most.data.units.plan import Plan
from most.data.units.shard import encode_shard
from most.errors import MostError
from most.manifest import AudioRef, Example, Turn, read_utterances, write_jsonl
from most.speech.audio import read_audio, write_audio


@pytest.fixture
def plan(whisper, recordings, tmp_path):
    def make(manifests=(recordings,), size=4, wanted="all", **job):
        return Plan(list(manifests), units_job(tmp_path / "units", whisper, wanted, **job), size)

    return make


def keys(plan):
    return [[key for key, _ in shard.items] for shard in plan]


def some(recordings, name, indexes):
    rows = read_utterances(recordings)
    write_jsonl(recordings.with_name(name), [rows[i] for i in indexes])
    return recordings.with_name(name)


def test_shards_follow_the_manifest(plan):
    made = plan()
    names = [f"{i}{('.wav', '.flac')[i % 2]}" for i in range(14)]
    assert keys(made) == keys(plan()) == [names[0:4], names[4:8], names[8:12], names[12:14]]
    assert (made.total, made.kept, made.todo, len(made)) == (14, 0, 14, 4)
    assert [s.name for s in made] == [s.name for s in plan()]
    assert made.seconds == pytest.approx(sum(0.2 * (1 + i // 2) for i in range(14)), rel=0.01)


def test_new_items_become_new_shards_and_done_ones_stay(plan, whisper, recordings):
    first = some(recordings, "first.jsonl", [0, 1, 2, 3, 6, 7])
    for shard in plan([first]):
        encode_shard(shard, whisper)
    parts = ArrayStore(plan().job.folder).parts
    grown = plan([some(recordings, "grown.jsonl", [5, 0, 1, 4, 2, 3, 6, 7, 9])])
    assert (grown.total, grown.kept, keys(grown)) == (9, 6, [["5.flac", "4.wav", "9.flac"]])
    for shard in grown:
        encode_shard(shard, whisper)
    store = ArrayStore(grown.job.folder)
    assert set(parts) < set(store.parts)
    assert len(store) == 9
    assert plan([first]).todo == 0


def test_both_kinds_of_manifest_and_each_audio_once(plan, recordings):
    a, b, c = (recordings.parent / f"{i}.wav" for i in (0, 2, 4))
    turns = [
        (Turn(role="user", audio=AudioRef(path=a)), Turn(role="assistant", audio=AudioRef(path=b))),
        (Turn(role="user", audio=AudioRef(path=b, duration=0.2)), Turn(role="assistant", audio=AudioRef(path=b))),
        (Turn(role="system", text="no audio"), Turn(role="document", audio=AudioRef(path=c))),
    ]
    rows = [Example(id=str(i), task="dialogue", turns=t) for i, t in enumerate(turns)]
    write_jsonl(recordings.with_name("examples.jsonl"), rows)
    manifests = [recordings.with_name("examples.jsonl"), some(recordings, "two.jsonl", [0, 1])]
    assert keys(plan(manifests, size=9)) == [["0.wav", "2.wav", "2.wav@0.000000+0.200000", "4.wav", "1.flac"]]
    assert keys(plan(manifests[:1], wanted="heard")) == [["0.wav", "2.wav@0.000000+0.200000"]]
    assert keys(plan(manifests[:1], wanted="said")) == [["2.wav", "4.wav"]]


def test_rejected_audio_is_tried_again_when_it_has_changed(plan, whisper, recordings, tmp_path):
    bad, late = tmp_path / "bad.wav", tmp_path / "late.wav"
    bad.write_bytes(b"RIFF")
    (tmp_path / "m.jsonl").write_text("".join(json.dumps({"audio": p.name}) + "\n" for p in (bad, late)))
    for shard in plan([tmp_path / "m.jsonl"]):
        assert encode_shard(shard, whisper).rejected == 2
    again = plan([tmp_path / "m.jsonl"])
    assert (again.todo, again.rejected) == (0, 2)
    assert plan([tmp_path / "m.jsonl"], max_seconds=900.0).todo == 1
    write_audio(late, read_audio(recordings.parent / "0.wav"), 16000)
    for seal in (False, True):
        if seal:
            ArrayStore(again.job.folder).seal()
        assert keys(plan([tmp_path / "m.jsonl"])) == [["late.wav"]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "x"}', "neither 'audio'"),
        ('{"turns": [{"role": "usr", "audio": "0.wav"}]}', "did you mean 'user'"),
        ('{"audio": {"pth": "0.wav"}}', "audio"),
        ("{", "is not JSON"),
    ],
)
def test_a_bad_line_is_named(plan, tmp_path, line, message):
    (tmp_path / "m.jsonl").write_text('{"audio": "0.wav"}\n' + line + "\n")
    with pytest.raises(MostError, match=message) as error:
        plan([tmp_path / "m.jsonl"])
    assert "m.jsonl:2" in str(error.value)


def test_manifests_of_two_folders_are_refused(plan, recordings, tmp_path):
    (tmp_path / "m.jsonl").write_text('{"audio": "0.wav"}\n')
    with pytest.raises(MostError, match="one folder"):
        plan([recordings, tmp_path / "m.jsonl"])
