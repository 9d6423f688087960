"""Damaged sources, full disks, kills: an error or a fresh start, never a folder that only looks finished."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from most.convert import write
from most.convert.convert import convert
from most.convert.settings import ConvertSettings
from most.convert.source import read_header
from most.errors import MostError

SHARDS = 40_000

KILLED = """
import sys
from pathlib import Path
from most.convert import write
from most.convert.convert import convert
from most.convert.settings import ConvertSettings
source, out, codec, after = sys.argv[1:]
shard = write._write_shard
def slow(path, tensors, bar, stop):
    done = shard(path, tensors, bar, stop)
    print(path.name, flush=True)
    if int(after) >= 0 and path.name.startswith(f"model-{int(after):05d}"):
        following = path.name.replace(f"model-{int(after):05d}", f"model-{int(after) + 1:05d}")
        path.with_name(following + ".part").write_bytes(b"half a shard")
        import time
        time.sleep(60)
    return done
write._write_shard = slow
write.N_WRITERS = 1
convert(source, Path(out), codec=Path(codec), settings=ConvertSettings(max_shard_bytes=40_000), progress=False)
"""


@pytest.fixture
def run(tiny_codec, tmp_path):
    def start(folder, name="most", **settings):
        settings = ConvertSettings(**{"max_shard_bytes": SHARDS, **settings})
        return convert(
            folder, tmp_path / name, codec=tiny_codec, settings=settings, progress=False, echo=lambda _: None
        )

    return start


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize("after", [1, 3])
def test_killed_it_leaves_nothing_that_looks_finished_and_goes_on(after, source, run, tiny_codec, tmp_path):
    folder, out = source("deepseek_v2"), tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(folder), str(out), str(tiny_codec), str(after)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(f"model-{after:05d}"):
                time.sleep(0.3)
                os.kill(process.pid, signal.SIGKILL)
                break
    part = tmp_path / "killed.part"
    assert not out.exists()
    assert not (part / "config.json").exists()
    times = {p.name: p.stat().st_mtime_ns for p in part.glob("model-*.safetensors")}
    assert len(times) == after
    whole = run(folder, "killed")
    assert {n: (whole / n).stat().st_mtime_ns for n in list(times)[:-1]} == {n: times[n] for n in list(times)[:-1]}
    assert not part.exists()
    unbroken = contents(run(folder, "unbroken"))
    assert contents(whole) == unbroken


def test_an_unfinished_run_of_other_settings_is_not_gone_on_with(source, run, monkeypatch, tmp_path):
    def full(path, tensors, bar, stop):
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as m:
        m.setattr(write, "_write_shard", full)
        with pytest.raises(MostError, match="disk is full"):
            run(source("olmoe"))
    assert not (tmp_path / "most").exists()
    with pytest.raises(MostError, match="another source or other settings"):
        run(source("olmoe"), seed=1)
    with pytest.raises(MostError, match="another source or other settings"):
        run(source("mixtral"))
    assert (run(source("olmoe")) / "conversion.json").is_file()


def test_too_small_a_disk_is_known_before_anything_is_written(source, run, monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(MostError, match=r"needs 0\.\d+ GB and the disk has 0\.00 GB"):
        run(source("olmoe"))
    assert not list((tmp_path / "most.part").glob("*.safetensors"))


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda f: f.write_bytes(f.read_bytes()[:-10]), "should have"),
        (lambda f: f.write_bytes(f.read_bytes()[:100]), "its header would be"),
        (lambda f: f.write_bytes(b""), "its header would be"),
        (lambda f: f.write_bytes(f.read_bytes()[:8] + b"x" * 5000), "no whole safetensors"),
        (lambda f: f.write_bytes(f.read_bytes() + b"more"), "should have"),
        (lambda f: f.unlink(), "holds no weights"),
        (lambda f: f.rename(f.with_name("pytorch_model.bin")), "a pickle"),
    ],
)
def test_a_damaged_source(damage, match, source, run, tmp_path):
    folder = copied(source("olmoe"), tmp_path / "damaged")
    damage(folder / "model.safetensors")
    with pytest.raises(MostError, match=match):
        run(folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["damaged"]


def test_missing_shards_are_named(source, run, tmp_path):
    folder = copied(source("olmoe"), tmp_path / "sharded")
    names = [t.name for t in read_header(folder / "model.safetensors")]
    index = {
        "weight_map": {n: "model-00001-of-00002.safetensors" for n in names} | {"x": "model-00002-of-00002.safetensors"}
    }
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MostError, match="1 of 2 shards are missing, such as model-00002"):
        run(folder)
    index["weight_map"]["x"] = "model-00001-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MostError, match="names 1 tensors that no shard holds, such as x"):
        run(folder)
    (folder / "model.safetensors.index.json").write_text("{")
    with pytest.raises(MostError, match="no index"):
        run(folder)


def test_an_existing_output_is_left_alone(source, run, tmp_path):
    (tmp_path / "most").mkdir()
    (tmp_path / "most" / "mine.txt").write_text("mine")
    with pytest.raises(MostError, match="exists"):
        run(source("olmoe"))
    assert (tmp_path / "most" / "mine.txt").read_text() == "mine"
