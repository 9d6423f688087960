"""Stage after stage: text on a plain backbone, stage 1, stage 2 with what is forgotten; and equal ways to one step."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from most.convert.convert import convert
from most.convert.settings import ConvertSettings
from most.files import read_lines
from most.manifest import Example, Turn, read_examples, write_jsonl
from most.model.load import load_most
from most.train.heldout import HELD_OUT, forgetting
from most.train.recipe import HeldOutSettings
from most.train.trainer import read_history

pytestmark = pytest.mark.usefixtures("no_estimate")


def test_stage_0_trains_a_plain_backbone_which_converts_as_any_other(
    recipe, quietly, tiny_most, tiny_corpus, tiny_codec, tmp_path
):
    plain = tiny_most.parent / "backbone"
    data = {"arrays": None, "mixture": {"text": 1.0}}
    final = quietly(recipe("stage0", model=plain, data=data, steps=20, learning_rate=1e-2))
    history = read_history(final.parent / "history.jsonl")
    assert history[-1]["text_loss"] < 0.8 * history[0]["text_loss"]
    assert history[0]["balance_loss"] > 0
    before, after = (AutoModelForCausalLM.from_pretrained(f) for f in (plain, final))
    assert before.config.vocab_size == after.config.vocab_size
    assert {n: p.shape for n, p in before.named_parameters()} == {n: p.shape for n, p in after.named_parameters()}
    assert before.dtype == after.dtype
    assert AutoTokenizer.from_pretrained(final).get_vocab() == AutoTokenizer.from_pretrained(plain).get_vocab()
    most = convert(final, tmp_path / "most", codec=tiny_codec, settings=ConvertSettings(), echo=lambda _: None)
    assert load_most(most)[0].config.modality_routing


def test_stage_2_after_stage_1_and_how_much_is_forgotten(recipe, quietly, tiny_corpus, tiny_arrays, tmp_path):
    held_out = HeldOutSettings(manifests=(tiny_corpus / "train.jsonl",), arrays=tiny_arrays, every=10)
    stage1 = recipe("stage1", steps=30, learning_rate=1e-2, held_out=held_out, checkpoint_every=30)
    first = quietly(stage1)
    assert [row["step"] for row in read_lines(stage1.output / HELD_OUT)] == [0, 10, 20, 30]
    learned = forgetting(stage1.output)
    assert set(learned) == {"asr", "tts", "text"}
    assert all(row["change"] < 0 for row in learned.values())
    chats = tmp_path / "chats.jsonl"
    turns = lambda a, b: (Turn(role="user", text=a), Turn(role="assistant", text=b))  # noqa: E731
    write_jsonl(chats, [Example(id=f"d{k}", task="dialogue", turns=turns(f"say {k}", f"{k}")) for k in range(4)])
    data = {
        "manifests": {"speech": (tiny_corpus / "train.jsonl",), "instruct": (chats,)},
        "arrays": {"speech": tiny_arrays},
        "mixture": {"instruct": 0.8, "speech/asr": 0.1, "speech/tts": 0.1},
    }
    stage2 = recipe("stage2", model=first, data=data, steps=10, held_out=held_out, learning_rate=3e-3)
    said = []
    quietly(stage2, echo=said.append)
    assert sum("same order (seed 0)" in line for line in said) == 1
    forgotten = forgetting(stage2.output)
    for task, row in forgotten.items():
        assert row["before"] == pytest.approx(learned[task]["after"], rel=1e-5), "stage 2 starts where stage 1 ended"
        assert row["change"] == row["after"] - row["before"]
    assert forgotten["text"]["change"] > 0, "text is not in stage 2's mixture"
    assert sum("held out" in line for line in said) == 3
    keys = {k for row in read_history(stage2.output / "history.jsonl") for k in row if k.startswith("loss/")}
    assert keys == {"loss/instruct", "loss/speech/asr", "loss/speech/tts"}


def test_held_out_losses_change_nothing_that_is_learned(recipe, quietly, weights, tiny_corpus, tiny_arrays):
    held_out = HeldOutSettings(manifests=(tiny_corpus / "train.jsonl",), arrays=tiny_arrays, every=2)
    a = weights(quietly(recipe("without")))
    b = weights(quietly(recipe("with", held_out=held_out)))
    assert all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"micro_batch_size": 2}, id="accumulation"),
        pytest.param({"gradient_checkpointing": True}, id="activation checkpointing"),
        pytest.param({"data": {"packing": False}}, id="unpacked"),
        pytest.param({"data": {"workers": 1}}, id="loader process"),
    ],
)
def test_another_way_to_compute_takes_the_same_step(recipe, quietly, weights, changes):
    """One step of plain descent-like size: Adam's first step only has the gradient's signs, so its moments are held."""
    state = {}
    for name, settings in (("one", {}), ("other", changes)):
        made = recipe(name, steps=1, balance_loss_alpha=0.0, max_grad_norm=1e9, **settings)
        final = quietly(made)
        saved = torch.load(final.parent / "checkpoint-1" / "optimizer.pt", weights_only=True)["state"]
        state[name] = ({k: s["exp_avg"] for k, s in saved.items()}, weights(final))
        (row,) = read_history(made.output / "history.jsonl")
        state[name] += (row,)
    for k, moment in state["one"][0].items():
        torch.testing.assert_close(state["other"][0][k], moment, rtol=1e-3, atol=1e-7)
    assert state["other"][2]["loss"] == pytest.approx(state["one"][2]["loss"], rel=1e-6)
    assert state["other"][2]["tokens"] == state["one"][2]["tokens"]
    if "gradient_checkpointing" in changes or "workers" in changes.get("data", {}):
        assert all(torch.equal(state["one"][1][n], t) for n, t in state["other"][1].items())


def test_bf16_keeps_float32_weights_and_writes_the_checkpoint_dtype(recipe, quietly, weights):
    final = quietly(recipe(precision="bf16", steps=2))
    assert {t.dtype for t in weights(final).values()} == {t.dtype for t in weights(recipe().model).values()}
    saved = torch.load(final.parent / "checkpoint-2" / "optimizer.pt", weights_only=True)["state"]
    assert {s["exp_avg"].dtype for s in saved.values()} == {torch.float32}


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "wsd"])
def test_schedules(recipe, quietly, schedule):
    decay = {"decay_steps": 2} if schedule == "wsd" else {}
    made = recipe(schedule=schedule, warmup_steps=2, min_learning_rate_ratio=0.5, learning_rate=1e-3, **decay)
    quietly(made)
    rates = [row["learning_rate"] for row in read_history(made.output / "history.jsonl")]
    assert rates[2] == pytest.approx(1e-3)
    assert rates[3] == pytest.approx(1e-3) if schedule in ("constant", "wsd") else rates[3] < 1e-3
    if schedule == "wsd":
        assert rates[5] == pytest.approx(7.5e-4)


def test_the_weights_of_losses_in_the_recipe_win(recipe, quietly):
    final = quietly(recipe(steps=1, balance_loss_alpha=0.25, text_loss_weight=3.0))
    config = json.loads((final / "config.json").read_text())
    assert (config["balance_loss_alpha"], config["text_loss_weight"]) == (0.25, 3.0)
    assert [e.task for e in read_examples(recipe().data.manifests[0])].count("asr") == 6
