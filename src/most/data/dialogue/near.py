"""Near-duplicates among dialogues: MinHash over word triples, looked up by locality-sensitive hashing (datasketch).

Source: Broder, "On the resemblance and containment of documents", 1997. Similarity is the estimated Jaccard index of
the sets of triples; its standard error is about 0.04 at 128 permutations and a similarity of 0.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from most.errors import MostError

N_PERMUTATIONS = 128
SHINGLE_WORDS = 3


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two dialogues alike: the later one, the one it resembles, how much (0 to 1)."""

    id: str
    like: str
    similarity: float


class NearDuplicates:
    """Finds, for each dialogue added, those before it that it resembles.

    Args:
        threshold: similarity from which two count as alike.
    """

    def __init__(self, threshold: float = 0.8) -> None:
        if not 0.1 <= threshold <= 1:
            raise MostError("threshold", threshold, "must lie between 0.1 and 1")
        try:
            from datasketch import MinHash, MinHashLSH
        except ImportError as e:
            raise MostError(
                "datasketch", "not installed", "install the extra: pip install 'most-speech[dialogue]'"
            ) from e
        self.threshold = threshold
        self._min_hash = MinHash
        self._index = MinHashLSH(threshold=threshold, num_perm=N_PERMUTATIONS)
        self._hashes: dict[str, Any] = {}
        self._group: dict[str, str] = {}
        self.pairs: list[Pair] = []

    def add(self, id: str, words: list[str]) -> None:
        """Add a dialogue by its words."""
        n = min(SHINGLE_WORDS, len(words))
        if not n:
            return
        shingles = {" ".join(words[k : k + n]).encode() for k in range(len(words) - n + 1)}
        mine = self._min_hash(num_perm=N_PERMUTATIONS)
        mine.update_batch(sorted(shingles))
        self._group[id] = id
        for other in sorted(str(key) for key in self._index.query(mine)):
            similarity = float(mine.jaccard(self._hashes[other]))
            if similarity >= self.threshold:
                self.pairs.append(Pair(id=id, like=other, similarity=round(similarity, 3)))
                self._group[self._root(id)] = self._root(other)
        self._index.insert(id, mine)
        self._hashes[id] = mine

    def _root(self, id: str) -> str:
        while self._group[id] != id:
            self._group[id] = self._group[self._group[id]]
            id = self._group[id]
        return id

    def groups(self) -> list[list[str]]:
        """Dialogues that resemble each other, directly or through others; largest group first."""
        members: dict[str, list[str]] = {}
        for id in self._group:
            members.setdefault(self._root(id), []).append(id)
        return sorted((g for g in members.values() if len(g) > 1), key=lambda g: (-len(g), g[0]))
