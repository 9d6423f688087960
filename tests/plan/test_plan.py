"""Plans: parameters are the modules' own, memory and time follow the recipe, and what does not fit says what would."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from transformers import AutoProcessor
from typer.testing import CliRunner

from most.cli.plan import VERBS
from most.convert.info import count_parameters, describe
from most.data.dataset import Collator, StepOrder
from most.errors import MostError
from most.model.configuration import MostConfig
from most.plan.batches import assumed, measured, of_lengths
from most.plan.bench import shallower
from most.plan.machines import CPU, GPUS, stated_rates
from most.plan.plan import plan
from most.plan.shape import ModelShape, UpcycleShape, find_config, meta_model
from most.plan.text import as_text, headline
from most.train.parallel import ParallelSettings
from most.train.run import build_dataset
from most.train.trainable import TrainableSettings

V2_LITE = Path(__file__).resolve().parents[2] / "recipes" / "v2-lite" / "shape.yaml"
RATES = stated_rates("H100")


def parameters(made):
    return sum(row["total"] for row in made.parameters.values())


@pytest.fixture
def config(tiny_most):
    return MostConfig.from_pretrained(tiny_most)


def test_parameters_are_those_of_the_checkpoint(recipe, config, tiny_most):
    made = plan(recipe(), config, RATES, device="H100")
    facts = describe(tiny_most)["parameters"]
    assert made.parameters == facts["parts"]
    assert parameters(made) == sum(p.numel() for p in meta_model(config).parameters())
    frozen = facts["parts"]["audio_encoder"]["total"]
    assert sum(made.trained.values()) == facts["total"] - frozen


def test_the_published_model_plans_without_its_weights(recipe):
    config, source = find_config(Path("nowhere"), shape=V2_LITE)
    assert source == str(V2_LITE)
    published = {n: tuple(p.shape) for n, p in meta_model(config).named_parameters()}
    parts = count_parameters(published, config)
    beside = sum(parts[name]["total"] for name in ("audio_encoder", "audio_projection"))
    # As published: units and markers take spare rows of its embedding.
    assert sum(row["total"] for row in parts.values()) - beside == 15_706_484_224
    assert 2.3e9 < sum(row["active_audio"] for row in parts.values()) < 2.5e9
    big = recipe(
        model=Path("nowhere"), batch_size=512, micro_batch_size=4, precision="bf16", gradient_checkpointing=True,
        parallel=ParallelSettings(data="fsdp"), data={"max_length": 256},
    )  # fmt: skip
    made = plan(big, shallower(config, 2), RATES, device="H100", n_devices=64, batches=assumed(big))
    assert made.fits
    assert made.tokens_per_step == 512 * 256


def test_v2_lite_on_one_card_does_not_fit_and_says_what_would(recipe):
    config, _ = find_config(Path("nowhere"), shape=V2_LITE)
    big = recipe(model=Path("nowhere"), batch_size=16, micro_batch_size=1, precision="bf16", data={"max_length": 128})
    small = replace(RATES, memory=30e9)
    made = plan(big, shallower(config, 4), small, device="H100", batches=assumed(big))
    assert not made.fits
    assert made.used.weights == pytest.approx(4 * parameters(made))
    assert made.used.optimizer == pytest.approx(2 * made.used.gradients)
    assert made.advice[-1].endswith("fits")
    assert "does not fit" in as_text(made)


def test_shards_divide_weights_gradients_and_moments(recipe, config):
    alone = plan(recipe(), config, RATES, device="H100")
    shared = plan(
        recipe(micro_batch_size=5, parallel=ParallelSettings(data="fsdp")), config, RATES, device="H100", n_devices=2
    )
    for part in ("weights", "gradients", "optimizer"):
        assert getattr(shared.used, part) == pytest.approx(getattr(alone.used, part) / 2)
    copies = plan(recipe(micro_batch_size=5), config, RATES, device="H100", n_devices=2)
    assert copies.used.weights == alone.used.weights
    assert copies.time.hidden > 0


def test_what_learns_decides_about_gradients(recipe, config):
    all_, some = (
        plan(recipe(train=TrainableSettings(parts=parts)), config, RATES, device="H100")
        for parts in (("all",), ("projection",))
    )
    assert some.used.gradients == 4 * sum(some.trained.values())
    assert some.flops_per_position["backward"] < all_.flops_per_position["backward"]
    assert some.flops_per_position["forward"] == all_.flops_per_position["forward"]


def test_the_roofline_names_what_bounds(recipe, config):
    slow = replace(RATES, bandwidth=1e6, kernel_seconds=0.0)
    assert plan(recipe(), config, slow, device="H100").time.bound == "memory bandwidth"
    host = replace(RATES, kernel_seconds=1.0)
    assert plan(recipe(), config, host, device="H100").time.bound == "launching kernels"
    weak = replace(RATES, full_flops=1e6, kernel_seconds=0.0)
    made = plan(recipe(), config, weak, device="H100")
    assert made.time.bound == "compute"
    positions = made.batches.positions
    flops = positions * (sum(made.flops_per_position["forward"].values()) + made.flops_per_position["backward"])
    assert made.time.products == pytest.approx(flops / 1e6, rel=1e-6)
    linked = replace(RATES, link=1.0, network=1.0)
    assert plan(recipe(micro_batch_size=5), config, linked, device="H100", n_devices=2).time.bound == "network"


def test_a_measured_ratio_scales_the_step(recipe, config):
    once, twice = (plan(recipe(), config, replace(RATES, step_ratio=r), device=CPU).time for r in (1.0, 2.0))
    assert twice.total - twice.optimizer == pytest.approx(2 * (once.total - once.optimizer))


def test_micro_batches_are_those_that_training_makes(recipe):
    made = recipe(micro_batch_size=5, batch_size=10)
    processor = AutoProcessor.from_pretrained(made.model)
    dataset = build_dataset(made, processor, echo=lambda _: None)
    order = list(StepOrder(dataset, made.batch_size))
    collate = Collator(processor.tokenizer.pad_token_id, packing=True)
    batches = [collate([dataset[i] for i in order[k : k + 5]]) for k in range(0, len(order), 5)]
    planned = of_lengths(made, dataset.lengths, "here")
    sizes = [b["input_ids"].numel() for b in batches]
    assert planned.positions == pytest.approx(sum(sizes) / len(sizes))
    assert planned.largest[0] * planned.largest[1] == max(sizes)
    assert planned.tokens == pytest.approx(sum(int(b["token_mask"].sum()) for b in batches) / len(batches))
    assert measured(made) == replace(planned, source=measured(made).source)


def test_without_data_the_maximum_is_assumed(recipe):
    made = recipe(data={"manifests": (Path("none.jsonl"),), "max_length": 512})
    assert measured(made) is None
    assert assumed(made).positions == 10 * 512
    short = assumed(made, 100)
    assert (short.rows, short.width) == (2, 500)


def test_a_dense_backbone_is_planned_upcycled(recipe):
    config = {
        "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "intermediate_size": 48,
    }  # fmt: skip
    shape = ModelShape(config=config, text_size=300, n_units=20, upcycle=UpcycleShape(experts_per_group=3))
    most = shape.most_config()
    assert most.text_config.num_local_experts == 6
    assert most.text_config.vocab_size == 384
    made = plan(recipe(), most, RATES, device="H100", batches=assumed(recipe()))
    assert made.parameters["text_experts"]["total"] == 2 * 3 * 3 * 32 * 48


@pytest.mark.parametrize(("name", "remedy"), [("H10", "did you mean 'H100'"), ("TPU", "known")])
def test_an_unknown_card(name, remedy):
    with pytest.raises(MostError, match=remedy):
        stated_rates(name)


def test_every_card_has_a_source():
    assert all(gpu.source and gpu.full_flops <= gpu.half_flops for gpu in GPUS.values())


def test_more_ranks_than_experts_are_refused(recipe, config):
    wide = recipe(micro_batch_size=1, parallel=ParallelSettings(data="fsdp", experts=8))
    with pytest.raises(MostError, match=r"parallel\.experts|transformers>=5\.24"):
        plan(wide, config, RATES, device="H100", n_devices=8)


def test_a_model_that_is_nowhere(tmp_path):
    with pytest.raises(MostError, match="not there yet"):
        find_config(tmp_path / "none", tmp_path / "recipe.yaml")


def test_the_command(recipe, tmp_path, tiny_most, tiny_corpus, tiny_arrays):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"model: {tiny_most}\noutput: {tmp_path / 'run'}\nsteps: 4\nbatch_size: 4\nlearning_rate: 1.0e-3\n"
        f"data: {{manifests: [{tiny_corpus / 'train.jsonl'}], arrays: {tiny_arrays}}}\n"
    )
    app = typer.Typer()
    for verb in VERBS:
        app.command(verb.__name__)(verb)
    runner = CliRunner()
    bench = tmp_path / "bench.json"
    result = runner.invoke(app, ["bench", str(path), "--out", str(bench), "--device", "cpu"], catch_exceptions=False)
    assert result.exit_code == 0
    measured_ = json.loads(bench.read_text())
    assert measured_["rates"]["step_ratio"] == pytest.approx(measured_["measured"] / measured_["predicted"])
    arguments = ["plan", str(path), "--bench", str(bench), "--json"]
    row = json.loads(runner.invoke(app, arguments, catch_exceptions=False).stdout)
    assert row["rates"]["step_ratio"] == measured_["rates"]["step_ratio"]
    assert row["used"]["total"] > row["used"]["weights"] > 0
    text = runner.invoke(app, ["plan", str(path), "--gpu", "h100"], catch_exceptions=False).stdout
    assert "memory of a device" in text


def test_the_headline_has_all_that_one_asks_first(recipe, config):
    line = headline(plan(recipe(), config, RATES, device="H100"))
    assert line.count("\n") == 0
    assert all(word in line for word in ("parameters", "a step", "tokens/s", "bound by"))
