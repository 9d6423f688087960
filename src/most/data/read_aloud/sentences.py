"""Sentences from text files, JSON lines or dialogues, each with its spoken form and a name made of its text alone."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from most.data.corpora.base import read_jsonl
from most.data.corpora.text import TextFiles
from most.data.dialogue.dialogue import read_dialogues
from most.data.dialogue.spoken import chunks, to_spoken


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sentence to be said.

    Args:
        id: the same for the same spoken text, wherever it stands.
        spoken: what is said, in chunks; empty where nothing of it can be.
    """

    id: str
    text: str
    spoken: tuple[str, ...]

    @property
    def said(self) -> str:
        return " ".join(self.spoken)


def normal(text: str) -> str:
    """A text as it is compared with others: letters and digits, lower case."""
    return " ".join("".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split())


def text_digest(text: str) -> bytes:
    """16 bytes that stand for a text, whatever its case and punctuation."""
    return hashlib.blake2b(normal(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def read_texts(sources: Sequence[Path], chunk_words: int = 20) -> Iterator[str]:
    """Every sentence of the sources as written, in their order.

    Raises:
        MostError: a source is not there or holds nothing of these kinds.
    """
    for source in sources:
        if source.is_file() and ".jsonl" in source.suffixes and _holds_dialogues(source):
            for dialogue in read_dialogues(source):
                for turn in dialogue.turns:
                    yield from turn.spoken or chunks(turn.said, chunk_words)
            continue
        files = TextFiles(source=source)
        for split in files.splits():
            for item in files.items(split):
                if item.text is not None and item.text.strip():
                    yield " ".join(item.text.split())


def _holds_dialogues(path: Path) -> bool:
    return any(row is not None and "turns" in row for _, row in itertools.islice(read_jsonl(path), 1))


def read_sentences(
    sources: Sequence[Path], chunk_words: int = 20, limit: int | None = None, skip: int = 0
) -> list[Sentence]:
    """Different sentences in the order of the sources, behind the first `skip`; of those said alike only the first.

    Raises:
        MostError: as `read_texts`, or the extra `dialogue` is missing.
    """
    out: dict[str, Sentence] = {}
    for text in read_texts(sources, chunk_words):
        said = to_spoken(text)
        spoken = tuple(c for c in chunks(said, chunk_words) if any(x.isalpha() for x in c))
        id = text_digest(said if spoken else text).hex()
        out.setdefault(id, Sentence(id=id, text=text, spoken=spoken))
        if limit is not None and len(out) == skip + limit:
            break
    return list(out.values())[skip:]
