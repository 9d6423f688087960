"""Near-duplicates: found with about the similarity that counting word triples gives, and nothing else is found."""

import pytest

from most.data.dialogue.near import NearDuplicates
from most.errors import MostError

pytest.importorskip("datasketch")
WORDS = [f"w{k}" for k in range(100)]


def jaccard(a, b):
    a, b = ({tuple(x[k : k + 3]) for k in range(len(x) - 2)} for x in (a, b))
    return len(a & b) / len(a | b)


def test_similarity_is_the_jaccard_index_of_triples():
    near = NearDuplicates(0.5)
    changed = [*WORDS[:90], *["other"] * 10]
    near.add("a", WORDS)
    near.add("b", changed)
    (pair,) = near.pairs
    assert (pair.id, pair.like) == ("b", "a")
    assert pair.similarity == pytest.approx(jaccard(WORDS, changed), abs=0.12)


def test_groups_join_through_others():
    near = NearDuplicates()
    near.add("a", WORDS)
    near.add("far", [f"x{k}" for k in range(100)])
    near.add("b", [*WORDS, "end"])
    near.add("c", [*WORDS, "end", "again"])
    near.add("none", [])
    near.add("short", ["hello"])
    near.add("short too", ["hello"])
    assert near.groups() == [["a", "b", "c"], ["short", "short too"]]


def test_half_alike_is_not_alike():
    near = NearDuplicates()
    near.add("a", WORDS)
    near.add("b", [*WORDS[:60], *(f"x{k}" for k in range(40))])
    assert near.pairs == []


@pytest.mark.parametrize("threshold", [0, 1.1])
def test_bad_threshold(threshold):
    with pytest.raises(MostError, match="threshold"):
        NearDuplicates(threshold)
