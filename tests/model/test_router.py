"""The router: never a foreign expert, weights as they are, the family's own numbers when every expert is one's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2TopkRouter

from most.errors import MostError
from most.model.router import RoutingRule, family_of, route

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
]


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
@given(tokens(), st.sampled_from(RULES))
def test_no_token_reaches_a_foreign_expert(token: tuple[torch.Tensor, torch.Tensor], rule: RoutingRule) -> None:
    logits, own = token
    weights, indices = route(logits, own, rule)
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


@pytest.mark.parametrize(
    "settings_",
    [{}, {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2, "routed_scaling_factor": 16.0}],
)
def test_with_every_expert_its_own_it_is_the_family_router(tiny, settings_: dict) -> None:
    config = tiny.lm(**settings_).config
    router = DeepseekV2TopkRouter(config)
    torch.nn.init.normal_(router.weight)
    hidden = torch.randn(50, config.hidden_size)
    logits, weights, indices = router(hidden)
    ours = route(logits, torch.ones_like(logits, dtype=torch.bool), family_of(config).rule(config))
    for theirs, our in ((indices, ours[1]), (weights, ours[0])):
        assert torch.equal(theirs.sort(-1).values, our.sort(-1).values)


def test_unknown_family_is_refused(tiny) -> None:
    config = tiny.lm().config
    config.model_type = "deepseek_v9"
    with pytest.raises(MostError, match="deepseek_v2"):
        family_of(config)
