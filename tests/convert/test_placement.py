"""Experts that take turns: every rank holds both modalities, and the model is the one it was."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from most.convert.placement import experts_by_rank, interleaved, partitions_of, place_experts, placed
from most.errors import MostError
from most.model import MostForConditionalGeneration
from most.model.configuration import MostConfig
from most.model.partition import ExpertPartition
from most.model.rule import RoutingRule

QUIET = {"echo": lambda _: None, "progress": False}
RULE = RoutingRule(top_k=2)


def partition(is_audio: list[bool]) -> ExpertPartition:
    text = tuple(i for i, audio in enumerate(is_audio) if not audio)
    audio = tuple(i for i, audio in enumerate(is_audio) if audio)
    return ExpertPartition(num_experts=len(is_audio), text=text, audio=audio)


def counts(p: ExpertPartition, n_ranks: int) -> list[int]:
    size = p.num_experts // n_ranks
    return [sum(r * size <= e < (r + 1) * size for e in p.audio) for r in range(n_ranks)]


@given(st.lists(st.booleans(), min_size=2, max_size=64).filter(lambda x: any(x) and not all(x)), st.data())
def test_every_rank_gets_its_share_of_each_modality(is_audio, data):
    before = partition(is_audio)
    order = interleaved(before, RULE)
    after = placed(before, order)
    assert sorted(order) == list(range(len(is_audio)))
    assert [is_audio[e] for e in order] == [e in after.audio for e in range(len(is_audio))]
    for group in (before.text, before.audio):
        assert [e for e in order if e in group] == list(group)
    n_ranks = data.draw(st.sampled_from([n for n in range(1, len(is_audio) + 1) if len(is_audio) % n == 0]))
    share = len(before.audio) / n_ranks
    assert all(abs(n - share) < 1.5 for n in counts(after, n_ranks))


@pytest.mark.parametrize("n_ranks", [2, 4, 8, 16, 32])
def test_the_papers_split_puts_the_same_number_of_each_on_every_rank(n_ranks):
    split = ExpertPartition.split_by_index(64)
    assert set(counts(split, n_ranks)) == {0, 64 // n_ranks}
    assert set(counts(placed(split, interleaved(split, RULE)), n_ranks)) == {32 // n_ranks}


def test_groups_of_device_limited_routing_stay_whole():
    rule = RoutingRule(top_k=2, n_groups=4, top_groups=2)
    order = interleaved(ExpertPartition.split_by_index(16), rule)
    assert {frozenset(order[i : i + 4]) for i in range(0, 16, 4)} == {
        frozenset(range(i, i + 4)) for i in range(0, 16, 4)
    }
    assert counts(placed(ExpertPartition.split_by_index(16), order), 2) == [4, 4]


def test_a_placed_model_computes_what_it_did(tiny_most, tmp_path):
    out = place_experts(tiny_most, tmp_path / "placed", **QUIET)
    before, after = (MostForConditionalGeneration.from_pretrained(m).eval() for m in (tiny_most, out))
    v = before.vocab
    ids = torch.tensor([[5, 9, 40, v.audio_begin, v.unit_id(3), v.unit_id(7), v.unit_id(7), v.audio_end, 12, 30]])
    with torch.no_grad():
        torch.testing.assert_close(after(input_ids=ids).logits, before(input_ids=ids).logits, rtol=1e-5, atol=1e-6)
    assert experts_by_rank(before.config, 2) == [[(2, 0), (0, 2)]]
    assert experts_by_rank(after.config, 2) == [[(1, 1), (1, 1)]]
    report = json.loads((out / "conversion.json").read_text())
    assert report["expert_order"] == [[0, 2, 1, 3]]
    assert report["partitions"] == after.config.partitions


def test_weights_move_and_nothing_else_does(tiny_most, tmp_path):
    out = place_experts(tiny_most, tmp_path / "placed", **QUIET)
    before, after = (load_file(m / "model.safetensors") for m in (tiny_most, out))
    assert set(before) == set(after)
    moved = {n for n in before if not torch.equal(before[n], after[n])}
    assert {n.split(".mlp.")[1] for n in moved} == {"experts.gate_up_proj", "experts.down_proj", "gate.weight"}
    for name in moved:
        assert torch.equal(after[name], before[name][[0, 2, 1, 3]])
    assert {f.name for f in out.iterdir()} == {f.name for f in tiny_most.iterdir()}


def test_placing_twice_changes_nothing(tiny_most, tmp_path):
    once = place_experts(tiny_most, tmp_path / "once", **QUIET)
    twice = place_experts(once, tmp_path / "twice", **QUIET)
    a, b = (load_file(m / "model.safetensors") for m in (once, twice))
    assert all(torch.equal(a[n], b[n]) for n in a)
    with pytest.raises(MostError, match="exists"):
        place_experts(tiny_most, once, **QUIET)


def test_partitions_of_a_config_that_names_none():
    config = MostConfig(text_config={"model_type": "deepseek_v2", "n_routed_experts": 8, "num_experts_per_tok": 2})
    assert partitions_of(config) == [ExpertPartition.split_by_index(8)]
