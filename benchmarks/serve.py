"""How long users of `most serve` wait: first audio and real-time factor at 1, 2, 4 and 8 users, and 64 clients at once.

    python benchmarks/serve.py MODEL [--users 1 2 4 8] [--requests 6]

Each user asks for one sentence after another to be said, streamed, and for a spoken answer to a spoken question; clocks
run from the request to the first samples and to the last. The same load goes to two servers, one after the other: as it
is, and with a batch of one (`--max-running 1`), so that the gain of batching is a ratio of one run. `--clients` clients
then ask at once, each for one sentence: all must be answered, by 200 or an honest 429. All is bounded and ends alone.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import soundfile

from most.report.markdown import table

SENTENCES = (
    "The train to the coast leaves at a quarter past nine.",
    "She put the letter on the table and closed the door behind her.",
    "Could you tell me how long it takes to walk to the station?",
    "Rain is expected in the north tomorrow, with strong winds.",
)
RATE = 16000
_READY_SECONDS, _STOP_SECONDS = 120.0, 30.0


@contextmanager
def server(model: list[str], *options: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "most", "serve", *model, "--port", str(port), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"error: the server did not start: {' '.join(command)}")
            try:
                httpx2.get(f"{url}/healthz").raise_for_status()
                break
            except httpx2.HTTPError:
                time.sleep(0.2)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(_STOP_SECONDS)


def said(url: str, text: str, seed: int) -> tuple[float, float, float]:
    """Seconds to the first samples, seconds in all, and seconds of sound."""
    body = {"model": "default", "voice": "default", "input": text, "response_format": "pcm", "seed": seed}
    begin, first, n_bytes = time.perf_counter(), 0.0, 0
    with httpx2.stream("POST", f"{url}/v1/audio/speech", json=body, timeout=300) as response:
        response.raise_for_status()
        for chunk in response.iter_bytes():
            first = first or time.perf_counter() - begin
            n_bytes += len(chunk)
    return first, time.perf_counter() - begin, n_bytes / 2 / RATE


def answered(url: str, question: str, seed: int) -> tuple[float, float, float]:
    """As `said`, of a spoken question's spoken answer."""
    part = {"type": "input_audio", "input_audio": {"data": question, "format": "wav"}}
    body = {
        "model": "default", "messages": [{"role": "user", "content": [part]}], "stream": True, "seed": seed,
        "modalities": ["text", "audio"], "audio": {"voice": "default", "format": "pcm16"},
    }  # fmt: skip
    begin, first, n_bytes = time.perf_counter(), 0.0, 0
    with httpx2.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=300) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if not line.startswith("data: {"):
                continue
            choices = json.loads(line[6:]).get("choices") or [{}]
            data = (choices[0].get("delta", {}).get("audio") or {}).get("data")
            if data:
                first = first or time.perf_counter() - begin
                n_bytes += len(base64.b64decode(data))
    return first, time.perf_counter() - begin, n_bytes / 2 / RATE


def load(work: Callable[[int], tuple[float, float, float]], users: int, requests: int) -> dict[str, Any]:
    """Every user makes so many requests, one after the other; all users at once."""
    rows: list[tuple[float, float, float]] = []
    begin = time.perf_counter()
    together([lambda u=u: rows.extend(work(u * requests + k) for k in range(requests)) for u in range(users)])
    wall = time.perf_counter() - begin
    heard = [r for r in rows if r[2]]
    return {
        "users": users, "requests": len(rows), "silent": len(rows) - len(heard),
        "first_audio_ms": spread([1000 * r[0] for r in heard]),
        "real_time_factor": spread([r[1] / r[2] for r in heard]),
        "seconds_of_speech_a_second": sum(r[2] for r in rows) / wall,
    }  # fmt: skip


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values) or [float("nan")]
    return {"p50": statistics.median(ordered), "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]}


def together(works: list[Callable[[], Any]]) -> None:
    failed: list[BaseException] = []

    def guarded(work: Callable[[], Any]) -> None:
        try:
            work()
        except BaseException as e:
            failed.append(e)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def crowd(url: str, clients: int) -> dict[str, int]:
    """How many of so many clients at once got their sentence, were told to come back, or got anything else."""
    statuses: list[str] = []

    def ask(k: int) -> None:
        body = {"model": "default", "voice": "default", "input": SENTENCES[k % 4], "response_format": "pcm", "seed": k}
        try:
            statuses.append(str(httpx2.post(f"{url}/v1/audio/speech", json=body, timeout=300).status_code))
        except httpx2.HTTPError as e:
            statuses.append(type(e).__name__)

    together([lambda k=k: ask(k) for k in range(clients)])
    return {s: statuses.count(s) for s in sorted(set(statuses))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="folder of a MoST; the shipped one when left out")
    parser.add_argument("--users", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--requests", type=int, default=6, help="of each user, of each kind")
    parser.add_argument("--question", type=Path, help="a recording to be answered; of noise when left out")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("runs/serve.json"))
    args = parser.parse_args()
    model = [args.model] if args.model else []
    if args.question:
        wav, rate = soundfile.read(args.question, dtype="float32")
    else:
        wav, rate = (0.05 * np.random.default_rng(0).normal(size=2 * RATE)).astype(np.float32), RATE
    held = io.BytesIO()
    soundfile.write(held, wav, rate, format="WAV")
    question = base64.b64encode(held.getvalue()).decode()
    result: dict[str, Any] = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    for name, options in (("batched", ()), ("one at a time", ("--max-running", "1"))):
        with server(model, *options) as url:
            say, answer = (
                lambda k, url=url: said(url, SENTENCES[k % 4], k),
                lambda k, url=url: answered(url, question, k),
            )
            for warm in (say, answer):
                warm(0)
            result[name] = {
                "speech": [load(say, users, args.requests) for users in args.users],
                "answers": [load(answer, users, args.requests) for users in args.users],
            }
            if name == "batched":
                result["crowd"] = crowd(url, args.clients)
    for kind in ("speech", "answers"):
        print(f"\n{kind}: first audio in ms and real-time factor, p50 and p95; speech made a second of time")
        head = ["users", "first p50", "first p95", "factor p50", "factor p95", "speech", "one at a time", "ratio"]
        rows = []
        for both in zip(result["batched"][kind], result["one at a time"][kind], strict=True):
            ours, single = both
            first, factor = ours["first_audio_ms"], ours["real_time_factor"]
            rows.append([
                ours["users"], f"{first['p50']:.0f}", f"{first['p95']:.0f}",
                f"{factor['p50']:.2f}", f"{factor['p95']:.2f}",
                f"{ours['seconds_of_speech_a_second']:.1f}", f"{single['seconds_of_speech_a_second']:.1f}",
                f"{ours['seconds_of_speech_a_second'] / single['seconds_of_speech_a_second']:.2f}",
            ])  # fmt: skip
        print("\n".join(table(head, rows)))
    print(f"\n{args.clients} clients at once: {result['crowd']}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{args.out}; load {result['load_before']:.1f} before, {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
