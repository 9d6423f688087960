"""A signal ends a run behind a checkpoint at its step, and the rest is as if nothing had happened."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from most.train.trainer import MostTrainer

pytestmark = pytest.mark.usefixtures("no_estimate")


@pytest.fixture
def signalled(monkeypatch, quietly):
    """Run a recipe, with signals sent within step 4; returns what was said."""

    def run(recipe, *numbers):
        step, lines = MostTrainer.training_step, []

        def signals(self, *args, **kwargs):
            if self.state.global_step == 3:
                for number in numbers:
                    os.kill(os.getpid(), number)
            return step(self, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(MostTrainer, "training_step", signals)
            with pytest.raises(KeyboardInterrupt):
                quietly(recipe, echo=lines.append)
        return "\n".join(lines)

    return run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_step_is_finished_and_kept(recipe, quietly, weights, history, signalled, number):
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    whole = weights(quietly(recipe("whole", checkpoint_every=100)))
    made = recipe("stopped", checkpoint_every=100)
    assert "stops after this step, behind a checkpoint" in signalled(made, number)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert (made.output / "checkpoint-4").is_dir()
    assert not (made.output / "final").exists()
    lines = []
    after = weights(quietly(made, echo=lines.append))
    assert "goes on from checkpoint-4" in "\n".join(lines)
    assert all(torch.equal(whole[n], after[n]) for n in whole)
    assert history(made.output) == history(recipe("whole").output)


def test_a_second_signal_stops_at_once(recipe, signalled):
    made = recipe("twice", checkpoint_every=100)
    signalled(made, signal.SIGINT, signal.SIGINT)
    assert not list(made.output.glob("checkpoint-*"))


def test_a_signal_in_the_last_step_lets_the_run_end(recipe, quietly, monkeypatch):
    step = MostTrainer.training_step

    def signals(self, *args, **kwargs):
        if self.state.global_step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(MostTrainer, "training_step", signals)
    assert (quietly(recipe()) / "config.json").is_file()
