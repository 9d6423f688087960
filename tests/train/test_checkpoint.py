"""Checkpoints are whole or not there; a torn one, and a full disk, cost no earlier one and are said."""

from __future__ import annotations

import errno
import os
import re
import subprocess

import pytest
import torch

from most.errors import MostError
from most.files import append_lines, is_disk_full, read_lines
from most.train import checkpoint, run
from most.train.trainer import MostTrainer, read_history

pytestmark = pytest.mark.usefixtures("no_estimate")


@pytest.fixture
def interrupted(recipe, quietly, monkeypatch):
    """A run of two checkpoints (2 and 4 of 6 steps) that ended in step 6."""

    def start(name):
        step = MostTrainer.training_step

        def dies(self, *args, **kwargs):
            if self.state.global_step == 5:
                raise KeyboardInterrupt
            return step(self, *args, **kwargs)

        made = recipe(name, checkpoint_every=2)
        with monkeypatch.context() as patch:
            patch.setattr(MostTrainer, "training_step", dies)
            with pytest.raises(KeyboardInterrupt):
                quietly(made)
        return made

    return start


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda c: cut(c / "model.safetensors"), "model.safetensors has .* bytes instead of"),
        (lambda c: flip(c / "optimizer.pt"), "optimizer.pt is damaged"),
        (lambda c: (c / "rng_state.pth").unlink(), "rng_state.pth is missing"),
        (lambda c: cut(c / "manifest.json"), "no manifest.json"),
    ],
)
def test_a_torn_checkpoint_is_said_and_the_earlier_one_is_used(recipe, quietly, weights, interrupted, damage, said):
    whole = weights(quietly(recipe("whole", checkpoint_every=2)))
    made = interrupted("torn")
    damage(made.output / "checkpoint-4")
    lines = []
    final = quietly(made, echo=lines.append)
    text = "\n".join(lines)
    assert "checkpoint-4 is torn" in text
    assert re.search(said, text)
    assert "goes on from checkpoint-2" in text
    assert (made.output / "checkpoint-4.torn").is_dir()
    after = weights(final)
    assert all(torch.equal(whole[n], after[n]) for n in whole)


def test_when_no_checkpoint_is_whole_it_begins_anew(recipe, quietly, weights, interrupted):
    whole = weights(quietly(recipe("whole", checkpoint_every=2)))
    made = interrupted("torn")
    for n in (2, 4):
        (made.output / f"checkpoint-{n}" / "model.safetensors").unlink()
    lines = []
    after = weights(quietly(made, echo=lines.append))
    assert any("begins anew" in line for line in lines)
    assert all(torch.equal(whole[n], after[n]) for n in whole)


def test_every_byte_of_a_checkpoint_is_listed_and_nothing_in_it_needs_trust(recipe, quietly, monkeypatch):
    quietly(recipe(checkpoint_every=2, keep_checkpoints=2))
    output = recipe().output
    assert [c.name for c in checkpoint.checkpoints(output)] == ["checkpoint-4", "checkpoint-6"]
    assert not (output / checkpoint.UNFINISHED).exists()
    for folder in checkpoint.checkpoints(output):
        assert checkpoint.what_is_wrong(folder) is None
        assert not (folder / "training_args.bin").exists()
        for file in folder.glob("*.pt*"):
            if file.name != "rng_state.pth":  # numpy's state, which the Trainer allows by name
                torch.load(file, weights_only=True)


def test_nothing_is_unpickled_without_weights_only(interrupted, quietly, monkeypatch):
    made = interrupted("run")
    calls = []
    load = torch.load

    def watched(*args, **kwargs):
        calls.append(kwargs.get("weights_only"))
        return load(*args, **kwargs)

    monkeypatch.setattr(torch, "load", watched)
    quietly(made)
    assert len(calls) >= 3
    assert all(calls)


def test_too_little_space_is_found_beforehand_and_training_goes_on(recipe, quietly, weights, monkeypatch):
    whole = weights(quietly(recipe("whole", checkpoint_every=2)))
    lacks = checkpoint.lacks_space
    asked = []

    def scarce(folder, n_bytes):
        asked.append(n_bytes)
        return "it needs 9 GB and the disk has 1 GB left" if len(asked) == 3 else lacks(folder, n_bytes)

    monkeypatch.setattr(checkpoint, "lacks_space", scarce)
    lines = []
    made = recipe("scarce", checkpoint_every=2)
    after = weights(quietly(made, echo=lines.append))
    assert any("step 4: no checkpoint: it needs 9 GB" in line for line in lines)
    assert [c.name for c in checkpoint.checkpoints(made.output)] == ["checkpoint-2", "checkpoint-6"]
    assert read_lines(made.output / "incidents.jsonl")[0]["kind"] == "no checkpoint"
    assert all(torch.equal(whole[n], after[n]) for n in whole)
    size = sum(p.stat().st_size for p in (made.output / "checkpoint-6").iterdir())
    assert asked[1] == pytest.approx(size, rel=0.25), "the estimate for the first checkpoint"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_fills_up_while_writing_costs_no_earlier_checkpoint(recipe, quietly, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("no mount here")
    try:
        monkeypatch.setattr(checkpoint, "lacks_space", lambda *_: None)
        made = recipe(output=disk / "run", checkpoint_every=1, steps=4)
        step, filled = MostTrainer.training_step, disk / "filler"

        def fills(self, *args, **kwargs):
            if self.state.global_step == 2 and not filled.exists():
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                filled.write_bytes(b"x" * (free - 100_000))
            if self.state.global_step == 3:
                filled.write_bytes(b"")
            return step(self, *args, **kwargs)

        monkeypatch.setattr(MostTrainer, "training_step", fills)
        lines = []
        quietly(made, echo=lines.append)
        assert any("step 3: no checkpoint: the disk is full" in line for line in lines), lines
        assert len(read_history(made.output / "history.jsonl")) == 4
        sound = checkpoint.newest_sound(made.output, lines.append)
        assert sound.name == "checkpoint-4"
        assert checkpoint.what_is_wrong(made.output / "checkpoint-2") is None
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_full_disks_are_known_by_what_the_libraries_raise(tmp_path):
    assert is_disk_full(OSError(errno.ENOSPC, "no space"))
    assert is_disk_full(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert not is_disk_full(RuntimeError("something else"))
    path = tmp_path / "lines.jsonl"
    assert append_lines(path, [{"a": 1}])
    path.open("a").write('{"a": 2')
    assert read_lines(path) == [{"a": 1}]


def test_two_runs_cannot_share_an_output(recipe, quietly):
    made = recipe()
    with run.claimed(made, 0, print), pytest.raises(MostError, match="another process"):
        quietly(made)
