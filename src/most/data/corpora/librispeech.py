"""LibriSpeech (Panayotov et al. 2015, openslr.org/12), and mini LibriSpeech, as unpacked from the published archives.

Layout: `SPLIT/SPEAKER/CHAPTER/SPEAKER-CHAPTER-UTTERANCE.flac` and a `SPEAKER-CHAPTER.trans.txt` in each chapter.

Not read through lhotse's recipe: it ends at the first file or transcript it cannot read, leaves missing files out with
no more than a log line, and opens every file before it returns. A test holds this reader against it on intact folders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from most.data.corpora.base import NO_TRANSCRIPT, Item, open_text, require_folder
from most.errors import MostError
from most.manifest import AudioRef

SPLITS = (
    "train-clean-100", "train-clean-360", "train-other-500", "train-clean-5",
    "dev-clean", "dev-other", "dev-clean-2", "test-clean", "test-other",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LibriSpeech:
    """`source` holds the splits' folders, or `LibriSpeech/` with them."""

    source: Path
    title: ClassVar[str] = "LibriSpeech"
    licence: ClassVar[str] = "cc-by-4.0"
    url: ClassVar[str] = "https://www.openslr.org/12"
    text_only: ClassVar[bool] = False

    @property
    def _root(self) -> Path:
        require_folder(self.source, "the folder LibriSpeech of the unpacked archives")
        inner = self.source / "LibriSpeech"
        return inner if inner.is_dir() else self.source

    def splits(self) -> tuple[str, ...]:
        found = tuple(s for s in SPLITS if (self._root / s).is_dir())
        if not found:
            raise MostError("source", self.source, f"holds none of the splits {', '.join(SPLITS)}; give LibriSpeech/")
        return found

    def items(self, split: str) -> Iterator[Item]:
        for chapter in sorted(p for p in (self._root / split).glob("*/*") if p.is_dir()):
            flacs = {p.stem for p in chapter.glob("*.flac")}
            for transcripts in sorted(chapter.glob("*.trans.txt")):
                with open_text(transcripts) as f:
                    for line in f:
                        name, _, text = line.strip().partition(" ")
                        if name:
                            flacs.discard(name)
                            yield _item(chapter, name, text)
            for name in sorted(flacs):
                yield _item(chapter, name, None, (NO_TRANSCRIPT, "no line of the chapter's .trans.txt names it"))


def _item(chapter: Path, name: str, text: str | None, problem: tuple[str, str] | None = None) -> Item:
    audio = AudioRef(path=chapter / f"{name}.flac")
    return Item(id=name, audio=audio, text=text, speaker=name.partition("-")[0], problem=problem)
