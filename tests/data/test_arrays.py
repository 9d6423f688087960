"""Stored arrays: round trip, resume after an interruption, torn and foreign parts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from most.data.arrays import ArrayStore, audio_key
from most.errors import MostError
from most.manifest import AudioRef


def items(n):
    rng = np.random.default_rng(0)
    return [(f"k{i}", rng.integers(0, 99, size=(i % 4 + 1, 3)).astype(np.int32)) for i in range(n)]


def test_round_trip_over_parts(tmp_path):
    store = ArrayStore(tmp_path, {"v": 1})
    assert store.extend(items(10), part_size=4) == 10
    again = ArrayStore(tmp_path)
    assert len(again) == 10
    assert again.about == {"v": 1}
    for key, array in items(10):
        assert again.length(key) == len(array)
        np.testing.assert_array_equal(again[key], array)


def test_an_interrupted_write_keeps_whole_parts_and_goes_on(tmp_path):
    def interrupted():
        yield from items(6)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ArrayStore(tmp_path, {}).extend(interrupted(), part_size=4)
    store = ArrayStore(tmp_path, {})
    assert len(store) == 4
    store.extend((item for item in items(10) if item[0] not in store), part_size=4)
    whole = ArrayStore(tmp_path / "whole", {})
    whole.extend(items(10), part_size=4)
    for key, _ in items(10):
        np.testing.assert_array_equal(ArrayStore(tmp_path, {})[key], whole[key])


def test_foreign_torn_and_missing_are_refused(tmp_path):
    ArrayStore(tmp_path, {"units": 500}).extend(items(3))
    with pytest.raises(MostError, match="another folder"):
        ArrayStore(tmp_path, {"units": 100})
    with pytest.raises(MostError, match="most data encode"):
        ArrayStore(tmp_path)["nothing"]
    index = tmp_path / "part-00000.json"
    head = json.loads(index.read_text())
    index.write_text(json.dumps(head | {"total": 1}))
    with pytest.raises(MostError, match="delete both"):
        ArrayStore(tmp_path)


def test_keys_tell_stretches_apart(tmp_path):
    path = tmp_path / "a" / "x.flac"
    keys = {
        audio_key(AudioRef(path=path), tmp_path),
        audio_key(AudioRef(path=path, start=1.0), tmp_path),
        audio_key(AudioRef(path=path, start=1.0, duration=2.0), tmp_path),
    }
    assert keys == {"a/x.flac", "a/x.flac@1.000000+", "a/x.flac@1.000000+2.000000"}
