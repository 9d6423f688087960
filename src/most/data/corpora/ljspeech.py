"""LJSpeech 1.1 (Ito and Johnson 2017): one speaker, `metadata.csv` (id|text|normalised text, no header), `wavs/`.

Not read through lhotse's recipe: it ends at the first line that has not three fields and at the first file it cannot
read, leaves missing files out with no more than a log line, and opens every file before it returns. A test holds this
reader against it on an intact folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from most.data.corpora.base import NO_TRANSCRIPT, Item, bad_row, open_text, require_folder
from most.errors import MostError, nearest
from most.manifest import AudioRef

COLUMNS = {"text": 1, "normalized_text": 2}


@dataclass(frozen=True, kw_only=True)
class LJSpeech:
    """`source` is the folder LJSpeech-1.1.

    Args:
        text_column: `normalized_text` (numbers and abbreviations spelled out, as they are read) or `text`.
    """

    source: Path
    text_column: str = "normalized_text"
    title: ClassVar[str] = "LJSpeech"
    licence: ClassVar[str] = "public-domain"
    url: ClassVar[str] = "https://keithito.com/LJ-Speech-Dataset/"
    text_only: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.text_column not in COLUMNS:
            raise MostError("--text-column", self.text_column, nearest(self.text_column, COLUMNS))

    def splits(self) -> tuple[str, ...]:
        require_folder(self.source, "the folder LJSpeech-1.1")
        if not (self.source / "metadata.csv").is_file():
            raise MostError("source", self.source, "holds no metadata.csv; give the folder LJSpeech-1.1")
        return ("train",)

    def items(self, split: str) -> Iterator[Item]:
        table, wavs = self.source / "metadata.csv", self.source / "wavs"
        unnamed = {p.stem for p in wavs.glob("*.wav")}
        with open_text(table) as f:
            for number, line in enumerate(f, 1):
                fields = line.rstrip("\r\n").split("|")
                if len(fields) != 3:
                    if line.strip():
                        unnamed.discard(fields[0])
                        yield bad_row(table, number, f"has {len(fields)} fields, not id|text|normalised text")
                    continue
                unnamed.discard(fields[0])
                text = fields[COLUMNS[self.text_column]]
                yield Item(id=fields[0], audio=AudioRef(path=wavs / f"{fields[0]}.wav"), text=text, speaker="LJ")
        for name in sorted(unnamed):
            problem = (NO_TRANSCRIPT, "no line of metadata.csv names it")
            yield Item(id=name, audio=AudioRef(path=wavs / f"{name}.wav"), speaker="LJ", problem=problem)
