"""The installation: routing off is the backbone itself, routing on never crosses groups, whatever runs the layers."""

import copy
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.deepseek_v2 import modeling_deepseek_v2 as deepseek

from most.errors import MostError
from most.model.install import install, routers
from most.model.partition import ExpertPartition
from most.model.router import _CALL, modality_scope

IDS = torch.tensor([[3, 5, 7, 41, 45, 52, 9, 4], [42, 43, 44, 6, 8, 10, 11, 12]])


@pytest.mark.parametrize("grouped", [{}, {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2}])
def test_routing_off_is_the_backbone_in_logits_and_gradients(tiny, grouped: dict) -> None:
    lm = tiny.lm(**grouped)
    ours = copy.deepcopy(lm)
    install(ours, routing=False)
    labels = IDS.roll(1, dims=1)
    for model, extra in ((lm, {}), (ours, {"modality_ids": (IDS >= 40).long()})):
        model(input_ids=IDS, labels=labels, **extra).loss.backward()
    assert torch.equal(lm(IDS).logits, ours(IDS).logits)
    theirs = dict(lm.named_parameters())
    for name, p in ours.named_parameters():
        assert theirs[name].grad is not None
        assert torch.equal(p.grad, theirs[name].grad), name


def test_most_with_routing_off_is_the_backbone(tiny) -> None:
    lm = tiny.lm()
    model = tiny.most(lm, audio=False, modality_routing=False, balance_loss_alpha=0.0)
    reference = copy.deepcopy(model.language_model)
    install(reference, routing=False)
    ids = IDS[:1, :3]  # text only, so nothing of the new rows is read
    torch.testing.assert_close(model(ids).logits[..., :40], lm(ids).logits[..., :40], atol=1e-5, rtol=0)
    model.train()
    model(input_ids=IDS, labels=IDS).loss.backward()
    reference.train()
    reference(input_ids=IDS, labels=IDS).loss.backward()
    theirs = dict(reference.named_parameters())
    for name, p in model.language_model.named_parameters():
        torch.testing.assert_close(p.grad, theirs[name].grad, atol=1e-6, rtol=1e-5, msg=name)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.0, 1.0, 1e3, 1e30]),
    audio=st.sets(st.integers(0, 7), min_size=2, max_size=6),
    training=st.booleans(),
)
def test_experts_are_only_given_tokens_of_their_modality(
    tiny, picks, seed: int, scale: float, audio: set[int], training: bool
) -> None:
    text = tuple(i for i in range(8) if i not in audio)
    partition = ExpertPartition(num_experts=8, text=text, audio=tuple(audio))
    model = tiny.most(audio=False, partition=partition).train(training)
    generator = torch.Generator().manual_seed(seed)
    for router in routers(model.language_model):
        router.weight.data = scale * torch.randn(router.weight.shape, generator=generator)
    given_to: list[torch.Tensor] = []
    picks(model, given_to)
    ids = torch.randint(0, model.vocab.wave, (3, 9), generator=generator)
    model(ids)
    own = partition.membership()[model.vocab.modality_of(ids).flatten()]
    assert len(given_to) == 2
    for indices in given_to:
        assert own.gather(1, indices).all()


def test_partitions_differ_by_layer(tiny, picks) -> None:
    a = ExpertPartition.split_by_index(8)
    b = ExpertPartition(num_experts=8, text=(1, 3, 5, 7), audio=(0, 2, 4, 6))
    model = tiny.most(audio=False, partition=[a, b])
    assert [r.partition for r in routers(model.language_model)] == [a, b]
    given_to: list[torch.Tensor] = []
    picks(model, given_to)
    model(IDS)
    for indices, partition in zip(given_to, (a, b), strict=True):
        assert partition.membership()[model.vocab.modality_of(IDS).flatten()].gather(1, indices).all()


def test_missing_or_short_modality_ids_are_errors_never_text(tiny) -> None:
    lm = tiny.lm()
    install(lm)
    with pytest.raises(MostError, match="modality routing is on"):
        lm(IDS)
    with pytest.raises(MostError, match="each of the 16 positions"):
        lm(IDS, modality_ids=torch.zeros(2, 7, dtype=torch.long))
    assert _CALL.modality_ids is None


def test_installing_again_repartitions_and_names_stay(tiny) -> None:
    lm = tiny.lm()
    names = list(lm.state_dict())
    install(lm)
    classes = [type(layer) for layer in lm.model.layers]
    other = ExpertPartition(num_experts=8, text=(4, 5, 6, 7), audio=(0, 1, 2, 3))
    before = lm(IDS, modality_ids=(IDS >= 40).long()).logits
    install(lm, [other])
    assert [type(layer) for layer in lm.model.layers] == classes
    assert {c.__name__ for c in classes} == {"DeepseekV2DecoderLayer"} == set(lm._no_split_modules)
    assert list(lm.state_dict()) == names
    assert all(isinstance(r, deepseek.DeepseekV2TopkRouter) for r in routers(lm))
    assert not torch.allclose(before, lm(IDS, modality_ids=(IDS >= 40).long()).logits)
    install(lm, routing=False)
    lm(IDS)


def test_transformers_records_the_router_logits(tiny) -> None:
    lm = tiny.lm()
    if "router_logits" not in (lm._can_record_outputs or {}):
        pytest.skip("this transformers does not record router logits of deepseek_v2")
    install(lm)
    recorded = lm(IDS, modality_ids=(IDS >= 40).long(), output_router_logits=True).router_logits
    assert [tuple(x.shape) for x in recorded] == [(16, 8)] * 2
    assert all(x.requires_grad for x in recorded)
    model = tiny.most(tiny.lm(), audio=False)
    ours = model(IDS, output_router_logits=True).router_logits
    theirs = model.language_model(IDS, modality_ids=(IDS >= 40).long(), output_router_logits=True).router_logits
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_threads_do_not_see_each_others_modality(tiny) -> None:
    model = tiny.most(audio=False)
    inputs = [torch.full((1, 5), 3), torch.full((1, 5), 45)]
    with torch.no_grad():
        expected = [model(x).logits for x in inputs]
    wrong: list[int] = []

    def run(i: int) -> None:
        with torch.no_grad():
            for _ in range(20):
                if not torch.equal(model(inputs[i]).logits, expected[i]):
                    wrong.append(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in (0, 1)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_experts_implementations_agree(tiny) -> None:
    model = tiny.most(audio=False)
    outputs, gradients = [], []
    for implementation in ("eager", "grouped_mm", "batched_mm"):
        model.set_experts_implementation({"text_config": implementation})
        assert model.language_model.config._experts_implementation == implementation
        model.zero_grad()
        out = model(input_ids=IDS, labels=IDS)
        out.loss.backward()
        outputs.append(out.logits.detach())
        gradients.append(model.language_model.model.layers[1].mlp.experts.gate_up_proj.grad.clone())
    for a in (1, 2):
        torch.testing.assert_close(outputs[0], outputs[a], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(gradients[0], gradients[a], atol=1e-5, rtol=1e-5)


def test_half_precision_autocast_does_not_reach_the_router(tiny) -> None:
    model = tiny.most(audio=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(IDS, output_router_logits=True).router_logits[0]
    assert logits.dtype == torch.float32


def test_it_compiles_in_one_graph(tiny) -> None:
    lm = tiny.lm()
    install(lm)
    modality_ids = (IDS >= 40).long()
    lm.set_experts_implementation("batched_mm")
    with torch.no_grad():
        expected = lm.model(IDS, modality_ids=modality_ids, use_cache=False).last_hidden_state
        compiled = torch.compile(lm.model.layers[1], backend="eager", fullgraph=True)
        hidden = lm.model.embed_tokens(IDS)
        position = lm.model.rotary_emb(hidden, torch.arange(8)[None])
        args = {"position_embeddings": position, "modality_ids": modality_ids}
        torch.testing.assert_close(compiled(hidden, **args), lm.model.layers[1](hidden, **args))
    assert expected.isfinite().all()


def test_an_unknown_backbone_is_refused(tiny) -> None:
    dense = tiny.lm(first_k_dense_replace=3)
    with pytest.raises(MostError, match="no MoE layer"):
        install(dense)


@pytest.mark.parametrize("grouped", [{}, {"topk_method": "group_limited_greedy", "n_group": 2, "topk_group": 1}])
def test_a_few_tokens_of_one_modality_are_routed_as_among_others(tiny, grouped: dict) -> None:
    """Without gradients their group alone is asked; the answer is that of both groups, to the bit."""
    lm = tiny.lm(**grouped)
    install(lm, [ExpertPartition(num_experts=8, text=(0, 2, 5, 7), audio=(1, 3, 4, 6), scores_over="own")])
    router = routers(lm)[0]
    hidden = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    for modality in ([0] * 5, [1] * 5, [0, 1, 1, 0, 1]):
        with modality_scope(torch.tensor(modality)):
            _, *whole = router(hidden)
            with torch.no_grad():
                logits, *alone = router(hidden)
        assert logits.shape == (5, 8)
        for ours, theirs in zip(alone, whole, strict=True):
            assert torch.equal(ours, theirs)


def test_what_ran_in_inference_mode_can_be_trained(tiny) -> None:
    lm = tiny.lm()
    install(lm, [ExpertPartition(num_experts=8, text=(0, 1, 2, 3), audio=(4, 5, 6, 7), scores_over="own")])
    modality = (IDS >= 40).long()
    with torch.inference_mode():
        lm(IDS, modality_ids=modality)
    lm(IDS, labels=IDS, modality_ids=modality).loss.backward()
    assert all(router.weight.grad is not None for router in routers(lm))
