"""Steps that are no numbers, or spikes: stopped or left out, with the examples named, also across a resume."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from most.errors import MostError
from most.train.guard import Guard, GuardSettings
from most.train.trainer import MostTrainer, read_history

pytestmark = pytest.mark.usefixtures("no_estimate")


@pytest.fixture
def poison(monkeypatch):
    """Spoil the frames of one example: its step gets a loss that is no number."""

    def spoil(example_id, value=float("nan")):
        from most.data import dataset

        call = dataset.ExampleEncoder.__call__

        def spoiled(self, example):
            item = call(self, example)
            if example.id == example_id:
                frames = tuple(f.astype("float32") * 0 + value for f in item.frames)
                item = dataset.Item(item.id, item.task, item.encoded, frames)
            return item

        monkeypatch.setattr(dataset.ExampleEncoder, "__call__", spoiled)

    return spoil


def incidents(output):
    return [json.loads(line) for line in (output / "incidents.jsonl").read_text().splitlines()]


def test_medians_count_accepted_steps_only():
    guard = Guard(GuardSettings(spike="skip", window=3, max_skips=2))
    for loss in (1.0, 1.2, 1.1):
        assert guard.judge(loss, 1.0) is None
    assert guard.judge(9.0, 1.0).action == "skip"
    assert "gradient norm" in guard.judge(1.0, 50.0).reason
    third = guard.judge(9.0, 1.0)
    assert third.action == "stop"
    assert "2 steps in a row" in third.reason
    assert guard.judge(1.3, 1.0) is None
    assert list(guard.losses) == [1.2, 1.1, 1.3]


def test_not_a_number_stops_and_names_the_example(recipe, quietly, poison):
    poison("asr3")
    made = recipe(batch_size=5, micro_batch_size=1, steps=8)
    with pytest.raises(MostError, match=r"loss is nan.*incidents\.jsonl"):
        quietly(made)
    (row,) = incidents(made.output)
    assert row["action"] == "stop"
    assert row["worst"][0] == {"id": "asr3", "loss": "nan"}
    assert len(row["ids"]) == 5
    assert not (made.output / "final").exists()


def test_a_step_left_out_leaves_weights_and_optimizer_state_as_they_were(recipe, quietly, poison, monkeypatch):
    poison("asr5")
    seen = []
    judge = MostTrainer._judge

    def snapshot(self):
        weights = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        state = self.optimizer.state_dict()["state"]
        return weights, {k: {n: torch.as_tensor(x).clone() for n, x in s.items()} for k, s in state.items()}

    def around(self, loss, grad_norm):
        if not math.isfinite(loss):
            seen.append((self.state.global_step, snapshot(self)))
        judge(self, loss, grad_norm)

    original = MostTrainer._maybe_log_save_evaluate

    def after(self, *args, **kwargs):
        if seen and len(seen[-1]) == 2 and self.state.global_step == seen[-1][0] + 1:
            seen[-1] = (*seen[-1], snapshot(self))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(MostTrainer, "_judge", around)
    monkeypatch.setattr(MostTrainer, "_maybe_log_save_evaluate", after)
    made = recipe(batch_size=5, micro_batch_size=1, steps=8, guard=GuardSettings(nan="skip"), weight_decay=0.3)
    final = quietly(made)
    assert seen
    assert seen[0][0] > 0, "the first bad step must come after a good one, or there is no state to keep"
    for _, before, then in seen:
        assert all(torch.equal(before[0][n], then[0][n]) for n in before[0])
        assert before[1].keys() == then[1].keys()
        for k, state in before[1].items():
            assert state
            assert all(torch.equal(x, then[1][k][n]) for n, x in state.items())
    rows = incidents(made.output)
    assert [r["step"] for r in rows] == [s + 1 for s, *_ in seen]
    history = read_history(made.output / "history.jsonl")
    assert sum(r.get("skipped_steps", 0) for r in history) == len(rows)
    assert all(math.isfinite(r["loss"]) for r in history if "loss" in r)
    assert all(t.isfinite().all() for t in load_file(final / "model.safetensors").values())


def test_leaving_out_repeats_across_a_resume(recipe, quietly, poison, history, monkeypatch):
    poison("asr3")
    settings = {"batch_size": 5, "micro_batch_size": 1, "steps": 9, "guard": GuardSettings(nan="skip")}
    whole = recipe("whole", **settings)
    quietly(whole)
    step = MostTrainer.training_step

    def dies(self, *args, **kwargs):
        if self.state.global_step == 8:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(MostTrainer, "training_step", dies)
    broken = recipe("broken", **settings)
    with pytest.raises(KeyboardInterrupt):
        quietly(broken)
    monkeypatch.setattr(MostTrainer, "training_step", step)
    quietly(broken)
    assert incidents(broken.output) == incidents(whole.output)
    assert history(broken.output) == history(whole.output)
    a, b = (load_file(r.output / "final" / "model.safetensors") for r in (whole, broken))
    assert all(torch.equal(a[n], b[n]) for n in a)


def test_a_spike_is_left_out_once_there_is_something_to_compare_with(recipe, quietly, monkeypatch):
    compute = MostTrainer.compute_loss

    def spiky(self, *args, **kwargs):
        loss = compute(self, *args, **kwargs)
        return loss * 100 if self.state.global_step == 4 else loss

    monkeypatch.setattr(MostTrainer, "compute_loss", spiky)
    made = recipe(steps=6, guard=GuardSettings(spike="skip", window=3))
    quietly(made)
    (row,) = incidents(made.output)
    assert row["step"] == 5
    assert row["action"] == "skip"
    assert "more than 3 times" in row["reason"]


def test_a_stopped_run_goes_on_with_another_policy(recipe, quietly, poison):
    poison("asr3")
    settings = {"batch_size": 5, "micro_batch_size": 1, "steps": 8, "checkpoint_every": 1}
    with pytest.raises(MostError, match="loss is nan"):
        quietly(recipe(**settings))
    assert (quietly(recipe(**settings, guard=GuardSettings(nan="skip"))) / "config.json").is_file()
    assert {row["action"] for row in incidents(recipe().output)} == {"stop", "skip"}
