"""A file of rows that grows, read by numpy at any time."""

from __future__ import annotations

import numpy as np
import pytest

from most.errors import MostError
from most.train.watch.growing import GrowingArray


def load(path):
    return np.load(path, allow_pickle=False)


def test_numpy_reads_it_after_each_row_and_it_goes_on_after_a_restart(tmp_path):
    path = tmp_path / "a" / "x.npy"
    rows = np.arange(24, dtype=np.int32).reshape(4, 2, 3)
    array = GrowingArray(path, (2, 3), np.int32)
    assert load(path).shape == (0, 2, 3)
    for n, row in enumerate(rows[:3]):
        array.append(row)
        assert np.array_equal(load(path), rows[: n + 1])
    GrowingArray(path, (2, 3), np.int32).append(rows[3])
    assert np.array_equal(load(path), rows)


def test_rows_are_forgotten_and_written_over(tmp_path):
    array = GrowingArray(tmp_path / "x.npy", (), np.int64)
    for step in (10, 20, 30):
        array.append(np.array(step))
    array.keep(1)
    array.append(np.array(21))
    assert load(tmp_path / "x.npy").tolist() == [10, 21]


def test_a_torn_row_is_no_row(tmp_path):
    path = tmp_path / "x.npy"
    array = GrowingArray(path, (4,), np.float32)
    array.append(np.ones(4))
    with path.open("ab") as f:
        f.write(b"\x01\x02\x03")
    assert load(path).tolist() == [[1, 1, 1, 1]]
    again = GrowingArray(path, (4,), np.float32)
    again.append(np.full(4, 2))
    assert load(path).tolist() == [[1, 1, 1, 1], [2, 2, 2, 2]]


def test_room_in_the_header_lasts_for_many_rows(tmp_path):
    array = GrowingArray(tmp_path / "x.npy", (2,), np.int64)
    size = (tmp_path / "x.npy").stat().st_size
    array._write_header(10**12)
    assert (tmp_path / "x.npy").stat().st_size == size


def test_another_kind_is_refused(tmp_path):
    GrowingArray(tmp_path / "x.npy", (2,), np.int64).append(np.zeros(2))
    with pytest.raises(MostError, match="not \\(3,\\)"):
        GrowingArray(tmp_path / "x.npy", (3,), np.int64)
    (tmp_path / "y.npy").write_bytes(b"no array")
    with pytest.raises(MostError, match="cannot be read"):
        GrowingArray(tmp_path / "y.npy", (3,), np.int64)
