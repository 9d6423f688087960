"""`most serve` as a program: it listens on the loopback, answers, and stops when told to."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from most.cli import serve as verb
from most.errors import MostError
from most.serve import run


def test_it_answers_and_stops_when_told_to(tiny_most, tiny_codec):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "most", "serve", str(tiny_most), "--codec", str(tiny_codec), "--port", str(port)]
    process = subprocess.Popen([*command, "--bits", "8"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + 90
        while True:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            try:
                models = httpx2.get(f"http://127.0.0.1:{port}/v1/models").json()
                break
            except httpx2.HTTPError:
                time.sleep(0.1)
        assert models["data"][0]["id"] == Path(tiny_most).name
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
        assert f"http://127.0.0.1:{port}" in out
        assert "Traceback" not in out, out
        assert process.returncode in (0, 130, -signal.SIGINT)
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("options", "warns"), [({}, False), ({"host": "0.0.0.0"}, True), ({"host": "0.0.0.0", "api_key": "k"}, False)]
)
def test_whoever_opens_it_to_others_is_warned(tiny_most, tiny_codec, monkeypatch, capsys, options, warns):
    asked = []

    class Server:
        def run(self):
            return None

    monkeypatch.setattr(run, "make_server", lambda app, host, port: asked.append((host, port)) or Server())
    verb.serve(tiny_most, tiny_codec, **{"host": "127.0.0.1", "port": 1, "api_key": None, "name": None, **options})
    assert asked == [(options.get("host", "127.0.0.1"), 1)]
    assert ("whoever reaches it may use it" in capsys.readouterr().err) == warns


def test_bounds_that_cannot_be_are_named(tiny_most, tiny_codec):
    with pytest.raises(MostError, match="max_running"):
        verb.serve(tiny_most, tiny_codec, host="127.0.0.1", port=1, max_running=0)
