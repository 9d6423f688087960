"""What was checked, a line an item, in the order of the source: the memory of an interrupted run, and what the
manifests are written from. A line that a kill tore is cut off; items behind the last whole line are checked again.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from most.data.corpora.check import Record
from most.errors import MostError

_FLUSH_EVERY = 64


class Journal:
    """The journal of one split.

    Args:
        path: its file; need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self) -> Iterator[Record]:
        """The items written down so far, in order, without a last line that is torn."""
        if self.path.is_file():
            with self.path.open(encoding="utf-8") as f:
                for line in f:
                    if not line.endswith("\n"):
                        return
                    row = json.loads(line)
                    if "end" not in row:
                        yield row

    @property
    def complete(self) -> bool:
        """Whether the source's end was reached."""
        if not self.path.is_file():
            return False
        with self.path.open("rb") as f:
            f.seek(max(0, f.seek(0, 2) - 64))
            return f.read().rpartition(b"\n")[0].rpartition(b"\n")[2].startswith(b'{"end"')

    @contextmanager
    def writer(self, flush_every: int | None = None) -> Iterator[JournalWriter]:
        """Append to it. A torn last line is cut off first.

        Args:
            flush_every: lines that a kill may cost, 64 when left out; 1 where each is long work.

        Raises:
            MostError: another process is writing it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as f:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MostError("out", self.path.parent.parent, "another `most data prepare` is writing it") from None
            f.truncate(_whole_lines(self.path))
            yield JournalWriter(f, flush_every or _FLUSH_EVERY)


class JournalWriter:
    def __init__(self, file: IO[bytes], flush_every: int) -> None:
        self._file, self._unflushed, self._flush_every = file, 0, flush_every

    def write(self, record: dict[str, Any]) -> None:
        # ASCII: ids and paths that are not Unicode are kept as escapes.
        self._file.write(json.dumps(record).encode("ascii") + b"\n")
        self._unflushed += 1
        if self._unflushed >= self._flush_every:
            self._file.flush()
            self._unflushed = 0

    def end(self, n: int) -> None:
        self.write({"end": n})
        self._file.flush()


def _whole_lines(path: Path) -> int:
    """Bytes up to and with the last line break."""
    with path.open("rb") as f:
        end = f.seek(0, 2)
        while end > 0:
            start = max(0, end - 65536)
            f.seek(start)
            found = f.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0
