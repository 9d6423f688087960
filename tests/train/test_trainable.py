"""What is frozen stays bit-identical, down to rows of fused expert tensors; what trains changes."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForMultimodalLM

from most.errors import MostError
from most.model import MostForConditionalGeneration
from most.train.trainable import LoraSettings, Trainable, TrainableSettings, parts_of, select

pytestmark = pytest.mark.usefixtures("no_estimate")


@pytest.fixture
def model(tiny_most):
    return MostForConditionalGeneration.from_pretrained(tiny_most)


def changed_rows(before, after):
    return (before != after).flatten(1).any(dim=1)


def test_every_parameter_of_every_family_belongs_to_a_part(model):
    counts = {}
    for _, part in parts_of(model):
        counts[part] = counts.get(part, 0) + 1
    assert "other" not in counts
    assert counts["experts"] == 2
    assert counts["router"] == 1
    assert counts["projection"] == 4
    assert counts["dense_mlp"] == 3
    assert set(counts) >= {"attention", "norms", "embeddings", "shared_experts", "audio_encoder"}


@pytest.mark.parametrize(("part", "frozen_group"), [("audio_experts", "text"), ("text_experts", "audio")])
def test_experts_of_one_group_train_and_the_other_group_stays_bit_identical(
    recipe, quietly, weights, model, part, frozen_group
):
    start = recipe(train=TrainableSettings(parts=(part,)), weight_decay=0.3, steps=4, learning_rate=1e-2)
    final = quietly(start)
    before, after = weights(start.model), weights(final)
    router = model.get_decoder().layers[1].mlp.gate
    frozen = torch.tensor(router.partition.text if frozen_group == "text" else router.partition.audio)
    experts = [n for n in before if ".mlp.experts." in n]
    assert len(experts) == 2
    for name in experts:
        rows = changed_rows(before[name], after[name])
        assert not rows[frozen].any()
        assert rows.sum() == len(rows) - len(frozen)
    assert all(torch.equal(before[n], after[n]) for n in before if n not in experts)
    # The moments of frozen rows stayed zero, so nothing is waiting to move them.
    state = torch.load(final.parent / "checkpoint-4" / "optimizer.pt", weights_only=True)["state"]
    assert len(state) == 2
    for moments in state.values():
        assert not moments["exp_avg"][frozen].any()
        assert not moments["exp_avg_sq"][frozen].any()
        assert moments["exp_avg_sq"].any()


def test_rows_that_train_move_as_if_all_did(recipe, quietly, weights):
    """Decay and step of trained rows are AdamW's own: one step without clipping, against training everything."""
    settings = {"steps": 1, "weight_decay": 0.3, "max_grad_norm": 1e9, "learning_rate": 1e-2, "schedule": "constant"}
    whole = weights(quietly(recipe("whole", **settings)))
    part = weights(quietly(recipe("part", train=TrainableSettings(parts=("audio_experts",)), **settings)))
    before = weights(recipe().model)
    for name in (n for n in whole if ".mlp.experts." in n):
        moved = changed_rows(before[name], part[name])
        assert moved.any()
        torch.testing.assert_close(part[name][moved], whole[name][moved], rtol=1e-6, atol=1e-8)


def test_audio_embeddings_leave_text_rows_alone(recipe, quietly, weights, model):
    final = quietly(recipe(train=TrainableSettings(parts=("audio_embeddings", "projection")), steps=3))
    before, after = weights(recipe().model), weights(final)
    for name in ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight"):
        rows = changed_rows(before[name], after[name])
        assert not rows[: model.config.text_size].any()
        assert rows[model.config.text_size :].any()
    assert not torch.equal(before["audio_projection.linear.weight"], after["audio_projection.linear.weight"])


def test_frozen_gradients_are_dropped_even_when_they_are_no_numbers(model):
    trainable = select(model, TrainableSettings(parts=("audio_experts",)))
    (name, frozen), *_ = trainable.frozen_rows.items()
    parameter = dict(model.named_parameters())[name]
    parameter.grad = torch.full_like(parameter, float("nan"))
    trainable.mask_gradients(model)
    assert (parameter.grad[frozen] == 0).all()
    assert parameter.grad.isnan().sum() == parameter.grad.numel() - parameter.grad[frozen].numel()


def test_frozen_rows_of_a_sharded_tensor_are_this_ranks_rows():
    """The second of two ranks, which holds experts 4 to 7; 2, 3 and 6 stay."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Shard
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.distributed.init_process_group("fake", store=FakeStore(), rank=1, world_size=2)
    try:
        mesh = init_device_mesh("cpu", (2,))
        layer = torch.nn.Module()
        layer.weight = torch.nn.Parameter(DTensor.from_local(torch.ones(4, 3), mesh, [Shard(0)]))
        layer.weight.grad = DTensor.from_local(torch.ones(4, 3), mesh, [Shard(0)])
        trainable = Trainable(frozen_rows={"weight": torch.tensor([2, 3, 6])})
        trainable.mask_gradients(layer)
        here = torch.tensor([1.0, 1.0, 0.0, 1.0])
        assert torch.equal(layer.weight.grad.to_local(), here[:, None].expand(4, 3))
        optimizer = torch.optim.SGD([layer.weight], lr=0.1)
        trainable.decay_hook(layer, weight_decay=0.5)(optimizer)
        torch.testing.assert_close(layer.weight.to_local().detach()[:, 0], 1 - 0.05 * here)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    "parts", [("projection",), ("router", "norms"), ("attention",), ("shared_experts", "dense_mlp")]
)
def test_only_the_named_parts_move(recipe, quietly, weights, model, parts):
    final = quietly(recipe(train=TrainableSettings(parts=parts), steps=2))
    before, after = weights(recipe().model), weights(final)
    named = dict(parts_of(model))
    moved = {named[n] for n in before if not torch.equal(before[n], after[n])}
    assert moved == set(parts)


def test_lora_trains_adapters_and_merges_them_into_a_plain_most(recipe, quietly, weights, model):
    pytest.importorskip("peft")
    lora = TrainableSettings(parts=("projection",), lora=LoraSettings(rank=4, targets=("q_proj", "o_proj")))
    start = recipe(train=lora, steps=4, checkpoint_every=2)
    final = quietly(start)
    before, after = weights(start.model), weights(final)
    assert set(before) == set(after)
    moved = {n for n in before if not torch.equal(before[n], after[n])}
    assert {n.split(".")[-2] for n in moved if "self_attn" in n} == {"q_proj", "o_proj"}
    assert all("self_attn" in n or n.startswith("audio_projection.") for n in moved)
    difference = after["language_model.model.layers.0.self_attn.q_proj.weight"]
    difference = difference - before["language_model.model.layers.0.self_attn.q_proj.weight"]
    assert torch.linalg.matrix_rank(difference.double(), rtol=1e-5) <= 4
    AutoModelForMultimodalLM.from_pretrained(final)


def test_a_lora_run_resumes_bit_for_bit(recipe, quietly, weights, monkeypatch):
    pytest.importorskip("peft")
    from most.train.trainer import MostTrainer

    lora = TrainableSettings(parts=(), lora=LoraSettings(rank=2, dropout=0.2))
    whole = weights(quietly(recipe("whole", train=lora)))
    step = MostTrainer.training_step

    def dies(self, *args, **kwargs):
        if self.state.global_step == 4:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(MostTrainer, "training_step", dies)
    with pytest.raises(KeyboardInterrupt):
        quietly(recipe("broken", train=lora))
    monkeypatch.undo()
    broken = weights(quietly(recipe("broken", train=lora)))
    assert all(torch.equal(whole[n], broken[n]) for n in whole)


def test_settings_that_make_no_sense_are_named(model):
    with pytest.raises(MostError, match="nothing would train"):
        TrainableSettings(parts=())
    with pytest.raises(MostError, match="stands alone"):
        TrainableSettings(parts=("all", "router"))
    with pytest.raises(MostError, match="no linear layer"):
        select(model, TrainableSettings(parts=(), lora=LoraSettings(targets=("nothing",))))
