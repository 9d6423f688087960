"""LibriHeavy (Kang et al. 2023, arXiv 2309.08105): the published `libriheavy_cuts_SUBSET.jsonl.gz`, read line by line.

A cut is a stretch of a LibriLight recording of many minutes; `supervisions[0].custom.texts` holds the book's text with
case and punctuation first, a recogniser's upper-case output second. The published prefix of the audio,
`download/librilight/`, is replaced by the user's own folder. lhotse has no recipe for this corpus.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from most.data.corpora.base import Item, bad_row, read_jsonl
from most.data.corpora.cuts import cut_items
from most.errors import MostError

SUBSETS = ("small", "medium", "large", "dev", "test_clean", "test_other", "test_clean_large", "test_other_large")


@dataclass(frozen=True, kw_only=True)
class LibriHeavy:
    """`source` is the folder of the published manifests, or one of them.

    Args:
        audio_root: the LibriLight folder with `small/`, `medium/`, `large/`; `librilight/` beside the manifests when
            left out.
    """

    source: Path
    audio_root: Path | None = None
    title: ClassVar[str] = "LibriHeavy"
    licence: ClassVar[str] = "apache-2.0"
    url: ClassVar[str] = "https://huggingface.co/datasets/pkufool/libriheavy"
    text_only: ClassVar[bool] = False

    def _manifests(self) -> dict[str, Path]:
        if self.source.is_file():
            match = re.fullmatch(r"libriheavy_cuts_(.+)\.jsonl(\.gz)?", self.source.name)
            return {match[1] if match else "train": self.source}
        paths = {
            s: p for s in SUBSETS for p in sorted(self.source.glob(f"libriheavy_cuts_{s}.jsonl*"))[:1] if p.is_file()
        }
        if not paths:
            raise MostError("source", self.source, "holds no libriheavy_cuts_SUBSET.jsonl.gz; give their folder")
        return paths

    @property
    def _audio_root(self) -> Path:
        if self.audio_root is not None:
            return self.audio_root
        folder = self.source if self.source.is_dir() else self.source.parent
        return folder / "librilight"

    def splits(self) -> tuple[str, ...]:
        found = tuple(self._manifests())
        if not self._audio_root.is_dir():
            raise MostError("--audio-root", self._audio_root, "no such folder; give LibriLight's, with small/ in it")
        return found

    def items(self, split: str) -> Iterator[Item]:
        path = self._manifests()[split]
        for number, cut in read_jsonl(path):
            if cut is None:
                yield bad_row(path, number, "is not a JSON object")
            else:
                yield from cut_items(cut, self._resolve, _text)

    def _resolve(self, published: str) -> Path:
        return self._audio_root / published.rpartition("librilight/")[2]


def _text(supervision: Mapping[str, Any]) -> str | None:
    texts = (supervision.get("custom") or {}).get("texts")
    return texts[0] if texts else supervision.get("text")  # the latter in the release's `cases_and_punc`
