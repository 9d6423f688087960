"""Stored arrays: parts of many writers as one store, its merged index, torn and foreign parts, memory."""

from __future__ import annotations

import json
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from most.data import arrays as module
from most.data.arrays import ArrayStore, audio_key, key_digest, write_part
from most.errors import MostError
from most.manifest import AudioRef


def items(n, first=0):
    rng = np.random.default_rng(first)
    return {f"k{i}": rng.integers(0, 99, size=(i % 4, 3)).astype(np.int16) for i in range(first, first + n)}


def check(store, want):
    assert (len(store), set(store)) == (len(want), set(want))
    for key, array in want.items():
        assert key in store
        assert store.length(key) == len(array)
        np.testing.assert_array_equal(store[key], array)


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 6), max_size=5), seal=st.booleans())
def test_parts_of_many_writers_are_one_store(tmp_path_factory, sizes, seal):
    folder, want = tmp_path_factory.mktemp("store"), {}
    for number, size in enumerate(sizes):
        write_part(folder, f"{number:x}", {"v": (1, 2)}, part := items(size, 10 * number))
        want |= part
    if seal:
        ArrayStore(folder).seal()
        assert bool(list(folder.glob("merged-*.npy"))) == bool(sizes)
    store = ArrayStore(folder, {"v": (1, 2)})
    check(store, want)
    check(pickle.loads(pickle.dumps(store)), want)
    digests = np.array([np.frombuffer(key_digest(k), ">u8") for k in (*want, "nobody")], dtype=np.uint64)
    assert store.present(digests).tolist() == [True] * len(want) + [False]


def test_a_merged_index_that_is_stale_is_not_used(tmp_path):
    write_part(tmp_path, "a", {}, items(3))
    ArrayStore(tmp_path).seal()
    write_part(tmp_path, "b", {}, items(3, 3))
    check(ArrayStore(tmp_path), items(3) | items(3, 3))
    ArrayStore(tmp_path).seal()
    assert len(list(tmp_path.glob("merged-*.npy"))) == 1
    check(ArrayStore(tmp_path), items(3) | items(3, 3))


def test_what_two_parts_hold_is_there_once(tmp_path):
    write_part(tmp_path, "a", {}, items(4))
    write_part(tmp_path, "b", {}, {"k1": items(4)["k1"], "new": np.zeros((2, 3), np.int16)})
    store = ArrayStore(tmp_path)
    assert len(store) == len(list(store)) == 5


def test_rejected_are_named_until_they_succeed(tmp_path):
    row = {"path": "x.wav", "reason": "is silent", "stamp": None}
    write_part(tmp_path, "a", {}, items(2), {"x": row, "y": row})
    for _ in range(2):
        store = ArrayStore(tmp_path)
        assert store.rejected == {"x": row, "y": row}
        with pytest.raises(MostError, match="is silent"):
            store["x"]
        store.seal()
    write_part(tmp_path, "b", {}, {"x": np.zeros((1, 3), np.int16)})
    ArrayStore(tmp_path).seal()
    assert [json.loads(line)["key"] for line in (tmp_path / "rejected.jsonl").read_text().splitlines()] == ["y"]
    write_part(tmp_path, "c", {}, {"y": np.zeros((1, 3), np.int16)})
    ArrayStore(tmp_path).seal()
    assert not (tmp_path / "rejected.jsonl").exists()


def test_a_writer_that_was_killed_leaves_nothing_in_the_way(tmp_path):
    write_part(tmp_path, "a", {}, items(3))
    (tmp_path / "part-a.npy.host-1.part").write_bytes(b"half")
    (tmp_path / "part-b.npy.host-2.part").write_bytes(b"half")
    np.save(tmp_path / "part-c.npy", np.zeros(3))
    ArrayStore(tmp_path).seal()
    check(ArrayStore(tmp_path), items(3))
    # Part b may still be in the making.
    assert [p.name for p in tmp_path.glob("*.part")] == ["part-b.npy.host-2.part"]


def test_foreign_torn_and_missing_are_refused(tmp_path):
    write_part(tmp_path, "a", {"units": 500}, items(4))
    with pytest.raises(MostError, match="another folder"):
        ArrayStore(tmp_path, {"units": 100})
    with pytest.raises(MostError, match="most data encode"):
        ArrayStore(tmp_path)["nothing"]
    ArrayStore(tmp_path).seal()
    with pytest.raises(MostError, match="another folder"):
        ArrayStore(tmp_path, {"units": 100})
    index = tmp_path / "part-a.json"
    head = json.loads(index.read_text())
    index.write_text(json.dumps(head | {"total": 1}))
    with pytest.raises(MostError, match="delete both"):
        ArrayStore(tmp_path)
    index.write_text(json.dumps(head)[:-4])
    with pytest.raises(MostError, match="is no index"):
        ArrayStore(tmp_path)
    index.write_text(json.dumps(head))
    (tmp_path / "part-a.npy").unlink()
    with pytest.raises(MostError, match="cannot be read"):
        ArrayStore(tmp_path)


def test_more_parts_than_may_be_open(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "OPEN_PARTS", 2)
    want = {}
    for number in range(5):
        write_part(tmp_path, str(number), {}, part := items(3, 3 * number))
        want |= part
    store = ArrayStore(tmp_path)
    check(store, want)
    assert len(store._open) == 2


def test_a_sealed_store_costs_no_memory_by_its_keys(tmp_path):
    keys = {f"speaker/chapter/{i:08d}.flac": np.zeros(1, np.int16) for i in range(50_000)}
    write_part(tmp_path, "a", {}, dict(list(keys.items())[:25_000]))
    write_part(tmp_path, "b", {}, dict(list(keys.items())[25_000:]))
    ArrayStore(tmp_path).seal()
    asked = list(keys)[::5000]
    tracemalloc.start()
    store = ArrayStore(tmp_path)
    held, parsed = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    assert all(store.length(key) == 1 for key in asked)
    assert tracemalloc.get_traced_memory()[1] < held + 20_000 < 60_000
    tracemalloc.stop()
    # One part's own index is read, for what the arrays are; no more than that.
    assert parsed < 25_000 * 600
    assert len(store) == 50_000


def test_keys_tell_stretches_apart(tmp_path):
    path = tmp_path / "a" / "x.flac"
    keys = {
        audio_key(AudioRef(path=path), tmp_path),
        audio_key(AudioRef(path=path, start=1.0), tmp_path),
        audio_key(AudioRef(path=path, start=1.0, duration=2.0), tmp_path),
    }
    assert keys == {"a/x.flac", "a/x.flac@1.000000+", "a/x.flac@1.000000+2.000000"}
