"""Words to be known from pseudo-words: a pronouncing dictionary, and how often its words are used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from most.data.dialogue.voice.arpabet import check_phones
from most.data.read_aloud.sentences import read_texts, text_digest
from most.data.stand_ins.files import open_lines
from most.data.stand_ins.phonotactics import Phones
from most.errors import MostError

_WORD = re.compile(r"[a-z]+")
_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


def read_dictionary(path: Path) -> dict[str, list[Phones]]:
    """Words with their pronunciations, the first as first listed; lines as CMUdict has them: `word(2) P1 P2 # comment`.

    Raises:
        MostError: no such file, or a line that is none of a dictionary; names it.
    """
    words: dict[str, list[Phones]] = {}
    with open_lines(path) as f:
        for number, line in enumerate(f, 1):
            if line.startswith(";;;") or not line.strip():
                continue
            name, *phones = line.split("#")[0].split()
            try:
                check_phones(phones)
            except MostError as e:
                raise MostError("source", f"{path}:{number}", f"is no line of a dictionary ({e.remedy})") from e
            words.setdefault(name.split("(")[0].lower(), []).append(tuple(phones))
    return words


def count_words(texts: Sequence[Path]) -> Counter[str]:
    """How often each word stands in the texts in lower case: names, and what begins a sentence, are not counted."""
    counts: Counter[str] = Counter()
    for text in read_texts(texts, 10_000):
        counts.update(t for t in _TOKEN.findall(text) if _WORD.fullmatch(t))
    return counts


def choose_words(
    words: Mapping[str, Sequence[Phones]], counts: Mapping[str, int] | None, *, phones: tuple[int, ...], min_count: int,
    bands: int, limit: int | None,
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """Words of as many phones as are asked for with the band they belong to, one of each band in turn.

    Within a band an even draw, by digest: a larger limit only adds.

    Args:
        counts: how often each is used; None for any word, all in one band.
    """
    fit = [w for w, (first, *_) in words.items() if _WORD.fullmatch(w) and phones[0] <= len(first) <= phones[1]]
    if counts is None:
        groups = [("all", fit)]
    else:
        used = sorted((w for w in fit if counts.get(w, 0) >= min_count), key=lambda w: (-counts[w], w))
        cuts = [round(k * len(used) / bands) for k in range(bands + 1)]
        groups = [(f"band {k + 1} of {bands}", used[cuts[k] : cuts[k + 1]]) for k in range(bands)]
    ranked = [(name, sorted(group, key=text_digest)) for name, group in groups]
    most = max((len(g) for _, g in ranked), default=0)
    turns = ((g[k], name) for k in range(most) for name, g in ranked if k < len(g))
    for n, found in enumerate(turns):
        if n == limit:
            return
        yield found
