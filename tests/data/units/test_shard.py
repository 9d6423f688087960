"""One shard: the same bits whatever is beside an audio, and bad audio named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from most.data.arrays import ArrayStore, audio_key
from most.data.encode import units_job
from most.data.units.plan import Job, Shard
from most.data.units.shard import by_duration, encode_shard, one_thread, unit_dtype
from most.manifest import AudioRef, read_utterances
from most.speech.audio import read_audio, write_audio


@pytest.fixture(scope="module", params=["whisper", "hubert"])
def codec(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def alone(codec, recordings):
    """Units and frames of each recording, encoded by itself with the codec's own methods."""
    waves = {audio_key(r.audio, recordings.parent): read_audio(r.audio) for r in read_utterances(recordings)}
    units = {key: codec.encode(wav) for key, wav in waves.items()}
    frames = {
        key: codec.encoder(torch.from_numpy(wav)[None], torch.tensor([len(wav)]))[0][0].half().numpy()
        for key, wav in waves.items()
    }
    return {"units": units, "frames": frames}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    picked=st.lists(st.integers(0, 13), min_size=1, unique=True),
    batch_seconds=st.sampled_from([0.1, 1.0, 2.5, 100.0]),
    threads=st.integers(1, 3),
    kind=st.sampled_from(["units", "frames"]),
)
def test_the_same_bits_whatever_the_batch(
    codec, alone, recordings, tmp_path_factory, picked, batch_seconds, threads, kind
):
    folder = tmp_path_factory.mktemp("out")
    job = units_job(folder, codec, "all") if kind == "units" else Job(folder=folder, kind=kind, about={})
    rows = read_utterances(recordings)
    items = tuple((audio_key(rows[i].audio, recordings.parent), rows[i].audio) for i in picked)
    ticks = []
    with one_thread():
        done = encode_shard(
            Shard(job, recordings.parent, items), codec, threads=threads, batch_seconds=batch_seconds, tick=ticks.append
        )
    store = ArrayStore(folder)
    assert (done.n, done.rejected, len(store)) == (len(picked), 0, len(picked))
    assert done.seconds == pytest.approx(sum(ticks), rel=0.01)
    for key, _ in items:
        np.testing.assert_array_equal(store[key], alone[kind][key])
        assert store[key].dtype == (np.int16 if kind == "units" else np.float16)


@given(st.lists(st.floats(0.1, 30), max_size=30), st.floats(1, 60))
def test_batches_go_by_duration_within_their_bound(seconds, bound):
    items = [(str(i), AudioRef(path=Path(str(i)), duration=s)) for i, s in enumerate(seconds)]
    batches = list(by_duration(items, bound))
    assert sorted(int(key) for batch in batches for key, _, _ in batch) == list(range(len(seconds)))
    assert all(len(batch) == 1 or len(batch) * batch[0][2] <= bound for batch in batches)
    flat = [s for batch in batches for _, _, s in batch]
    assert flat == sorted(flat, reverse=True)


def test_bad_audio_is_named_and_stops_nothing(whisper, recordings, tmp_path):
    good = read_audio(recordings.parent / "0.wav")
    write_audio(tmp_path / "good.wav", good, 16000)
    write_audio(tmp_path / "silent.wav", np.zeros(8000, np.float32), 16000)
    write_audio(tmp_path / "short.wav", good[:300], 16000)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "good.wav").read_bytes()[:1000])
    (tmp_path / "text.wav").write_text("not audio")
    names = ["silent.wav", "good.wav", "short.wav", "empty.wav", "cut.wav", "text.wav", "none.wav"]
    job = units_job(tmp_path / "out", whisper, "all")
    shard = Shard(job, tmp_path, tuple((name, AudioRef(path=tmp_path / name)) for name in names))
    done = encode_shard(shard, whisper)
    store = ArrayStore(tmp_path / "out", job.about)
    assert (done.n, done.rejected, list(store)) == (1, 6, ["good.wav"])
    words = {"silent": "silent", "short": "25 ms", "empty": "0 bytes", "cut": "truncated", "text": "decoded"}
    for name, word in (words | {"none": "no such file"}).items():
        assert word in store.rejected[f"{name}.wav"]["reason"]


def test_units_take_two_bytes_where_they_fit():
    assert [unit_dtype(n) for n in (500, 32768, 32769)] == [np.int16, np.int16, np.int32]
