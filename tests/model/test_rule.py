"""Routing rules: never a foreign expert, weights as they are, a group as a layer of its own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from most.errors import MostError
from most.model.rule import RoutingRule, route, route_within_groups

E = 8
ADVERSARIAL = st.one_of(
    st.floats(-3, 3, width=32),
    st.sampled_from([0.0, 1.0, 88.0, 1e4, -1e4, 3e38, -3e38, float("inf"), float("-inf"), float("nan")]),
)
RULES = [
    RoutingRule(top_k=2),
    RoutingRule(top_k=3, renormalise=True, scaling=2.5),
    RoutingRule(top_k=2, n_groups=4, top_groups=2),
    RoutingRule(top_k=3, n_groups=4, top_groups=1, renormalise=True),
    RoutingRule(top_k=2, scoring="sigmoid", renormalise=True, ranked=True),
    RoutingRule(
        top_k=3,
        scoring="sigmoid",
        selection_bias="bias",
        renormalise=True,
        n_groups=2,
        top_groups=1,
        group_score="top2",
    ),
    RoutingRule(top_k=3, scoring="softmax_of_picked", ranked=True),
]
BIASES = st.sampled_from([torch.zeros(E), torch.linspace(-2, 2, E), torch.full((E,), -1e30)])


@st.composite
def tokens(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, E) and own (N, E) with at least three own experts a row; rows of equal logits included."""
    n = draw(st.integers(1, 5))
    rows = [draw(st.one_of(st.lists(ADVERSARIAL, min_size=E, max_size=E), ADVERSARIAL.map(lambda x: [x] * E)))
            for _ in range(n)]  # fmt: skip
    group = draw(st.sets(st.integers(0, E - 1), min_size=3, max_size=E - 3))
    member = torch.tensor([i in group for i in range(E)])
    modality = torch.tensor(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    return torch.tensor(rows, dtype=torch.float32), torch.where(modality[:, None], member, ~member)


@settings(max_examples=200, deadline=None)
@given(tokens(), st.sampled_from(RULES), BIASES)
def test_no_token_reaches_a_foreign_expert(
    token: tuple[torch.Tensor, torch.Tensor], rule: RoutingRule, bias: torch.Tensor
) -> None:
    logits, own = token
    weights, indices = route(logits, own, rule, bias)
    assert own.gather(1, indices).all()
    assert all(len(set(row)) == rule.top_k for row in indices.tolist())
    if torch.isfinite(logits).all():
        assert torch.isfinite(weights).all()
        assert (weights >= 0).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_weights_are_the_softmax_over_all_experts_as_it_is(seed: int) -> None:
    logits = torch.randn(6, E, generator=torch.Generator().manual_seed(seed))
    own = (torch.arange(E) < 4).expand(6, E)
    scores = logits.softmax(-1)
    weights, indices = route(logits, own, RoutingRule(top_k=2, scaling=1.5))
    assert torch.equal(weights, 1.5 * scores.gather(1, indices))
    best = scores[:, :4].topk(2).values
    torch.testing.assert_close(weights.sort(descending=True).values, 1.5 * best)
    renormalised, same = route(logits, own, RoutingRule(top_k=2, renormalise=True))
    assert torch.equal(same, indices)
    torch.testing.assert_close(renormalised.sum(-1), torch.ones(6))
    assert (weights.sum(-1) < 1.5 * (1 - 1e-3)).any()


def test_own_experts_win_even_when_their_scores_underflow() -> None:
    logits = torch.full((1, E), -1e4)
    logits[0, :4] = 1e4
    own = (torch.arange(E) >= 4)[None]
    weights, indices = route(logits, own, RoutingRule(top_k=3))
    assert (indices >= 4).all()
    assert torch.equal(weights, torch.zeros(1, 3))


def test_a_selection_bias_moves_the_choice_and_not_the_weights() -> None:
    rule = RoutingRule(top_k=2, scoring="sigmoid", selection_bias="bias", renormalise=True)
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0, 9.0, 9.0, 9.0, 9.0]])
    own = (torch.arange(E) < 4)[None]
    bias = torch.tensor([-9.0, 0.0, 0.0, 9.0, 9.0, 9.0, 9.0, 9.0])
    weights, indices = route(logits, own, rule, bias)
    assert indices.sort().values.tolist() == [[1, 3]]
    scores = logits.sigmoid()[0, indices[0]]
    torch.testing.assert_close(weights[0], scores / scores.sum())
    with pytest.raises(MostError, match="choose by bias too"):
        route(logits, own, rule)


def test_foreign_experts_do_not_speak_for_their_group() -> None:
    """Groups of two: {0, 1} holds the best sum of two, but one of them is foreign; {2, 3} is all own."""
    rule = RoutingRule(top_k=2, scoring="sigmoid", n_groups=4, top_groups=1, group_score="top2")
    logits = torch.tensor([[1.0, 9.0, 0.9, 0.9, 9.0, 9.0, 9.0, 9.0]])
    own = torch.tensor([[True, False, True, True, False, False, False, False]])
    weights, indices = route(logits, own, rule)
    assert indices.sort().values.tolist() == [[2, 3]]
    one_each = torch.tensor([[True, False, True, False, False, False, False, False]])
    weights, indices = route(logits, one_each, rule)
    assert indices.sort().values.tolist() == [[0, 2]]
    torch.testing.assert_close(weights.sort().values, torch.tensor([[0.0, 1.0]]).mul(torch.tensor(1.0).sigmoid()))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(RULES), st.permutations(range(E)))
def test_within_groups_each_group_is_a_layer(seed: int, rule: RoutingRule, order: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    layers = [torch.randn(6, E, generator=generator) for _ in (0, 1)]
    bias = torch.randn(2 * E, generator=generator)
    experts = [torch.tensor(order), E + torch.tensor(order)]
    modality = torch.randint(0, 2, (6,), generator=generator)
    weights, indices = route_within_groups(layers, experts, modality, rule, bias)
    for t, m in enumerate(modality.tolist()):
        alone = route(layers[m], None, rule, bias[experts[m]])
        assert torch.equal(weights[t], alone[0][t])
        assert torch.equal(indices[t], experts[m][alone[1][t]])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scoring": "tanh"}, "scoring: 'tanh'"),
        ({"group_score": "mean"}, "group_score: 'mean'"),
        ({"n_groups": 2, "top_groups": 3}, "n_group, topk_group"),
        ({"top_k": 0}, "num_experts_per_tok: 0"),
    ],
)
def test_a_rule_that_is_none_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(MostError, match=message):
        RoutingRule(**{"top_k": 2, **wrong})
