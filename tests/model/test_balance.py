"""The balance loss against its formula, token by token; its gradient under checkpointing; the statistics."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from most.errors import MostError
from most.model.balance import balance_loss, routing_stats
from most.model.partition import ExpertPartition
from most.model.rule import RoutingRule

E, K = 6, 2
UNEVEN = ExpertPartition(num_experts=E, text=(0, 3), audio=(1, 2, 4, 5))


def naive(layers, modality, mask, partitions, k, scoring="softmax") -> float:
    """The docstring's formula with Python loops."""
    total = 0.0
    n_rows, n_columns = modality.shape
    for logits, partition in zip(layers, partitions, strict=True):
        raw = logits.double().sigmoid() if scoring == "sigmoid" else logits.double().exp()
        raw = raw.view(n_rows, n_columns, -1)
        groups = [(None, range(logits.shape[-1]))] if partition is None else [(0, partition.text), (1, partition.audio)]
        for m, experts in groups:
            own = partition is not None and partition.scores_over == "own"
            scores = raw / raw[..., list(experts) if own else slice(None)].sum(-1, keepdim=True)
            rows = []
            for b in range(n_rows):
                tokens = [t for t in range(n_columns) if mask[b, t] and (m is None or modality[b, t] == m)]
                if not tokens:
                    continue
                value = 0.0
                for i in experts:
                    count = 0
                    for t in tokens:
                        ranked = sorted(experts, key=lambda j: -float(scores[b, t, j]))[:k]
                        count += i in ranked
                    f = len(experts) / (k * len(tokens)) * count
                    value += f * sum(float(scores[b, t, i]) for t in tokens) / len(tokens)
                rows.append(value)
            total += sum(rows) / len(rows) if rows else 0.0
    return total


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["both", "text", "audio", "padded"]))
def test_it_is_the_formula(seed: int, kind: str) -> None:
    g = torch.Generator().manual_seed(seed)
    modality = torch.randint(0, 2, (3, 5), generator=g)
    if kind in ("text", "audio"):
        modality[:] = int(kind == "audio")
    mask = torch.ones(3, 5, dtype=torch.bool)
    if kind == "padded":
        mask[0, :3] = False
        mask[2] = False
    layers = [torch.randn(15, E, generator=g) for _ in range(3)]
    partitions = [ExpertPartition.split_by_index(E), UNEVEN, None]
    loss = balance_loss(layers, modality, mask, partitions, RoutingRule(top_k=K))
    assert math.isclose(loss.item(), naive(layers, modality, mask, partitions, K), rel_tol=1e-5)


@pytest.mark.parametrize(
    "rule",
    [RoutingRule(top_k=K, scoring="sigmoid", renormalise=True), RoutingRule(top_k=K, scoring="softmax_of_picked")],
)
@pytest.mark.parametrize("scores_over", ["all", "own"])
def test_it_is_the_formula_for_other_conventions(rule: RoutingRule, scores_over: str) -> None:
    g = torch.Generator().manual_seed(0)
    modality, mask = torch.randint(0, 2, (3, 5), generator=g), torch.rand(3, 5, generator=g) < 0.8
    logits = torch.randn(15, E, generator=g)
    partition = dataclasses.replace(UNEVEN, scores_over=scores_over)
    loss = balance_loss([logits], modality, mask, [partition], rule)
    assert math.isclose(loss.item(), naive([logits], modality, mask, [partition], K, rule.scoring), rel_tol=1e-5)
    mass = routing_stats([logits], modality, mask, [partition], rule)[0].own_mass
    assert torch.allclose(mass, torch.ones(2)) is (scores_over == "own")


def test_a_group_scored_alone_is_balanced_as_a_layer() -> None:
    """The loss and the gradient of a group's logits are those of a layer of these experts alone."""
    g = torch.Generator().manual_seed(1)
    logits = torch.randn(12, E, generator=g, requires_grad=True)
    text = torch.zeros(3, 4, dtype=torch.long)
    within = dataclasses.replace(UNEVEN, scores_over="own")
    loss = balance_loss([logits], text, text == 0, [within], RoutingRule(top_k=1))
    alone = logits.detach()[:, UNEVEN.text].requires_grad_()
    expected = balance_loss([alone], text, text == 0, [None], RoutingRule(top_k=1))
    torch.testing.assert_close(loss, expected)
    (ours,) = torch.autograd.grad(loss, logits)
    (theirs,) = torch.autograd.grad(expected, alone)
    torch.testing.assert_close(ours[:, UNEVEN.text], theirs)
    assert not ours[:, UNEVEN.audio].any()


def test_picks_hang_on_the_selection_bias() -> None:
    rule = RoutingRule(top_k=1, scoring="sigmoid", selection_bias="bias")
    logits, text = torch.zeros(4, E), torch.zeros(1, 4, dtype=torch.long)
    bias = torch.zeros(E)
    bias[3] = 1.0
    for scores_over in ("all", "own"):
        partition = dataclasses.replace(UNEVEN, scores_over=scores_over)
        stats = routing_stats([logits], text, text == 0, [partition], rule, [bias])[0]
        assert stats.counts[0].tolist() == [0, 0, 0, 4, 0, 0]
        with pytest.raises(MostError, match="choose by bias too"):
            balance_loss([logits], text, text == 0, [partition], rule)


def test_padding_neither_counts_nor_gets_gradient() -> None:
    logits = torch.randn(8, E, requires_grad=True)
    modality = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]])
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]]).bool()
    balance_loss([logits], modality, mask, [UNEVEN], RoutingRule(top_k=K)).backward()
    assert logits.grad is not None
    used = logits.grad.abs().sum(-1).view(2, 4) > 0
    assert torch.equal(used, mask)
    nothing = balance_loss([logits], modality, mask & False, [UNEVEN], RoutingRule(top_k=K))
    assert nothing.item() == 0


def test_positions_must_match() -> None:
    modality = torch.zeros(2, 4, dtype=torch.long)
    with pytest.raises(MostError, match="8 positions"):
        balance_loss([torch.randn(7, E)], modality, modality == 0, [UNEVEN], RoutingRule(top_k=K))


def test_model_adds_alpha_times_the_formula(tiny) -> None:
    model = tiny.most(balance_loss_alpha=0.5)
    inputs = tiny.batch(model)
    labels = tiny.labels(model, inputs)
    out = model(**inputs, labels=labels, output_router_logits=True)
    modality = model.vocab.modality_of(inputs["input_ids"])
    partitions = [ExpertPartition.split_by_index(8)] * 2

    logits = [x.detach() for x in out.router_logits]
    expected = naive(logits, modality, inputs["attention_mask"].bool(), partitions, 2)
    assert math.isclose(out.balance_loss.item(), 0.5 * expected, rel_tol=1e-5)
    n = out.n_text_labels + out.n_audio_labels
    tokens = (out.text_loss * out.n_text_labels + out.audio_loss * out.n_audio_labels) / n
    torch.testing.assert_close(out.loss, tokens + out.balance_loss)


def test_statistics_count_every_pick_of_every_token(tiny) -> None:
    model = tiny.most()
    inputs = tiny.batch(model)
    out = model(**inputs, output_router_logits=True)
    modality = model.vocab.modality_of(inputs["input_ids"])
    mask = inputs["attention_mask"].bool()
    partition = ExpertPartition.split_by_index(8)
    stats = routing_stats(out.router_logits, modality, mask, [partition] * 2, RoutingRule(top_k=2))
    assert len(stats) == 2
    for s in stats:
        for m in (0, 1):
            assert s.counts[m].sum() == 2 * (mask & (modality == m)).sum()
            p = s.counts[m][s.counts[m] > 0] / s.counts[m].sum()
            torch.testing.assert_close(s.entropy[m], -(p * p.log()).sum())
        assert s.counts[0, 4:].sum() == 0
        assert s.counts[1, :4].sum() == 0
        assert ((s.own_mass > 0) & (s.own_mass < 1)).all()
