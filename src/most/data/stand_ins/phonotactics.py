"""What a dictionary teaches about sounds: how likely a run of phones is, and which parts syllables have."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from most.data.dialogue.voice.arpabet import is_vowel

Phones = tuple[str, ...]
_EDGE = "#"
_SHARES = (0.1, 0.3, 0.6)
"""Of unigrams, bigrams and trigrams in the trigram model."""


@dataclass(frozen=True)
class Part:
    """An onset, nucleus or coda, possibly empty, and the syllable it stands in: first, last, both or between."""

    kind: str
    place: str
    phones: Phones

    @property
    def like(self) -> tuple[str, str, int, str]:
        """What may take its place: the same kind and place, as many phones, the same stress."""
        stress = self.phones[0][-1] if self.kind == "nucleus" else ""
        return self.kind, self.place, len(self.phones), stress


def plain(phones: Sequence[str]) -> Phones:
    """Phones with one kind of stress: the second kind is not heard reliably, and not marked reliably."""
    return tuple(p.replace("2", "1") for p in phones)


def unstressed(phones: Sequence[str]) -> Phones:
    return tuple(p.rstrip("012") for p in phones)


def heard(phones: Sequence[str]) -> Phones:
    """What many listeners take to be the same: without stress, `cot` as `caught`, `roses` as `Rosa's`."""
    return unstressed([{"AH0": "IH0"}.get(p, p.replace("AO", "AA")) for p in phones])


class Phonotactics:
    """Counts of a dictionary's pronunciations, each word once."""

    def __init__(self, words: Iterable[Phones]) -> None:
        words = [plain(w) for w in words]
        self.grams: tuple[Counter[Phones], ...] = (Counter(), Counter(), Counter())
        for word in words:
            run = (_EDGE, _EDGE, *word, _EDGE)
            for k in range(2, len(run)):
                for n, grams in enumerate(self.grams):
                    grams[run[k - n : k + 1]] += 1
        self.total = sum(self.grams[0].values())
        starts = (Counter[Phones](), Counter[Phones]())
        for n, grams in enumerate(self.grams[1:]):
            for gram, count in grams.items():
                starts[n][gram[:-1]] += count
        self.starts = starts
        self.onsets = {w[:k] for w in words for k in [_first_vowel(w)] if k is not None}
        pools: dict[tuple[str, str, int, str], Counter[Phones]] = defaultdict(Counter)
        for word in words:
            for part in self.parts(word):
                if part.phones:
                    pools[part.like][part.phones] += 1
        self.pools = {like: (tuple(c), tuple(c.values())) for like, c in pools.items()}

    def parts(self, word: Phones) -> list[Part]:
        """Onset, nucleus and coda of each syllable, onsets as long as words begin with; nothing without a vowel."""
        vowels = [k for k, p in enumerate(word) if is_vowel(p)]
        if not vowels:
            return []
        begins = [0]
        for before, vowel in itertools.pairwise(vowels):
            begins.append(next(k for k in range(before + 1, vowel + 1) if word[k:vowel] in self.onsets or k == vowel))
        ends = [*begins[1:], len(word)]
        out = []
        for n, (begin, vowel, end) in enumerate(zip(begins, vowels, ends, strict=True)):
            place = ("first " * (n == 0) + "last" * (n == len(vowels) - 1)).strip() or "between"
            spans = (("onset", begin, vowel), ("nucleus", vowel, vowel + 1), ("coda", vowel + 1, end))
            out += [Part(kind, place, word[a:b]) for kind, a, b in spans]
        return out

    def scores(self, word: Phones) -> tuple[float, float, float]:
        """Mean log probability a phone by unigrams, bigrams and trigrams; the latter two with the shorter mixed in."""
        run = (_EDGE, _EDGE, *plain(word), _EDGE)
        sums = [0.0, 0.0, 0.0]
        for k in range(2, len(run)):
            one = self.grams[0][run[k : k + 1]] / self.total
            two = self._share(1, run[k - 1 : k + 1])
            three = self._share(2, run[k - 2 : k + 1])
            floor = _SHARES[0] * max(one, 1 / self.total)
            sums[0] += math.log(max(one, 1 / self.total))
            sums[1] += math.log(floor + (1 - _SHARES[0]) * two)
            sums[2] += math.log(floor + _SHARES[1] * two + _SHARES[2] * three)
        n = len(run) - 2
        return sums[0] / n, sums[1] / n, sums[2] / n

    def _share(self, n: int, gram: Phones) -> float:
        begun = self.starts[n - 1][gram[:-1]]
        return self.grams[n][gram] / begun if begun else 0.0

    def possible(self, word: Phones) -> bool:
        """Whether every two phones that meet in it meet in some word."""
        run = (_EDGE, *plain(word), _EDGE)
        return all(self.grams[1][run[k : k + 2]] for k in range(len(run) - 1))


def _first_vowel(word: Phones) -> int | None:
    return next((k for k, p in enumerate(word) if is_vowel(p)), None)
