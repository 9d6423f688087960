"""Experts by `sorted_mm`: transformers' results and gradients in every family, the cases that loops get wrong, and what
it leaves undone; then that models run by it unless told otherwise."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Experts
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssConfig, GptOssExperts

from most.model import MostConfig, MostForConditionalGeneration
from most.model.experts import DEFAULT_EXPERTS, SORTED_EXPERTS
from most.model.experts import sorted as sorted_module
from most.model.experts.sorted import FEW, by_expert
from most.model.families import FAMILIES

E, K, H, WIDTH = 6, 3, 24, 16  # rows of multiples of 16 bytes, which grouped_mm needs
COMMON = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "max_position_embeddings": 64,
    "initializer_range": 0.2, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
LATENT = {
    "kv_lora_rank": 16, "q_lora_rank": None, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
    "first_k_dense_replace": 1, "n_shared_experts": 1, "n_group": 2, "topk_group": 1,
}  # fmt: skip
EXTRA: dict[str, dict[str, Any]] = {"deepseek_v2": LATENT, "deepseek_v3": {**LATENT, "num_mtp_layers": 0}}


def experts(dtype: torch.dtype = torch.float32, act: str = "silu", n: int = E) -> Any:
    torch.manual_seed(0)
    config = SimpleNamespace(
        num_experts=n,
        hidden_size=H,
        moe_intermediate_size=WIDTH,
        hidden_act=act,
        _experts_implementation=SORTED_EXPERTS,
    )
    module: Any = DeepseekV2Experts(config)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module.to(dtype)


def routed(n: int, among: int = E, k: int = K, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    """Hidden states (n, H), indices and weights (n, k); experts from `among` on are picked by no token."""
    generator = torch.Generator().manual_seed(n)
    hidden = torch.randn(n, H, generator=generator).to(dtype)
    weights, indices = torch.rand(n, among, generator=generator).topk(k, dim=-1)
    return hidden, indices, weights


def run(module: Any, implementation: str, inputs: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    """The output, and gradients of all that has any, by name."""
    module.config._experts_implementation = implementation
    module.zero_grad()
    hidden, indices, weights = inputs
    hidden, weights = hidden.clone().requires_grad_(), weights.clone().requires_grad_()
    out = module(hidden, indices, weights)
    (out.float() * torch.linspace(-1, 1, H)).sum().backward()
    grads = {"hidden": hidden.grad, "weights": weights.grad, **{n: p.grad for n, p in module.named_parameters()}}
    return {"out": out.detach(), **{name: g for name, g in grads.items() if g is not None}}


def close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], tolerance: float) -> None:
    """Within `tolerance` of the largest value."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype, name
        error = (value.double() - theirs[name].double()).abs().max()
        assert error <= tolerance * theirs[name].double().abs().max(), f"{name}: {error}"


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-5), (torch.bfloat16, 6e-2)])
def test_every_family_computes_what_eager_does(family: str, dtype: torch.dtype, tolerance: float) -> None:
    row = {**COMMON, **EXTRA.get(family, {}), FAMILIES[family].experts_key: 8}
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **row)
    block = FAMILIES[family].block
    theirs = AutoModelForCausalLM.from_config(config, experts_implementation="eager").to(dtype)
    ours = copy.deepcopy(theirs)
    ours.set_experts_implementation(SORTED_EXPERTS)
    assert ours.config._experts_implementation == SORTED_EXPERTS
    theirs, ours = (m.get_decoder().layers[-1].get_submodule(block) for m in (theirs, ours))
    hidden = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(1)).to(dtype)
    results = []
    for module in (ours, theirs):
        x = hidden.clone().requires_grad_()
        out = module(x)
        out = out[0] if isinstance(out, tuple) else out
        out.float().square().sum().backward()
        results.append({"out": out, "x": x.grad, **{n: p.grad for n, p in module.named_parameters()}})
    close(*results, tolerance)


@pytest.mark.parametrize("stretch", [1, 2**19])  # each expert alone, and all at once
@pytest.mark.parametrize("act", ["silu", "gelu"])
@pytest.mark.parametrize(
    ("n", "among", "k"), [(40, E, K), (40, 4, K), (1, E, K), (2, E, 1), (5, K, K)],
    ids=["all", "unused experts", "one token", "top-1", "every token everywhere"],
)  # fmt: skip
def test_equal_to_grouped_mm(n: int, among: int, k: int, act: str, stretch: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(sorted_module, "CACHED_VALUES", stretch)
    module, inputs = experts(act=act), routed(n, among, k)
    theirs = run(module, "grouped_mm", inputs)
    close(run(module, SORTED_EXPERTS, inputs), theirs, 2e-6)
    with torch.no_grad():
        close({"out": module(*inputs)}, {"out": theirs["out"]}, 2e-6)
    assert among == E or not module.gate_up_proj.grad[among:].any()


@pytest.mark.parametrize(("n", "among"), [(1, E), (2, 3), (7, E), (FEW, E + 2)])
def test_few_tokens_are_sorted_as_many_are(n: int, among: int, monkeypatch: Any) -> None:
    """Picks of experts from E on, too, which stand for those of other ranks."""
    _, indices, _ = routed(n, among)
    few = by_expert(indices, E, WIDTH)
    monkeypatch.setattr(sorted_module, "FEW", 0)
    many = by_expert(indices, E, WIDTH)
    assert torch.equal(few.token, many.token)
    assert torch.equal(few.row, many.row)
    assert (few.stretches, few.unused) == (many.stretches, many.unused)


@pytest.mark.parametrize("n", [3, 40, 100])
def test_rows_filled_up_in_half_precision_count_for_nothing(n: int) -> None:
    module, inputs = experts(torch.bfloat16), routed(n, dtype=torch.bfloat16)
    picks = sorted_module.by_expert(inputs[1], E, H, sorted_module.ROWS)
    sizes = {rows.stop - rows.start for part in picks.stretches for _, rows in part.groups}
    assert all(size <= sorted_module.ROWS or size % sorted_module.ROWS == 0 for size in sizes)
    ours, theirs = run(module, SORTED_EXPERTS, inputs), run(module, "grouped_mm", inputs)
    close(ours, theirs, 2e-2)


@pytest.mark.parametrize("n", [1, 12])
def test_an_expert_picked_twice_by_a_token_counts_twice(n: int) -> None:
    module, (hidden, indices, weights) = experts(), routed(n)
    indices[:, 2] = indices[:, 0]
    close(run(module, SORTED_EXPERTS, (hidden, indices, weights)),
          run(module, "grouped_mm", (hidden, indices, weights)), 2e-6)  # fmt: skip


def test_gradients_are_those_of_finite_differences() -> None:
    module, (hidden, indices, weights) = experts(torch.float64), routed(5, dtype=torch.float64)

    def outputs(hidden: torch.Tensor, weights: torch.Tensor, gate_up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
        parameters = {"gate_up_proj": gate_up, "down_proj": down}
        return torch.func.functional_call(module, parameters, (hidden, indices, weights))

    inputs = (hidden, weights.double(), module.gate_up_proj, module.down_proj)
    assert torch.autograd.gradcheck(outputs, tuple(x.detach().requires_grad_() for x in inputs), fast_mode=True)


@pytest.mark.parametrize("trained", ["hidden", "weights", "gate_up_proj", "down_proj"])
def test_only_gradients_asked_for_are_computed(trained: str) -> None:
    module, (hidden, indices, weights) = experts(), routed(16)
    whole = run(module, SORTED_EXPERTS, (hidden, indices, weights))
    module.zero_grad()
    tensors = {"hidden": hidden, "weights": weights, **dict(module.named_parameters())}
    for name, tensor in tensors.items():
        tensor.requires_grad_(name == trained)
    (module(hidden, indices, weights) * torch.linspace(-1, 1, H)).sum().backward()
    for name, tensor in tensors.items():
        if name == trained:
            assert torch.equal(tensor.grad, whole[name])
        else:
            assert tensor.grad is None


def test_gradients_accumulate() -> None:
    module, inputs = experts(), routed(16)
    once = run(module, SORTED_EXPERTS, inputs)["down_proj"].clone()
    (module(*inputs) * torch.linspace(-1, 1, H)).sum().backward()
    assert torch.equal(module.down_proj.grad, 2 * once)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_changes_nothing(reentrant: bool) -> None:
    module, (hidden, indices, weights) = experts(), routed(16)
    plain = run(module, SORTED_EXPERTS, (hidden, indices, weights))
    module.zero_grad()
    hidden = hidden.clone().requires_grad_()
    out = torch.utils.checkpoint.checkpoint(module, hidden, indices, weights, use_reentrant=reentrant)
    (out * torch.linspace(-1, 1, H)).sum().backward()
    assert torch.equal(out, plain["out"])
    assert torch.equal(hidden.grad, plain["hidden"])
    assert torch.equal(module.gate_up_proj.grad, plain["gate_up_proj"])


@pytest.mark.parametrize("n", [1, 30])
def test_autocast_multiplies_in_its_dtype_as_eager_does(n: int) -> None:
    module, inputs = experts(), routed(n)
    exact = run(module, "eager", inputs)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = run(module, SORTED_EXPERTS, inputs), run(module, "eager", inputs)
        with torch.no_grad():
            module.config._experts_implementation = SORTED_EXPERTS
            close({"out": module(*inputs)}, {"out": theirs["out"]}, 2e-2)
    close(ours, theirs, 3e-2)
    assert not torch.allclose(ours["out"], exact["out"], rtol=1e-4, atol=1e-4)


def test_hidden_states_may_be_wider_than_weights() -> None:
    module, inputs = experts(torch.bfloat16), routed(12)
    ours, theirs = run(module, SORTED_EXPERTS, inputs), run(module, "grouped_mm", inputs)
    assert ours["out"].dtype == torch.float32
    close(ours, theirs, 2e-2)


@pytest.mark.parametrize("n", [1, 12])
def test_experts_of_other_ranks_add_nothing(n: int) -> None:
    module, (hidden, indices, weights) = experts(), routed(n)
    indices[:, 0], weights[:, 0] = E, 0.0  # as transformers' expert parallelism marks them
    ours = run(module, SORTED_EXPERTS, (hidden, indices, weights))
    theirs = run(module, SORTED_EXPERTS, (hidden, indices[:, 1:], weights[:, 1:]))
    assert not ours["weights"][:, 0].any()
    ours["weights"] = ours["weights"][:, 1:]
    close(ours, theirs, 1e-6)


def test_a_rank_that_no_token_picks_answers_zero() -> None:
    module, (hidden, indices, weights) = experts(), routed(4)
    result = run(module, SORTED_EXPERTS, (hidden, torch.full_like(indices, E), torch.zeros_like(weights)))
    assert all(not value.any() for value in result.values())


def test_no_tokens_at_all() -> None:
    module, (hidden, indices, weights) = experts(), routed(4)
    assert module(hidden[:0], indices[:0], weights[:0]).shape == (0, H)


def test_other_layouts_are_left_to_transformers() -> None:
    config = GptOssConfig(hidden_size=H, intermediate_size=WIDTH, num_local_experts=E, num_hidden_layers=1)
    config._experts_implementation = SORTED_EXPERTS
    torch.manual_seed(0)
    module = GptOssExperts(config)  # interleaved, transposed, with bias
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    inputs = routed(8)
    ours = module(*inputs)
    config._experts_implementation = "grouped_mm"
    assert torch.equal(ours, module(*inputs))


def test_fewer_values_are_kept_than_by_transformers() -> None:
    module, inputs = experts(), routed(600)
    kept: dict[str, int] = {}
    for name in (SORTED_EXPERTS, "grouped_mm"):
        module.config._experts_implementation = name
        seen: dict[int, int] = {}
        pack = lambda x, seen=seen: seen.setdefault(x.data_ptr(), x.numel()) and x  # noqa: E731
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            module(inputs[0].clone().requires_grad_(), inputs[1], inputs[2])
        kept[name] = sum(seen.values())
    assert kept[SORTED_EXPERTS] < 0.6 * kept["grouped_mm"]


@pytest.mark.parametrize(
    ("dtype", "autocast", "n", "chosen"),
    [
        (torch.float32, False, FEW + 1, "grouped_mm"),
        (torch.float32, False, 9, "sorted_mm"),
        (torch.float32, False, 1, "sorted_mm"),
        (torch.float32, True, 9, "sorted_mm"),
        (torch.bfloat16, False, 9, "sorted_mm"),
    ],
)
def test_the_default_takes_the_faster(dtype, autocast, n, chosen, monkeypatch) -> None:
    taken = []
    for name in ("grouped_mm", "sorted_mm"):
        original = ALL_EXPERTS_FUNCTIONS[name]
        spy = lambda *a, name=name, original=original: taken.append(name) or original(*a)  # noqa: E731
        monkeypatch.setitem(ALL_EXPERTS_FUNCTIONS._global_mapping, name, spy)
    module, inputs = experts(dtype), routed(n, dtype=dtype)
    module.config._experts_implementation = DEFAULT_EXPERTS
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = module(*inputs)
    assert taken == [chosen]
    monkeypatch.undo()
    module.config._experts_implementation = "eager"
    with torch.no_grad():
        torch.testing.assert_close(out.float(), module(*inputs).float(), atol=0.2, rtol=0.05)


def test_models_run_by_the_default_unless_told_otherwise(tiny: Any, tmp_path: Any) -> None:
    tiny.most(audio=False).save_pretrained(tmp_path)
    load = MostForConditionalGeneration.from_pretrained

    def implementation(model: Any) -> str:
        (name,) = {m.config._experts_implementation for m in model.modules() if isinstance(m, DeepseekV2Experts)}
        return name

    assert implementation(load(tmp_path)) == DEFAULT_EXPERTS
    assert implementation(load(tmp_path, experts_implementation="eager")) == "eager"
    model = load(tmp_path)
    model.set_experts_implementation("grouped_mm")
    assert implementation(model) == "grouped_mm"
    assert implementation(load(tmp_path)) == DEFAULT_EXPERTS
    config = MostConfig.from_pretrained(tmp_path)
    assert "experts_implementation" not in config.to_json_string()
    assert implementation(MostForConditionalGeneration(config)) == DEFAULT_EXPERTS
    lm = tiny.lm()
    lm.set_experts_implementation("eager")
    assert implementation(tiny.most(lm, audio=False)) == "eager"  # a live model keeps what it ran by
