"""`most data units` against the encoder alone: what reading, k-means, writing and sharing out cost.

    python benchmarks/units.py --utterances 96

Makes speech-shaped noise as FLAC (or takes `--manifest`), about ten seconds an utterance. In turns, `--rounds` times:
the bare encoder on the same waveforms from memory; the whole pipeline in one process; one and two worker processes,
timed from the first that is ready. Everything on one thread a process. Then peak resident memory of the largest process
of the command at two corpus sizes, the second four times the first. Prints medians and ratios, by the clock and, as a
shared machine's clock measures its neighbours too, by CPU time. Writes into a temporary folder, about 400 kB an
utterance; takes about 4 s an utterance.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import torch
from tqdm import tqdm

from most.data.encode import encode_units, units_job
from most.data.units.crew import Event, LocalCrew, share_out
from most.data.units.plan import Plan
from most.data.units.run import Engine
from most.data.units.shard import one_thread
from most.manifest import AudioRef, Utterance, read_utterances, write_jsonl
from most.speech.audio import read_audio, write_audio
from most.speech.codec import Codec, default_codec_dir

SHARD = 8


def make_corpus(folder: Path, n: int, rate: int) -> Path:
    """`n` recordings of 4 to 16 s: noise through a moving resonance, with pauses, so that FLAC has something to do."""
    rng = np.random.default_rng(0)
    rows = []
    for i in tqdm(range(n), desc="corpus", unit="utt"):
        t = np.arange(int(rng.uniform(4, 16) * rate)) / rate
        pitch = np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.7 * t)) / rate
        wav = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 12)) * (np.sin(2 * np.pi * 1.5 * t) > -0.6)
        wav = 0.1 * wav + 0.003 * rng.normal(size=len(t))
        path = write_audio(folder / "audio" / f"{i}.flac", wav.clip(-1, 1).astype(np.float32), rate)
        rows.append(Utterance(id=str(i), audio=AudioRef(path=path)))
    write_jsonl(folder / "corpus.jsonl", rows)
    return folder / "corpus.jsonl"


class TimedCrew(LocalCrew):
    """Knows when its first worker was ready."""

    began = 0.0

    def wait(self) -> list[Event]:
        events = super().wait()
        if not self.began and any(event.kind == "ready" for event in events):
            self.began = time.perf_counter()
        return events


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of this process's CPU."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cpu


def bare(codec: Codec, waves: list[torch.Tensor]) -> None:
    for wav in waves:
        codec.encoder(wav, torch.tensor([wav.shape[1]]), layer=codec.settings.layer)


def by_workers(codec: Codec, manifest: Path, out: Path, workers: int) -> float:
    """Seconds from the first worker's being ready to the last shard."""
    crew = TimedCrew(codec, 1)
    share_out(Plan([manifest], units_job(out, codec, "all"), SHARD), crew, workers)
    return time.perf_counter() - crew.began


def peak_rss(manifest: Path, out: Path) -> float:
    """Peak resident memory (MB) of the largest process of the command, with one worker."""
    command = [sys.executable, "-m", "most", "data", "units", str(manifest), "--out", str(out), "--workers", "1"]
    command += ["--threads", "1", "--shard-size", "32"]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    # Looked at from outside: the peak that the system counts for a child begins with what its parent held.
    while process.poll() is None:
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                peak = max(peak, one.memory_info().rss)
        time.sleep(0.02)
    assert process.returncode == 0, command
    return peak / 1e6


def times_four(manifest: Path) -> Path:
    """The same recordings four times, as stretches that begin a little apart."""
    rows = [
        Utterance(id=f"{row.id}-{k}", audio=AudioRef(path=row.audio.path, start=row.audio.start + k / 1000))
        for k in range(4)
        for row in read_utterances(manifest)
    ]
    write_jsonl(manifest.with_name("times-four.jsonl"), rows)
    return manifest.with_name("times-four.jsonl")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, help="utterances of your own, whole files, instead of made ones")
    parser.add_argument("--codec", type=Path, default=default_codec_dir())
    parser.add_argument("--utterances", type=int, default=96)
    parser.add_argument(
        "--rate", type=int, default=16000, help="of the made recordings; others than 16000 are resampled"
    )
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    codec = Codec.load(args.codec)
    with tempfile.TemporaryDirectory(prefix="most-units-") as name:
        folder = Path(name)
        manifest = args.manifest or make_corpus(folder, args.utterances, args.rate)
        loaded = [read_audio(row.audio, codec.sample_rate) for row in read_utterances(manifest)]
        waves = [torch.from_numpy(codec.level(wav))[None] for wav in loaded]
        seconds = sum(map(len, loaded)) / codec.sample_rate
        print(f"{len(waves)} utterances, {seconds:.0f} s; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        kinds: dict[str, list[float]] = {k: [] for k in ("bare", "bare cpu", "all", "all cpu", "one", "two")}
        with one_thread():
            bare(codec, waves[:4])
            engine = Engine(threads=1, progress=False)
            for k in tqdm(range(args.rounds), desc="rounds"):
                for kind, work in {
                    "bare": lambda: bare(codec, waves),
                    "all": lambda k=k: encode_units(
                        [manifest], folder / f"all{k}", codec, engine, shard_size=SHARD, echo=lambda _: None
                    ),
                }.items():
                    clock, cpu = timed(work)
                    kinds[kind].append(seconds / clock)
                    kinds[f"{kind} cpu"].append(seconds / cpu)
                for kind, workers in (("one", 1), ("two", 2)):
                    kinds[kind].append(seconds / by_workers(codec, manifest, folder / f"{kind}{k}", workers))
        rate = {kind: statistics.median(values) for kind, values in kinds.items()}
        for kind, values in kinds.items():
            print(f"{kind:10} {rate[kind]:7.1f} s of sound a second   ({', '.join(f'{v:.1f}' for v in values)})")
        print(f"pipeline / bare encoder   {rate['all'] / rate['bare']:.1%} by the clock, "
              f"{rate['all cpu'] / rate['bare cpu']:.1%} by CPU time")  # fmt: skip
        print(f"one worker / bare         {rate['one'] / rate['bare']:.1%}")
        print(f"two workers / one         {rate['two'] / rate['one']:.2f}")
        if args.manifest is None:
            small, large = (peak_rss(m, folder / m.stem) for m in (manifest, times_four(manifest)))
            print(f"peak memory               {small:.0f} MB, {large:.0f} MB at four times the corpus")
        print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
