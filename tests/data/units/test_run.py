"""`most data units` from end to end: said before, counted after; killed and resumed; on Ray."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from most.cli.data import app
from most.data.arrays import ArrayStore
from most.data.encode import encode_manifests, encode_units, units_job
from most.data.units import run as module
from most.data.units.crew import Event, share_out
from most.data.units.plan import Plan
from most.data.units.run import Engine, unit_usage
from most.data.units.shard import encode_shard
from most.errors import MostError
from most.manifest import AudioRef, Utterance, read_utterances, write_jsonl
from most.speech.audio import read_audio, write_audio

QUIET = Engine(progress=False)


@pytest.fixture(scope="module")
def want(whisper, recordings):
    waves = {r.audio.path.name: read_audio(r.audio) for r in read_utterances(recordings)}
    return {key: whisper.encode(wav) for key, wav in waves.items()}


@pytest.fixture(scope="module")
def stretches(recordings):
    """A manifest of 240 stretches of the recordings."""
    rows = []
    for n in range(240):
        path = read_utterances(recordings)[n % 14].audio.path
        rows.append(Utterance(id=str(n), audio=AudioRef(path=path, start=n * 0.0005, duration=0.07)))
    write_jsonl(recordings.with_name("stretches.jsonl"), rows)
    return recordings.with_name("stretches.jsonl")


def equal(store, want):
    assert sorted(store) == sorted(want)
    for key in want:
        np.testing.assert_array_equal(store[key], want[key])


def invoke(*words):
    return CliRunner().invoke(app, ["units", *map(str, words)])


def test_it_says_what_it_reads_writes_and_costs(recordings, tiny_codec, tmp_path, want):
    words = (recordings, "--out", tmp_path, "--codec", tiny_codec, "--workers", 0, "--shard-size", 5)
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    assert all(word in result.output for word in ("reads   14 audios", "writes", "3 parts", "costs   about", "done"))
    equal(ArrayStore(tmp_path), want)
    again = invoke(*words)
    assert "reads   0 audios" in again.output
    assert "14 are done" in again.output


def test_too_many_rejected_fail_at_the_end(recordings, tiny_codec, tmp_path, want):
    silent = recordings.parent / "silent.wav"
    write_audio(silent, np.zeros(8000, np.float32), 16000)
    manifest = recordings.with_name("bad.jsonl")
    write_jsonl(manifest, [Utterance(id="s", audio=AudioRef(path=silent)), *read_utterances(recordings)])
    words = (manifest, "--out", tmp_path, "--codec", tiny_codec, "--workers", 0)
    result = invoke(*words)
    assert isinstance(result.exception, MostError)
    assert "silent" in str(result.exception)
    equal(ArrayStore(tmp_path), want)
    (row,) = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert row["key"] == "silent.wav"
    assert isinstance(invoke(*words).exception, MostError)
    assert invoke(*words, "--max-rejected", 0.1).exit_code == 0


def test_the_whole_command_killed_and_resumed(whisper, stretches, tiny_codec, tmp_path):
    words = ["data", "units", stretches, "--out", tmp_path / "out", "--codec", tiny_codec, "--shard-size", 2]
    command = subprocess.Popen([sys.executable, "-m", "most", *map(str, words)], stderr=subprocess.PIPE)
    while not list((tmp_path / "out").glob("part-*.json")):
        assert command.poll() is None
        time.sleep(0.001)
    os.kill(command.pid, signal.SIGKILL)
    # Its worker ends, too, and with it the last writer of the pipe.
    command.communicate(timeout=30)
    before = ArrayStore(tmp_path / "out")
    assert 0 < len(before) < 240
    store = encode_units([stretches], tmp_path / "out", whisper, QUIET, shard_size=2, echo=lambda _: None)
    assert set(before.parts) < set(store.parts)
    whole = encode_units([stretches], tmp_path / "whole", whisper, QUIET, shard_size=50, echo=lambda _: None)
    assert len(whole) == 240
    assert (len(store.parts), sum(len(store.part(i)) for i in range(120))) == (120, sum(map(len, whole.values())))
    equal(store, whole)


def test_a_shard_that_kills_is_named_and_all_else_done(whisper, recordings, tmp_path, monkeypatch, want):
    class OnPaper:
        """Encodes here; whoever takes 5.flac dies."""

        def __init__(self):
            self.at = {}

        def give(self, slot, shard):
            self.at[slot] = shard

        def wait(self):
            slot, shard = self.at.popitem()
            if "5.flac" in dict(shard.items):
                return [Event(slot, "died", "exit code -9")]
            return [Event(slot, "done", encode_shard(shard, whisper))]

        def start(self, slot): ...

        def dismiss(self, slot): ...

        def stop(self): ...

    monkeypatch.setitem(module.CREWS, "local", lambda *_: OnPaper())
    engine = Engine(workers=2, progress=False)
    with pytest.raises(MostError, match=r"first holds 4\.wav, 5\.flac") as error:
        encode_units([recordings], tmp_path, whisper, engine, shard_size=2, echo=lambda _: None)
    assert "exit code -9" in str(error.value)
    equal(ArrayStore(tmp_path), {key: units for key, units in want.items() if key not in ("4.wav", "5.flac")})


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray: pip install ray")
def test_on_ray(whisper, recordings, tmp_path, want):
    """A real Ray on this machine; one of two actors is killed at its first shard."""
    from most.data.units.cluster import RayCrew

    class Deadly(RayCrew):
        killed = 0

        def give(self, slot, shard):
            pid = None if self.killed else self.ray.get(self.actors[slot].pid.remote())
            super().give(slot, shard)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                self.killed += 1

    seconds = []
    plan = Plan([recordings], units_job(tmp_path, whisper, "all"), 2)
    crew = Deadly(whisper, 1, 2)
    tally = share_out(plan, crew, 2, seconds.append)
    assert (tally.n, tally.rejected, tally.lost, crew.killed) == (14, 0, [], 1)
    assert sum(seconds) == pytest.approx(tally.seconds)
    assert not crew.ray.is_initialized()
    equal(ArrayStore(tmp_path), want)


def test_training_arrays_take_utterances_too(whisper, recordings, tmp_path, want):
    done = encode_manifests([recordings], tmp_path, whisper, echo=lambda _: None, progress=False)
    assert done == {"frames": 14, "units": 14, "kept": 0}
    equal(ArrayStore(tmp_path / "units"), want)
    frames = ArrayStore(tmp_path / "frames")
    assert all(frames.length(key) == len(units) for key, units in want.items())
    assert encode_manifests([recordings], tmp_path, whisper, echo=lambda _: None)["kept"] == 28


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "rai"}, "did you mean 'ray'"),
        ({"workers": -1}, "workers"),
        ({"kind": "ray"}, "at least one"),
        ({"threads": 0}, "threads"),
        ({"max_rejected": 2}, "share"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(MostError, match=message):
        Engine(**settings)


def test_manifests_without_audio_are_refused(whisper, tmp_path):
    (tmp_path / "m.jsonl").write_text('{"turns": [{"role": "document", "text": "x"}]}\n')
    with pytest.raises(MostError, match="no audio"):
        encode_units([tmp_path / "m.jsonl"], tmp_path / "out", whisper)


def test_usage():
    assert unit_usage(4, [np.array([0, 1]), np.array([1, 0])]) == pytest.approx({"used": 0.5, "perplexity": 2.0})
