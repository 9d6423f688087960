"""Sharing out: workers that die lose nothing and repeat nothing, and a shard that kills them is given up and named."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from most.data.arrays import ArrayStore
from most.data.encode import encode_units, units_job
from most.data.units.crew import DEATHS, Event, LocalCrew, share_out
from most.data.units.plan import Job, Plan, Shard
from most.data.units.run import Engine
from most.data.units.shard import Done
from most.errors import MostError
from most.manifest import AudioRef

JOB = Job(folder=Path("nowhere"), kind="units", about={})


def shards(n):
    return [Shard(JOB, Path(), ((f"k{i}", AudioRef(path=Path(f"k{i}"))),)) for i in range(n)]


class Scripted:
    """A crew on paper: the k-th shard's workers die `deaths[k]` times; whose turn it is, chance decides."""

    def __init__(self, deaths, seed=0):
        self.deaths, self.rng = dict(deaths), random.Random(seed)
        self.alive, self.at, self.done, self.stopped = set(), {}, [], False

    def start(self, slot):
        assert slot not in self.alive
        self.alive.add(slot)

    def give(self, slot, shard):
        assert slot in self.alive
        assert slot not in self.at
        self.at[slot] = shard

    def dismiss(self, slot):
        assert slot not in self.at
        self.alive.remove(slot)

    def wait(self):
        slot = self.rng.choice(sorted(self.at))
        key = self.at.pop(slot).items[0][0]
        if self.deaths.get(key, 0):
            self.deaths[key] -= 1
            self.alive.remove(slot)
            return [Event(slot, "tick", 1.0), Event(slot, "died", "killed")]
        self.done.append(key)
        return [Event(slot, "ready"), Event(slot, "done", Done(1, 0, 1.0))]

    def stop(self):
        self.stopped = True


@given(
    st.integers(1, 12), st.integers(1, 4), st.dictionaries(st.integers(1, 11), st.integers(1, 4)), st.integers(0, 99)
)
def test_every_shard_is_done_once_or_named(n, workers, deaths, seed):
    deaths = {f"k{k}": times for k, times in deaths.items() if k < n}
    poison = {k for k, times in deaths.items() if times >= DEATHS}
    assume(len(poison) < DEATHS)
    crew = Scripted(deaths, seed)
    tally = share_out(iter(shards(n)), crew, workers)
    assert sorted(crew.done) == sorted({f"k{i}" for i in range(n)} - poison)
    assert {shard.items[0][0] for shard, _ in tally.lost} == poison
    assert (tally.n, crew.alive, crew.stopped) == (n - len(poison), set(), True)


def test_workers_that_die_of_everything_end_the_run():
    crew = Scripted({f"k{i}": DEATHS for i in range(9)})
    with pytest.raises(MostError, match="none is done"):
        share_out(iter(shards(9)), crew, 2)
    assert crew.stopped


def test_a_fault_ends_the_run_and_its_workers():
    class Faulty(Scripted):
        def wait(self):
            return [Event(0, "fault", "OSError: no space left")]

    crew = Faulty({})
    with pytest.raises(MostError, match="no space left"):
        share_out(iter(shards(3)), crew, 2)
    assert crew.stopped


def test_killed_processes_lose_and_repeat_nothing(whisper, recordings, tmp_path):
    """Two real workers: one is killed in the middle of a shard, and one shard kills whoever takes it."""
    want = encode_units([recordings], tmp_path / "whole", whisper, Engine(progress=False), echo=lambda _: None)
    plan = Plan([recordings], units_job(tmp_path / "units", whisper, "all"), 2)
    poison, once = [shard.name for shard in plan][2::3]

    class Deadly(LocalCrew):
        killed = 0

        def give(self, slot, shard):
            super().give(slot, shard)
            if shard.name == poison or (shard.name == once and not self.killed):
                self.killed += shard.name == once
                os.kill(self.processes[slot].pid, signal.SIGKILL)

    seconds = []
    crew = Deadly(whisper, 1)
    tally = share_out(plan, crew, 2, seconds.append)
    assert not any(process.is_alive() for process in crew.processes.values())
    ((lost, how),) = tally.lost
    assert (lost.name, crew.killed) == (poison, 1)
    assert "exit code -9" in how
    store = ArrayStore(tmp_path / "units")
    assert sorted(store) == sorted(key for key in want if key not in dict(lost.items))
    assert tally.n == len(store) == 12
    assert not list((tmp_path / "units").glob("*.part"))
    rest = encode_units([recordings], tmp_path / "units", whisper, Engine(progress=False), echo=lambda _: None)
    assert sorted(rest) == sorted(want)
    assert sum(len(rest.part(i)) for i in range(len(rest.parts))) == sum(map(len, want.values()))
    for key in want:
        np.testing.assert_array_equal(rest[key], want[key])
