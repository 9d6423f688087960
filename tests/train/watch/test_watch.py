"""Watching a real run: what its log gains, that it changes nothing, and that it goes on after a kill."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from most.plan.line import PLAN
from most.train.trainer import read_history
from most.train.watch.routing import read_routing
from most.train.watch.settings import WatchSettings

EACH_SECOND = WatchSettings(routing_every=2, report=False)
OFF = WatchSettings(routing_every=0, gradients=False, report=False)


@pytest.fixture
def watched(recipe, quietly):
    made = recipe(watch=EACH_SECOND)
    quietly(made)
    return made.output


def test_a_log_line_says_how_fast_and_where_it_learns(watched):
    history = read_history(watched / "history.jsonl")
    assert len(history) == 6
    for row in history:
        assert row["tokens_per_second"] > 0
        assert 0 <= row["loader_wait"] < 1
        parts = {k.removeprefix("grad_norm/"): v for k, v in row.items() if k.startswith("grad_norm/")}
        assert {"projection", "router", "text_experts", "audio_experts", "attention", "embeddings"} <= set(parts)
        assert sum(n * n for n in parts.values()) ** 0.5 == pytest.approx(row["grad_norm"], rel=1e-4)
    assert all(0 < row["share_of_peak"] < 1 for row in history)
    assert [row["step"] for row in history if "routing/dead_experts" in row] == [2, 4, 6]


def test_routing_is_counted_in_every_second_step(watched):
    routing = read_routing(watched)
    assert routing.steps.tolist() == [2, 4, 6]
    assert routing.counts.shape == (3, 1, 2, 4)
    own = np.stack([routing.groups != 1, routing.groups != 0], axis=1)
    assert (np.asarray(routing.counts)[:, ~own] == 0).all()
    assert (routing.counts.sum(axis=3) > 0).all()


def test_watching_changes_nothing(recipe, quietly, weights):
    with_, without = (quietly(recipe(name, watch=w)) for name, w in (("with", EACH_SECOND), ("without", OFF)))
    a, b = weights(with_), weights(without)
    assert all(torch.equal(a[name], b[name]) for name in b)
    assert not (without.parent / "routing").exists()


def test_a_resumed_run_has_the_routing_of_the_unbroken_one(recipe, quietly, watched, killed):
    broken = recipe("broken", watch=EACH_SECOND)
    killed(broken, 5)
    assert read_routing(broken.output).steps.tolist() == [2, 4]
    quietly(broken)
    for name in ("steps", "counts", "own_mass"):
        a, b = (np.load(f / "routing" / f"{name}.npy", allow_pickle=False) for f in (watched, broken.output))
        assert np.array_equal(a, b)


def test_the_estimate_lies_beside_the_run(watched):
    plan = json.loads((watched / PLAN).read_text())
    assert plan["time"]["total"] > 0
    assert plan["batches"]["source"] == "lengths of the run's examples"


def test_tensorboard_shows_what_the_log_says(recipe, quietly):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    made = recipe(watch=WatchSettings(tensorboard=True, routing_every=2, images_every=1, report=False))
    quietly(made)
    events = EventAccumulator(str(made.output / "tensorboard"))
    events.Reload()
    history = read_history(made.output / "history.jsonl")
    losses = [(e.step, e.value) for e in events.Scalars("loss_all/text")]
    assert losses == [(row["step"], pytest.approx(row["text_loss"], rel=1e-6)) for row in history]
    assert [e.step for e in events.Images("routing/picks_text_above_audio")] == [2, 4, 6]
