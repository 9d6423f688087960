"""Plain text for the text share: a file or folder of `.txt` or `.jsonl` (with `text`), gzipped or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TextIO

from most.data.corpora.base import UNKNOWN_LICENCE, Item, bad_row, open_text, read_jsonl
from most.errors import MostError, nearest

ENDINGS = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
DOCUMENTS = ("line", "paragraph", "file")


@dataclass(frozen=True, kw_only=True)
class TextFiles:
    """`source` is a file or a folder of files, taken in the order of their names; all is `train`.

    Args:
        document: what a document is in a `.txt`: a line, a paragraph (blank lines between) or the whole file.
        text_column: the field of a JSONL line that holds its text.
        licence: of the text, for the card.
        url: where it comes from, for the card.
    """

    source: Path
    document: str = "line"
    text_column: str = "text"
    licence: str = UNKNOWN_LICENCE
    url: str = ""
    title: ClassVar[str] = "text"
    text_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.document not in DOCUMENTS:
            raise MostError("--document", self.document, nearest(self.document, DOCUMENTS))

    def splits(self) -> tuple[str, ...]:
        if not self._files():
            raise MostError("source", self.source, f"holds no file that ends in {', '.join(ENDINGS)}")
        return ("train",)

    def _files(self) -> list[Path]:
        if self.source.is_dir():
            return sorted(p for p in self.source.rglob("*") if p.name.endswith(ENDINGS) and p.is_file())
        if not self.source.is_file():
            raise MostError("source", self.source, "no such file or folder; for a dataset of the hub use hf-text")
        return [self.source]

    def items(self, split: str) -> Iterator[Item]:
        root = self.source if self.source.is_dir() else self.source.parent
        for path in self._files():
            name = path.relative_to(root).as_posix()
            if ".jsonl" in path.suffixes:
                yield from self._json_items(path, name)
                continue
            with open_text(path) as f:
                for number, text in enumerate(_documents(f, self.document), 1):
                    yield Item(id=f"{name}:{number}", text=text)

    def _json_items(self, path: Path, name: str) -> Iterator[Item]:
        for number, row in read_jsonl(path):
            text = row.get(self.text_column) if row is not None else None
            if isinstance(text, str):
                yield Item(id=f"{name}:{number}", text=text)
            else:
                detail = "is not a JSON object" if row is None else f"has no text under {self.text_column!r}"
                yield bad_row(path, number, detail)


def _documents(f: TextIO, document: str) -> Iterator[str]:
    if document == "file":
        yield f.read()
        return
    held: list[str] = []
    for line in f:
        if line.strip():
            held.append(line.rstrip("\r\n"))
        if held and (document == "line" or not line.strip()):
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)
