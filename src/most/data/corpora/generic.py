"""Users' own recordings: a table (CSV, TSV, JSONL) that names audio and transcripts, or a folder of audio with a `.txt`
of the same name beside each. A folder with `metadata.csv` or `metadata.jsonl` (the hub's audiofolder) is a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from most.data.corpora.base import (
    AUDIO_SUFFIXES,
    BAD_ROW,
    NO_TRANSCRIPT,
    UNKNOWN_LICENCE,
    Columns,
    Item,
    bad_row,
    open_text,
    pick_columns,
    read_jsonl,
    read_table,
)  # fmt: skip
from most.errors import MostError
from most.manifest import AudioRef

SPLIT_NAMES = ("train", "dev", "valid", "validation", "test")
TABLES = (".csv", ".tsv", ".jsonl", ".jsonl.gz", ".csv.gz", ".tsv.gz")


@dataclass(frozen=True, kw_only=True)
class Generic:
    """`source` is a table or a folder. A column `split`, or folders named train, dev, valid, validation or test, make
    splits; otherwise all is `train`.

    Args:
        audio_root: what a table's relative audio paths are relative to; the table's folder when left out.
        audio_column: the table's column of audio paths; guessed from its name where only one can be meant, as are
            `text_column`, `speaker_column` and `id_column` (without one, audio paths are the ids).
        licence: of the recordings, for the card.
        url: where they come from, for the card.
    """

    source: Path
    audio_root: Path | None = None
    audio_column: str | None = None
    text_column: str | None = None
    speaker_column: str | None = None
    id_column: str | None = None
    licence: str = UNKNOWN_LICENCE
    url: str = ""
    title: ClassVar[str] = "recordings"
    text_only: ClassVar[bool] = False

    @property
    def _table(self) -> Path | None:
        if self.source.is_dir():
            found = [p for p in (self.source / f"metadata{s}" for s in TABLES) if p.is_file()]
            return found[0] if found else None
        if not self.source.is_file():
            raise MostError("source", self.source, "no such file or folder; give a table or a folder of recordings")
        if not self.source.name.endswith(TABLES):
            raise MostError("source", self.source, f"is not one of {', '.join(TABLES)}, nor a folder of recordings")
        return self.source

    def splits(self) -> tuple[str, ...]:
        return self._splits

    @cached_property
    def _splits(self) -> tuple[str, ...]:
        table = self._table
        if table is not None:
            _, columns = self._columns(table)
            if "split" not in columns:
                return ("train",)
            found = {str(row["split"]): None for _, row in _rows(table) if row is not None and row.get("split")}
            return tuple(found)
        return tuple(s for s in SPLIT_NAMES if (self.source / s).is_dir()) or ("train",)

    def items(self, split: str) -> Iterator[Item]:
        table = self._table
        if table is None:
            folder = self.source / split if (self.source / split).is_dir() else self.source
            yield from self._folder_items(folder)
            return
        columns, names = self._columns(table)
        root = self.audio_root or table.parent
        for number, row in _rows(table):
            if row is None:
                if split == self._splits[0]:
                    yield bad_row(table, number, "cannot be read: no JSON object, or fields missing or left over")
            elif "split" not in names or str(row.get("split")) == split:
                yield _row_item(table, number, row, columns, root)

    def _columns(self, table: Path) -> tuple[Columns, tuple[str, ...]]:
        first = next((row for _, row in _rows(table) if row is not None), None)
        if first is None:
            raise MostError("source", table, "holds no row that can be read")
        given = {
            "audio": self.audio_column, "text": self.text_column,
            "speaker": self.speaker_column, "id": self.id_column,
        }  # fmt: skip
        return pick_columns(first, given, table), tuple(first)

    def _folder_items(self, folder: Path) -> Iterator[Item]:
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file()):
            name = path.relative_to(folder).with_suffix("").as_posix()
            text, problem = None, None
            try:
                with open_text(path.with_suffix(".txt")) as f:
                    text = f.read()
            except FileNotFoundError:
                problem = (NO_TRANSCRIPT, f"there is no {path.stem}.txt beside it")
            yield Item(id=name, audio=AudioRef(path=path), text=text, problem=problem)


def _rows(table: Path) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    kind = table.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "jsonl":
        return iter(read_jsonl(table))
    # Tab-separated tables are written without quoting more often than with it; CSV needs it for its commas.
    return iter(read_table(table, "\t" if kind == "tsv" else ",", quoted=kind == "csv"))


def _row_item(table: Path, number: int, row: Mapping[str, Any], columns: Columns, root: Path) -> Item:
    path, text = row.get(columns.audio), row.get(columns.text)
    if not isinstance(path, str) or not path:
        return bad_row(table, number, f"{columns.audio!r} names no file")
    if text is not None and not isinstance(text, str):
        return bad_row(table, number, f"{columns.text!r} is not text")
    name = str(row.get(columns.id) or "") if columns.id else ""
    start, duration = 0.0, None
    try:
        if columns.start:
            start, duration = float(row[columns.start] or 0), float(row[columns.duration])
            name = name or f"{path}@{start:g}"
        audio = AudioRef(path=root / path, start=start, duration=duration)
    except (KeyError, TypeError, ValueError) as e:
        return Item(id=name or path, problem=(BAD_ROW, f"{table.name}, row {number}: bounds cannot be read ({e})"))
    return Item(
        id=name or path,
        audio=audio,
        text=text,
        speaker=str(row.get(columns.speaker) or "") if columns.speaker else "",
        recording=path if columns.start else "",
    )
