"""Partitions are data: refused when they do not partition, equal after JSON, one for all layers or one for each."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from most.errors import MostError
from most.model.partition import ExpertPartition, resolve


@pytest.mark.parametrize(
    ("text", "audio", "message"),
    [
        ((0, 1, 2), (2, 3), "in both groups"),
        ((0, 1), (3,), "in neither group"),
        ((0, 1, 2, 3), (), "is empty"),
        ((), (0, 1, 2, 3), "is empty"),
        ((0, 1), (2, 3, 4), "does not exist"),
        ((-1, 0, 1), (2, 3), "does not exist"),
        ((0, 0, 1), (2, 3), "twice"),
    ],
)
def test_what_is_no_partition_is_refused(text: tuple[int, ...], audio: tuple[int, ...], message: str) -> None:
    with pytest.raises(MostError, match=message):
        ExpertPartition(num_experts=4, text=text, audio=audio)


@given(st.integers(2, 257))
def test_split_by_index(n: int) -> None:
    p = ExpertPartition.split_by_index(n)
    assert p.text + p.audio == tuple(range(n))
    assert len(p.text) - len(p.audio) in (0, 1)
    assert p.method == "index"


@given(st.lists(st.booleans(), min_size=2, max_size=40).filter(lambda x: any(x) and not all(x)))
def test_json_and_membership(is_audio: list[bool]) -> None:
    groups = tuple(tuple(i for i, a in enumerate(is_audio) if a == side) for side in (False, True))
    p = ExpertPartition(num_experts=len(is_audio), text=groups[0], audio=groups[1], method="usage", scores_over="own")
    assert ExpertPartition.from_json(p.to_json()) == p
    assert p.groups == groups
    table = p.membership()
    assert torch.equal(table[1], torch.tensor(is_audio))
    assert torch.equal(table[0], ~table[1])


def test_json_keys_are_checked() -> None:
    with pytest.raises(MostError, match="did you mean 'audio'"):
        ExpertPartition.from_json({"num_experts": 2, "text": [0], "audo": [1]})
    with pytest.raises(MostError, match="has no key 'audio'"):
        ExpertPartition.from_json({"num_experts": 2, "text": [0]})


def test_what_scores_are_over() -> None:
    old = {"num_experts": 2, "text": [0], "audio": [1], "method": "index"}
    assert ExpertPartition.from_json(old).scores_over == "all"
    with pytest.raises(MostError, match="scores_over: 'owm': did you mean 'own'"):
        ExpertPartition.from_json({**old, "scores_over": "owm"})


def test_resolve() -> None:
    a = ExpertPartition.split_by_index(8)
    b = ExpertPartition(num_experts=8, text=(0, 2, 4, 6), audio=(1, 3, 5, 7))
    assert resolve(None, num_experts=8, top_k=2, n_layers=3) == [a] * 3
    assert resolve([b.to_json()], num_experts=8, top_k=2, n_layers=3) == [b] * 3
    assert resolve([a, b, a], num_experts=8, top_k=2, n_layers=3) == [a, b, a]
    with pytest.raises(MostError, match="one for each of 3"):
        resolve([a, b], num_experts=8, top_k=2, n_layers=3)
    with pytest.raises(MostError, match="16 routed experts"):
        resolve([a], num_experts=16, top_k=2, n_layers=3)
    with pytest.raises(MostError, match="the router picks 5"):
        resolve([a], num_experts=8, top_k=5, n_layers=3)
    with pytest.raises(MostError, match="at least 2"):
        ExpertPartition.split_by_index(1)
