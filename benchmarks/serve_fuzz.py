"""Ten thousand malformed requests against `most serve`: no crash, no 500.

    python benchmarks/serve_fuzz.py [MODEL] [--requests 10000]        # pip install schemathesis

Schemathesis makes some (up to half) from the server's own schema. The others are audio files with bytes changed, cut
off or appended, sent as uploads and inside chats by `--clients` clients at once. An answer of 500 or a connection that
breaks is a failure, and so is a server that is not well afterwards.
"""

from __future__ import annotations

import argparse
import base64
import io
import random
import re
import subprocess
import sys
import threading
from collections import Counter

import httpx2
import numpy as np
import soundfile
from serve import server

FORMATS = (("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None))


def clips() -> list[bytes]:
    wav = 0.1 * np.sin(np.arange(6000) / 7)
    made = []
    for kind, subtype in FORMATS:
        out = io.BytesIO()
        soundfile.write(out, wav, 16000, format=kind, subtype=subtype)
        made.append(out.getvalue())
    return made


def damaged(data: bytes, rng: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(rng.choice((0, 1, 2, 8, 64))):
        at = rng.randrange(min(len(broken), rng.choice((48, 1 << 20))))  # headers are where it hurts
        broken[at] = rng.randrange(256)
    if rng.random() < 0.3:
        broken = broken[: rng.randrange(len(broken))]
    if rng.random() < 0.2:
        broken += rng.randbytes(rng.randrange(200))
    return bytes(broken)


def audio(url: str, n: int, clients: int, seed: int) -> Counter[str]:
    """Statuses of so many requests with damaged audio."""
    found: Counter[str] = Counter()
    lock, good, left = threading.Lock(), clips(), iter(range(n))

    def work() -> None:
        with httpx2.Client(timeout=120) as client:
            while True:
                with lock:
                    k = next(left, None)
                if k is None:
                    return
                rng = random.Random(seed * 1_000_003 + k)
                data = damaged(rng.choice(good), rng)
                try:
                    status = str(asked(client, url, data, k).status_code)
                except httpx2.HTTPError as e:
                    status = type(e).__name__
                with lock:
                    found[status] += 1

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def asked(client: httpx2.Client, url: str, data: bytes, k: int) -> httpx2.Response:
    if k % 2:
        files = {"file": ("a.wav", data)}
        return client.post(f"{url}/v1/audio/transcriptions", files=files, data={"model": "default"})
    part = {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": "wav"}}
    body = {"model": "default", "messages": [{"role": "user", "content": [part]}], "max_tokens": 4}
    return client.post(f"{url}/v1/chat/completions", json=body)


def schema(url: str, n: int) -> tuple[int, str]:
    """How many requests schemathesis made, about `n`, and what it found."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--checks", "not_a_server_error",
        "--phases", "fuzzing", "--max-examples", str(max(1, n // 6)), "--request-timeout", "120",
    ]  # fmt: skip
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    cases = re.search(r"(\d+) generated", made.stdout)
    wrong = made.returncode != 0 or cases is None
    return int(cases[1]) if cases else 0, (made.stdout + made.stderr)[-4000:] if wrong else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="folder of a MoST; the shipped one when left out")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with server([args.model] if args.model else []) as url:
        n, wrong = schema(url, args.requests // 2)
        print(f"schemathesis: {n} requests; {wrong or 'no server error'}", flush=True)
        found = audio(url, max(0, args.requests - n), args.clients, args.seed)
        print(f"damaged audio: {dict(found)}")
        well = httpx2.get(f"{url}/healthz").json()
        print(f"afterwards: {well}")
    bad = [s for s in found if not s.isdigit() or int(s) >= 500]
    sys.exit(1 if bad or wrong or well["status"] != "ok" else 0)


if __name__ == "__main__":
    main()
