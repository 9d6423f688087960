"""An array in a `.npy` file that grows by rows; numpy reads it at any time, while a run writes it and after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from most.errors import MostError


class GrowingArray:
    """Rows (R, *shape) in a file. The header is written after a row, so a torn row is no row.

    Args:
        path: made when absent; else what it holds is kept.
        shape, dtype: of a row.

    Raises:
        MostError: the file holds rows of another kind.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype | type) -> None:
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self.n_rows = 0
        if path.is_file() and path.stat().st_size:
            try:
                held = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as e:
                raise MostError("watch", path, f"cannot be read ({e}); delete the folder it is in") from e
            if held.shape[1:] != shape or held.dtype != self.dtype:
                raise MostError("watch", path, f"holds rows {held.shape[1:]}, not {shape}; delete the folder it is in")
            self.n_rows = len(held)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self._write_header(0)

    def append(self, row: np.ndarray) -> None:
        data = np.ascontiguousarray(row, dtype=self.dtype).reshape(self.shape).tobytes()
        with self.path.open("r+b") as f:
            f.seek(self._header_bytes + self.n_rows * len(data))
            f.write(data)
        self._write_header(self.n_rows + 1)

    def keep(self, n_rows: int) -> None:
        """Forget all rows but the first."""
        self._write_header(min(n_rows, self.n_rows))

    def _write_header(self, n_rows: int) -> None:
        # numpy leaves room in the header for the first axis to grow.
        header = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (n_rows, *self.shape)}
        with self.path.open("r+b") as f:
            npy.write_array_header_1_0(f, header)
        self.n_rows = n_rows

    @property
    def _header_bytes(self) -> int:
        with self.path.open("rb") as f:
            npy.read_magic(f)
            npy.read_array_header_1_0(f)
            return f.tell()
