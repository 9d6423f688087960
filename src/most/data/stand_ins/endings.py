"""Wrong endings for stories, each the right ending of another: no liking of endings by themselves finds the right ones.

Every ending of the set is once right and once wrong.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from most.data.dialogue.voice.seam import generator

_TOKEN = re.compile(r"[^\W_]+")


def random_endings(ids: Sequence[str], seed: int) -> list[int]:
    """For each story the index of the one whose ending it gets: a cycle in random order, so never its own.

    Args:
        ids: names of at least two stories; the draw is by them alone.
    """
    order = sorted(range(len(ids)), key=lambda k: (generator(seed, "ending", ids[k]).random(), ids[k]))
    out = [0] * len(ids)
    for here, there in zip(order, [*order[1:], order[0]], strict=True):
        out[here] = there
    return out


def similar_endings(contexts: Sequence[str]) -> list[int]:
    """For each story the index of one like it, by TF-IDF of what precedes the ending; each index once, never its own.

    The most alike are matched first; a last one left with its own changes with the one that is least like its match.
    """
    likeness = _likeness(contexts)
    pairs = sorted(((-score, a, b) for (a, b), score in likeness.items()), key=lambda p: p)
    out: dict[int, int] = {}
    given: set[int] = set()
    for _, a, b in pairs:
        if a not in out and b not in given:
            out[a] = b
            given.add(b)
    left = [k for k in range(len(contexts)) if k not in given]
    for a in (k for k in range(len(contexts)) if k not in out):
        b = next((k for k in left if k != a), None)
        if b is None:  # only its own is left: it takes another's, who takes this one
            other = min((k for k in sorted(out) if out[k] != a), key=lambda k: likeness.get((k, out[k]), 0.0))
            out[a], out[other] = out[other], a
            left.remove(a)
        else:
            out[a] = b
            left.remove(b)
    return [out[k] for k in range(len(contexts))]


def _likeness(texts: Sequence[str]) -> dict[tuple[int, int], float]:
    """Cosine of TF-IDF of every two texts that share a word, both ways round."""
    counts = [Counter(_TOKEN.findall(t.lower())) for t in texts]
    spread = Counter(w for c in counts for w in c)
    vectors = []
    for c in counts:
        vector = {w: (1 + math.log(n)) * math.log(len(texts) / spread[w]) for w, n in sorted(c.items())}
        length = math.sqrt(sum(v * v for v in vector.values())) or 1.0
        vectors.append({w: v / length for w, v in vector.items() if v})
    postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for k, vector in enumerate(vectors):
        for word, value in vector.items():
            postings[word].append((k, value))
    out: dict[tuple[int, int], float] = defaultdict(float)
    for k, vector in enumerate(vectors):
        for word, value in vector.items():
            for other, there in postings[word]:
                if other != k:
                    out[k, other] += value * there
    return {pair: round(score, 9) for pair, score in out.items()}
