"""Small files that survive a kill and a full disk: whole texts, JSON lines that are only appended to, a folder held."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from most.errors import MostError


def write_text(path: Path, text: str) -> None:
    """A small file, whole or as it was."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    os.replace(part, path)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """JSON lines; a last one that a killed process left torn is dropped. Empty when there is no file."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines) - 1:
                raise
    return rows


def append_lines(path: Path, rows: Sequence[dict[str, Any]]) -> bool:
    """Append JSON lines. On a full disk the file stays as it was, and the answer is False."""
    with path.open("ab") as f:
        before = f.tell()
        try:
            f.write("".join(json.dumps(row) + "\n" for row in rows).encode())
            f.flush()
        except OSError as e:
            os.truncate(path, before)
            if not is_disk_full(e):
                raise
            return False
    return True


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the lock ends with it, however it ends.

    Raises:
        MostError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MostError("output", folder, "another process writes into it; wait for it or end it") from None
        yield


def is_disk_full(error: BaseException) -> bool:
    """Whether a failed write means a full disk: torch and safetensors raise exceptions of their own for it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = f"{error} {error.__cause__ or ''} {error.__context__ or ''}"
    return any(f"os error {n}" in text or os.strerror(n) in text for n in (errno.ENOSPC, errno.EDQUOT))
