"""Words that are none: a third of a word's syllable parts changed for parts of the same form, as Wuggy does it
(Keuleers and Brysbaert 2010, doi 10.3758/BRM.42.3.627), on phones instead of letters.

Of many candidates one is kept whose phone n-grams are as likely as the word's: now a little more, now a little less,
for the nearest alone would mostly be less likely.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import numpy as np

from most.data.dialogue.voice.seam import generator
from most.data.stand_ins.phonotactics import Part, Phones, Phonotactics, heard, plain, unstressed

CHANGED_SHARE = 1 / 3
"""Of a word's parts that are not empty; Wuggy's default keeps two thirds too."""
NEAREST = 20


def edit_distance(a: Phones, b: Phones) -> int:
    """Fewest phones to put in, take out or change."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def farthest(n_phones: int) -> int:
    """The largest edit distance of a pseudo-word from its word: a third of the phones, two at least."""
    return max(2, -(-n_phones // 3))


@dataclass
class Balance:
    """How often each n-gram model would find the word, against how often the pseudo-word, in the pairs so far."""

    tally: np.ndarray = field(default_factory=lambda: np.zeros(3, dtype=int))

    def choose(self, found: Sequence[tuple[Phones, np.ndarray]]) -> Phones:
        """Of a word's candidates (phones, how much likelier than the word) the one that evens the tallies most.

        Only the nearest are asked, for the word must be matched first; of those that even alike, the nearest is kept.
        """
        near = sorted(found, key=lambda f: (float(np.abs(f[1]).max()), f[0]))[:NEAREST]
        made, off = min(near, key=lambda f: np.abs(self.tally - np.sign(f[1])).sum())
        self.tally = self.tally - np.sign(off).astype(int)
        return made


def candidates_for(
    word: Phones, sounds: Phonotactics, taken: Set[Phones], *, n: int, seed: int
) -> list[tuple[Phones, np.ndarray]]:
    """Different pseudo-words out of `n` drawn for a word, and by how much each n-gram model finds them likelier.

    They have as many phones and syllables and the same stress; each two phones that meet in them meet in some word.

    Args:
        taken: pronunciations (as `heard`) that they must not have: the dictionary's, and those of other pseudo-words.
    """
    word = plain(word)
    parts = sounds.parts(word)
    places = [k for k, part in enumerate(parts) if part.phones]
    if not places:
        return []
    rng = generator(seed, "pseudo-word", *word)
    n_changed = max(1, round(CHANGED_SHARE * len(places)))
    wanted, far = np.array(sounds.scores(word)), farthest(len(word))
    found: dict[Phones, np.ndarray] = {}
    for _ in range(n):
        changed = set(rng.choice(places, n_changed, replace=False).tolist())
        sides = (_other(part, sounds, rng) if k in changed else part.phones for k, part in enumerate(parts))
        made = tuple(p for phones in sides for p in phones)
        if made in found or heard(made) in taken or not sounds.possible(made):
            continue
        if edit_distance(unstressed(word), unstressed(made)) <= far:
            found[made] = np.array(sounds.scores(made)) - wanted
    return list(found.items())


def _other(part: Part, sounds: Phonotactics, rng: np.random.Generator) -> Phones:
    """A part of the same form, drawn as often as words have it."""
    segments, counts = sounds.pools[part.like]
    weights = np.array(counts, dtype=float)
    return segments[int(rng.choice(len(segments), p=weights / weights.sum()))]
