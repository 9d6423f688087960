"""Lines and JSON rows of a source: plain, `.gz` or `.xz`, in a folder or a tar."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from most.errors import MostError

Row = dict[str, Any]


def open_lines(path: Path) -> TextIO:
    """UTF-8 text, compressed or not.

    Raises:
        MostError: no such file.
    """
    if not path.is_file():
        raise MostError("source", path, "no such file")
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8")
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def read_rows(path: Path) -> Iterator[tuple[str, Row | None]]:
    """Every row and where it stands, of JSON lines or of a JSON list; None for what is no object.

    Args:
        path: a file, a folder of `.jsonl` (by name), or a tar of them.

    Raises:
        MostError: no such file, or one that holds no `.jsonl`.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.name.endswith((".jsonl", ".jsonl.gz", ".jsonl.xz")))
        if not files:
            raise MostError("source", path, "holds no .jsonl file")
        for file in files:
            yield from read_rows(file)
    elif ".tar" in path.suffixes or path.suffix == ".tgz":
        yield from _tar_rows(path)
    else:
        with open_lines(path) as f:
            yield from _rows(f, path.name)


def _tar_rows(path: Path) -> Iterator[tuple[str, Row | None]]:
    try:
        with tarfile.open(path) as tar:
            members = sorted((m for m in tar.getmembers() if m.name.endswith(".jsonl")), key=lambda m: m.name)
            if not members:
                raise MostError("source", path, "holds no .jsonl file")
            for member in members:
                file = tar.extractfile(member)
                assert file is not None
                with io.TextIOWrapper(file, encoding="utf-8") as text:
                    yield from _rows(text, member.name)
    except (OSError, tarfile.TarError) as e:
        raise MostError("source", path, f"cannot be read as a tar ({e})") from e


def _rows(f: TextIO, name: str) -> Iterator[tuple[str, Row | None]]:
    lines = enumerate(f, 1)
    for number, line in lines:
        if not line.strip():
            continue
        if number == 1 and (line.lstrip()[0] == "[" or _opens_object(line)):
            whole = _parse(line + f.read())
            rows = whole.get("Data", whole) if isinstance(whole, dict) else whole
            if not isinstance(rows, list):
                raise MostError("source", name, "is JSON, but neither lines nor a list of rows")
            for k, row in enumerate(rows):
                yield f"{name}:{k}", row if isinstance(row, dict) else None
            return
        row = _parse(line)
        yield f"{name}:{number}", row if isinstance(row, dict) else None


def _opens_object(line: str) -> bool:
    """Whether a first line begins an object that goes on over further lines (TriviaQA's files)."""
    return line.lstrip().startswith("{") and _parse(line) is None


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None
