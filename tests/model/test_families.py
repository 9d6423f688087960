"""Every family: the backbone itself with routing off, its own router when nothing is masked, never a foreign expert,
text computed to the bit when experts are added for audio, and a whole MoST of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from most.errors import MostError
from most.model import ExpertPartition, MostForConditionalGeneration
from most.model.build import build_from_backbone
from most.model.families import FAMILIES, family_of
from most.model.install import install, moe_routers, routers
from most.model.release.write import write_model
from most.model.router import ModalityRouterMixin, in_order, modality_scope

E, K = 12, 3
EVEN, ODD = tuple(range(0, E, 2)), tuple(range(1, E, 2))
COMMON = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "num_experts_per_tok": K, "max_position_embeddings": 128, "initializer_range": 0.2,
    "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
LATENT = {
    "moe_intermediate_size": 16, "n_shared_experts": 1, "first_k_dense_replace": 1, "num_hidden_layers": 3,
    "kv_lora_rank": 16, "q_lora_rank": None, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
    "n_group": 2, "topk_group": 1, "routed_scaling_factor": 2.5,
}  # fmt: skip
QWEN = {"moe_intermediate_size": 16, "norm_topk_prob": True, "mlp_only_layers": [0], "num_hidden_layers": 3}
TINY: dict[str, dict[str, Any]] = {
    "deepseek_v2": {**LATENT, "topk_method": "group_limited_greedy"},
    "deepseek_v3": {**LATENT, "num_mtp_layers": 0},
    "olmoe": {},
    "qwen2_moe": {**QWEN, "norm_topk_prob": False, "shared_expert_intermediate_size": 24},
    "qwen3_moe": {**QWEN, "head_dim": 16},
    "mixtral": {},
    "granitemoe": {"embedding_multiplier": 2.0, "residual_multiplier": 0.5, "logits_scaling": 3.0},
}
IDS = torch.tensor([[3, 5, 7, 41, 45, 52, 9, 4], [42, 43, 44, 6, 8, 10, 11, 12]])
AUDIO = (IDS >= 40).long()
TEXT_IDS = torch.arange(3, 35).view(4, 8)
family_param = pytest.mark.parametrize("family", list(FAMILIES))


def backbone(family: str, n_experts: int = E, **overrides: Any) -> Any:
    """A tiny model of random weights; selection biases too, which transformers would leave zero."""
    row = {**COMMON, **TINY[family], FAMILIES[family].experts_key: n_experts, **overrides}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **row))
    for holder, name in moe_routers(model):
        bias = getattr(getattr(holder, name), "e_score_correction_bias", None)
        if bias is not None:
            bias.normal_(std=0.1)
    return model.eval()


def step(model: Any, ids: torch.Tensor, **extra: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and gradients of a loss, by name."""
    model.zero_grad()
    out = model(input_ids=ids, labels=ids, **extra)
    out.loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert all(g is not None for g in gradients.values())
    return out.logits.detach(), gradients


def equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        assert torch.equal(gradient, theirs[name]), name


def test_the_table_is_tested_whole() -> None:
    assert TINY.keys() == FAMILIES.keys()


@family_param
def test_routing_off_is_the_backbone(family: str) -> None:
    lm = backbone(family)
    ours = copy.deepcopy(lm)
    install(ours, routing=False)
    assert family_of(lm.config).num_experts(lm.config) == E
    their_logits, theirs = step(lm, IDS)
    our_logits, gradients = step(ours, IDS, modality_ids=AUDIO)
    assert torch.equal(our_logits, their_logits)
    equal(gradients, theirs)


@family_param
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_with_nothing_masked_it_is_the_familys_router(
    family: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = backbone(family).to(dtype)
    ours = copy.deepcopy(lm)
    install(ours)
    everything = torch.ones(2, E, dtype=torch.bool)
    monkeypatch.setattr(ExpertPartition, "membership", lambda self, device=None: everything)
    generator = torch.Generator().manual_seed(1)
    hidden = (3 * torch.randn(200, 32, generator=generator)).to(dtype)
    for (holder, name), router in zip(moe_routers(lm), routers(ours), strict=True):
        with modality_scope(torch.zeros(200, dtype=torch.long)):
            logits, weights, indices = in_order(router(hidden))
        their_logits, their_weights, their_indices = in_order(getattr(holder, name)(hidden))
        assert torch.equal(logits, their_logits)
        assert weights.dtype == their_weights.dtype
        order, their_order = indices.argsort(-1), their_indices.argsort(-1)
        assert torch.equal(indices.gather(-1, order), their_indices.gather(-1, their_order))
        assert torch.equal(weights.gather(-1, order), their_weights.gather(-1, their_order))


@family_param
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.0, 1.0, 1e3, 1e30]),
    order=st.permutations(range(E)),
    n_audio=st.integers(K, E - K),
    scores_over=st.sampled_from(["all", "own"]),
)
def test_no_token_reaches_a_foreign_expert(
    family: str, picked_by: Callable, seed: int, scale: float, order: list[int], n_audio: int, scores_over: str
) -> None:
    n = n_audio if scores_over == "all" else E // 2  # the DeepSeek families need room for their groups of experts
    partition = ExpertPartition(num_experts=E, text=tuple(order[n:]), audio=tuple(order[:n]), scores_over=scores_over)
    model, picks = picked_by(family)
    install(model, [partition])
    generator = torch.Generator().manual_seed(seed)
    for router in routers(model):
        router.weight.data = scale * torch.randn(router.weight.shape, generator=generator)
    ids = torch.randint(0, 64, (3, 7), generator=generator)
    modality = torch.randint(0, 2, ids.shape, generator=generator)
    picks.clear()
    model(ids, modality_ids=modality)
    own = partition.membership()[modality.flatten()]
    assert len(picks) == len(routers(model))
    for indices in picks:
        assert own.gather(1, indices).all()
        assert all(len(set(row)) == K for row in indices.tolist())


@pytest.fixture(scope="module")
def picked_by() -> Callable[[str], tuple[Any, list[torch.Tensor]]]:
    """A model of the family, made once, and the list that the indices (N, k) its experts are given go to."""
    made: dict[str, tuple[Any, list[torch.Tensor]]] = {}

    def make(family: str) -> tuple[Any, list[torch.Tensor]]:
        if family not in made:
            model, picks = backbone(family), []
            for holder, _ in moe_routers(model):
                holder.experts.register_forward_pre_hook(lambda _m, args: picks.append(args[1].clone()))
            made[family] = model, picks
        return made[family]

    return make


def expand(lm: Any, family: str, copies: list[int]) -> tuple[Any, ExpertPartition]:
    """All experts stay text experts; copies of some follow them as audio experts."""
    total = E + len(copies)
    partition = ExpertPartition(
        num_experts=total, text=tuple(range(E)), audio=tuple(range(E, total)), scores_over="own"
    )  # fmt: skip
    larger = backbone(family, total)
    state = lm.state_dict()
    for name, tensor in larger.state_dict().items():
        old = state[name]
        state[name] = old if old.shape == tensor.shape else torch.cat([old, old[copies]])
    larger.load_state_dict(state)
    return larger, partition


@family_param
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("implementation", ["eager", "grouped_mm"])
@pytest.mark.parametrize("copies", [list(range(E)), list(ODD)], ids=["all", "half"])
def test_added_experts_leave_text_as_it_was(
    family: str, dtype: torch.dtype, implementation: str, copies: list[int]
) -> None:
    lm = backbone(family)
    larger, partition = expand(lm, family, copies)
    install(larger, [partition])
    for model in (lm, larger):
        model.to(dtype)
        model.set_experts_implementation(implementation)
    their_logits, theirs = step(lm, TEXT_IDS)
    logits, gradients = step(larger, TEXT_IDS, modality_ids=torch.zeros_like(TEXT_IDS))
    assert torch.equal(logits, their_logits)
    for name, gradient in gradients.items():
        n = len(theirs[name])
        assert torch.equal(gradient[:n], theirs[name]), name
        assert not gradient[n:].any(), name


@family_param
def test_added_experts_that_are_copies_serve_audio_the_same(family: str) -> None:
    lm = backbone(family)
    larger, partition = expand(lm, family, list(range(E)))
    install(larger, [partition])
    torch.testing.assert_close(larger(IDS, modality_ids=AUDIO).logits, lm(IDS).logits, atol=1e-5, rtol=1e-5)


def most(family: str, **settings_: Any) -> MostForConditionalGeneration:
    model = build_from_backbone(backbone(family), tokenizer_size=40, n_units=12, **settings_)
    return model.eval()


@family_param
@pytest.mark.parametrize("scores_over", ["all", "own"])
def test_a_most_of_it_saves_loads_and_generates(family: str, scores_over: str, tmp_path: Path) -> None:
    partition = ExpertPartition(num_experts=E, text=EVEN, audio=ODD, scores_over=scores_over)
    model = most(family, partition=partition)
    model.save_pretrained(tmp_path)
    loaded = MostForConditionalGeneration.from_pretrained(tmp_path).eval()
    state, again = model.state_dict(), loaded.state_dict()
    assert state.keys() == again.keys()
    assert all(torch.equal(state[k], again[k]) for k in state)
    assert [r.partition for r in routers(loaded.language_model)] == [partition] * len(routers(model.language_model))
    for p in loaded.parameters():  # in the file they are not aligned, and CPU kernels then differ in the last bit
        p.data = p.data.clone()
    assert torch.equal(model(IDS).logits, loaded(IDS).logits)
    ask = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS), "max_new_tokens": 6, "do_sample": False}
    assert torch.equal(loaded.generate(**ask), loaded.generate(**ask, use_cache=False))


@family_param
@pytest.mark.parametrize("scores_over", ["all", "own"])
def test_gradient_checkpointing_is_plain(family: str, scores_over: str) -> None:
    partition = ExpertPartition(num_experts=E, text=EVEN, audio=ODD, scores_over=scores_over)
    model = most(family, partition=partition, balance_loss_alpha=0.1).train()
    logits, plain = step(model, IDS)
    model.gradient_checkpointing_enable()
    again, checkpointed = step(model, IDS)
    assert torch.equal(again, logits)
    equal(checkpointed, plain)


@family_param
def test_router_logits_are_of_all_experts_in_order(family: str) -> None:
    first = []
    for scores_over in ("all", "own"):
        model = most(family, partition=ExpertPartition(num_experts=E, text=ODD, audio=EVEN, scores_over=scores_over))
        logits = model(IDS, output_router_logits=True).router_logits
        assert [tuple(x.shape) for x in logits] == [(IDS.numel(), E)] * len(routers(model.language_model))
        first.append(logits[0])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert {x.dtype for x in model(IDS, output_router_logits=True).router_logits} == {torch.float32}
    torch.testing.assert_close(first[0], first[1])


@family_param
def test_it_compiles_in_one_graph(family: str) -> None:
    lm = backbone(family)
    install(lm, [ExpertPartition(num_experts=E, text=EVEN, audio=ODD, scores_over="own")])
    router = routers(lm)[0]
    hidden = torch.randn(16, 32)
    with torch.no_grad(), modality_scope(AUDIO):
        expected = router(hidden)
        compiled = torch.compile(lambda x: router(x), backend="eager", fullgraph=True)
        for ours, theirs in zip(compiled(hidden), expected, strict=True):
            assert torch.equal(ours, theirs)


def test_an_unknown_family_is_refused() -> None:
    config = backbone("olmoe").config
    config.model_type = "deepseek_v9"
    with pytest.raises(MostError, match="supported are deepseek_v2, deepseek_v3, granitemoe, mixtral, olmoe"):
        family_of(config)


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("deepseek_v2", {"topk_method": "noaux_tc"}, "topk_method: 'noaux_tc'"),
        ("deepseek_v2", {"scoring_func": "sigmoid"}, "scoring_func: 'sigmoid'"),
        ("deepseek_v2", {"norm_topk_prob": True}, "norm_topk_prob: True"),
        ("deepseek_v2", {"num_experts_per_tok": None}, "num_experts_per_tok: None"),
        ("deepseek_v3", {"scoring_func": "softmax"}, "scoring_func: 'softmax'"),
        ("deepseek_v3", {"topk_method": "greedy"}, "topk_method: 'greedy'"),
        ("deepseek_v3", {"n_group": None}, "n_group, topk_group"),
        ("deepseek_v3", {"topk_group": 3}, "n_group, topk_group"),
    ],
)
def test_conventions_that_are_not_covered_are_named(family: str, changes: dict, message: str) -> None:
    config = AutoConfig.for_model(family, **{**COMMON, **TINY[family], **changes})
    with pytest.raises(MostError, match=message):
        family_of(config).rule(config)


@pytest.mark.parametrize(
    ("family", "n_audio", "message"),
    [
        ("deepseek_v3", 5, "partition.audio: 5.*multiple of 2"),
        ("deepseek_v3", 4, "partition.audio: 4.*2 groups of 2"),
        ("deepseek_v2", 4, "partition.audio: 4.*too few to pick 3"),
        ("mixtral", 2, "the router picks 3"),
    ],
)
def test_groups_that_the_rule_cannot_handle_are_refused(family: str, n_audio: int, message: str) -> None:
    larger, partition = expand(backbone(family), family, list(range(n_audio)))
    with pytest.raises(MostError, match=message):
        install(larger, [partition])
    assert not any(isinstance(m, ModalityRouterMixin) for m in larger.modules())


@family_param
@pytest.mark.parametrize("weights", ["int8", "bf16"])
def test_a_release_of_it(family: str, weights: str, tmp_path: Path) -> None:
    model = build_from_backbone(backbone(family), tokenizer_size=40, n_units=12).eval()
    rounded = write_model(tmp_path, model, weights, None)
    assert bool(rounded) is (weights == "int8")
    loaded = MostForConditionalGeneration.from_pretrained(tmp_path).eval()
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    step = 0.5001 / 127 if weights == "int8" else 2**-8  # of the largest of a row; of the weight itself
    for name, weight in before.items():
        largest = weight.abs() if weights == "bf16" or weight.ndim < 2 else weight.abs().amax(dim=-1, keepdim=True)
        assert bool(((weight - after[name]).abs() <= step * largest).all()), name
