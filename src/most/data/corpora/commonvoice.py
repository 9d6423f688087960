"""Mozilla Common Voice, one language of a release: `train.tsv`, `dev.tsv`, `test.tsv` (and more) beside `clips/`.

Not read through lhotse's recipe: it wants columns that releases name differently or lack (`accents`, `variant`; 8.0 has
no `variant`), ends at the first clip it cannot read, leaves missing clips out with no more than a log line, and holds
every row in memory. A test holds this reader against it on an intact folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from most.data.corpora.base import Item, bad_row, read_table, require_folder
from most.errors import MostError
from most.manifest import AudioRef

SPLITS = ("train", "dev", "test")
MORE_SPLITS = ("validated", "other", "invalidated")
"""Prepared when asked for: `validated` holds the three above, `invalidated` clips that listeners voted down."""


@dataclass(frozen=True, kw_only=True)
class CommonVoice:
    """`source` is a language's folder (`cv-corpus-*/en`), or the release's folder above it.

    Args:
        language: the folder to take below a release's.
    """

    source: Path
    language: str = "en"
    title: ClassVar[str] = "Common Voice"
    licence: ClassVar[str] = "cc0-1.0"
    url: ClassVar[str] = "https://commonvoice.mozilla.org/datasets"
    text_only: ClassVar[bool] = False

    @property
    def _root(self) -> Path:
        require_folder(self.source, "a language's folder of an unpacked release, such as cv-corpus-17.0-2024-03-15/en")
        inner = self.source / self.language
        return inner if inner.is_dir() else self.source

    def splits(self) -> tuple[str, ...]:
        found = tuple(s for s in (*SPLITS, *MORE_SPLITS) if (self._root / f"{s}.tsv").is_file())
        if not found:
            raise MostError("source", self._root, "holds no train.tsv, dev.tsv or test.tsv; give a language's folder")
        return tuple(s for s in found if s in SPLITS) or found

    def all_splits(self) -> tuple[str, ...]:
        """With those that are prepared only when asked for by name."""
        return tuple(dict.fromkeys((*self.splits(), *(s for s in MORE_SPLITS if (self._root / f"{s}.tsv").is_file()))))

    def items(self, split: str) -> Iterator[Item]:
        table, clips = self._root / f"{split}.tsv", self._root / "clips"
        # Sentences hold unbalanced quotation marks: the table is written without quoting.
        for number, row in read_table(table, "\t", quoted=False):
            if row is None or not row.get("path") or "sentence" not in row:
                yield bad_row(table, number, "has not the fields that the header names, or no path")
                continue
            clip = clips / row["path"]
            yield Item(
                id=clip.stem, audio=AudioRef(path=clip), text=row["sentence"], speaker=row.get("client_id") or ""
            )
