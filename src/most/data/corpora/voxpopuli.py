"""VoxPopuli's transcribed English (Wang et al. 2021), in any of its three published layouts.

1. `transcribed_data/en/asr_SPLIT.tsv` with `YEAR/ID.ogg`, as the authors' `get_asr_data.py` writes it;
2. `asr_SPLIT.tsv` with `ID.wav` in folders, as the Hugging Face release unpacks (`data/en/`);
3. `raw_audios/` (whole sessions) with `asr_en.tsv.gz`, of which stretches are taken and no audio is written.

Not read through lhotse's recipe: it fetches the table from the network, knows layout 3 only, opens every session
before it returns and ends at the first it cannot read. A test gives it the table and holds layout 3 against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from most.data.corpora.base import Item, bad_row, read_table, require_folder
from most.errors import MostError, nearest
from most.manifest import AudioRef

SPLITS = ("train", "dev", "test")
COLUMNS = {"normalized_text": "normed_text", "raw_text": "original_text"}
"""Text columns of layouts 1 and 2, and what layout 3 calls them."""
AUDIO = (".ogg", ".wav", ".flac")


@dataclass(frozen=True, kw_only=True)
class VoxPopuli:
    """`source` is the root given to the authors' scripts, or the folder that holds the tables.

    Args:
        language: which tables to read.
        text_column: `normalized_text` (lower case, spelled out; always there) or `raw_text` (case and punctuation;
            empty for part of the corpus, which is then rejected).
    """

    source: Path
    language: str = "en"
    text_column: str = "normalized_text"
    title: ClassVar[str] = "VoxPopuli"
    licence: ClassVar[str] = "cc0-1.0"
    url: ClassVar[str] = "https://github.com/facebookresearch/voxpopuli"
    text_only: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.text_column not in COLUMNS:
            raise MostError("--text-column", self.text_column, nearest(self.text_column, COLUMNS))

    @cached_property
    def _tables(self) -> dict[str, Path]:
        """Split -> table; all splits in one table for layout 3."""
        root = require_folder(self.source, "the root that VoxPopuli's scripts wrote to")
        for folder in (root, root / "transcribed_data" / self.language, root / "data" / self.language):
            found = {s: folder / f"asr_{s}.tsv" for s in SPLITS if (folder / f"asr_{s}.tsv").is_file()}
            if found:
                return found
        for folder in (root, root / "transcribed_data" / self.language, root / "annotations" / "asr"):
            path = folder / f"asr_{self.language}.tsv.gz"
            if path.is_file():
                return dict.fromkeys(SPLITS, path)
        wanted = f"asr_train.tsv (below transcribed_data/{self.language}) or asr_{self.language}.tsv.gz"
        raise MostError("source", root, f"holds neither {wanted}; run VoxPopuli's get_asr_data, or fetch the table")

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Audio files by the name that tables use."""
        root = self.source / "raw_audios" if self._whole_sessions else self._tables[next(iter(self._tables))].parent
        ending = re.compile(rf"_({re.escape(self.language)}|original)$") if self._whole_sessions else None
        found: dict[str, Path] = {}
        for path in sorted(root.rglob("*")):
            if path.suffix in AUDIO:
                found.setdefault(ending.sub("", path.stem) if ending else path.stem, path)
        return found

    @property
    def _whole_sessions(self) -> bool:
        return next(iter(self._tables.values())).suffix == ".gz"

    def splits(self) -> tuple[str, ...]:
        return tuple(self._tables)

    def items(self, split: str) -> Iterator[Item]:
        table = self._tables[split]
        for number, row in read_table(table, "|" if self._whole_sessions else "\t", quoted=self._whole_sessions):
            if row is None:
                yield bad_row(table, number, "has not the fields that the header names")
            elif self._whole_sessions:
                if row.get("split") == split:
                    yield self._stretch(table, number, row)
            else:
                name = row.get("id", "")
                audio = AudioRef(path=self._files.get(name, table.parent / name[:4] / f"{name}.ogg"))
                yield Item(id=name, audio=audio, text=row.get(self.text_column), speaker=row.get("speaker_id") or "")

    def _stretch(self, table: Path, number: int, row: dict[str, str]) -> Item:
        try:
            session, start = row["session_id"], float(row["start_time"])
            expected = self.source / "raw_audios" / "original" / session[:4] / f"{session}_original.ogg"
            audio = AudioRef(
                path=self._files.get(session, expected), start=start, duration=float(row["end_time"]) - start
            )
            name = f"{session}-{row['id_']}"
        except (KeyError, ValueError) as e:
            return bad_row(table, number, f"bounds or ids cannot be read ({e})")
        text = row.get(COLUMNS[self.text_column])
        return Item(id=name, audio=audio, text=text, speaker=row.get("speaker_id") or "", recording=session)
