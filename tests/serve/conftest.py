"""A server of a tiny model of random weights in this process, and the official client for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from openai import OpenAI

import most
from most.generate import batch
from most.generate.engine import Engine, SpeakSettings
from most.serve.app import create_app
from most.serve.run import make_server
from most.serve.settings import ServeSettings
from most.speech.audio import resample

ASSETS = Path(most.__file__).parent / "assets"
SPEECH = SpeakSettings(max_seconds=1.0, temperature=2.0, top_p=1.0)


@contextmanager
def _running(engine: Engine, **settings: Any) -> Iterator[str]:
    """The address of a server with these settings."""
    bounds = {"speech": SPEECH, "max_tokens": 40, "grace_seconds": 1.0, **settings}
    app = create_app(engine, ServeSettings(**bounds), name="tiny")
    server = make_server(app, port=0, log_level="warning")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def engine(tiny_most, tiny_codec) -> Engine:
    return Engine.load(tiny_most, tiny_codec)


@pytest.fixture(scope="session")
def address(engine) -> Iterator[str]:
    with _running(engine) as url:
        yield url


@pytest.fixture
def client(address) -> OpenAI:
    return OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="session")
def running():
    """`running(engine, **settings)`: a context with the address of a server of these settings."""
    return _running


@pytest.fixture(scope="session")
def speech() -> SpeakSettings:
    """How the servers here draw speech."""
    return SPEECH


@pytest.fixture
def slow(engine, monkeypatch):
    """Speech goes on for long: its end is never chosen."""
    real = batch.Batch._chosen

    def chosen(self, rows, scores):
        scores[:, self.processor.vocab.audio_end] = -1e9
        time.sleep(0.002)
        return real(self, rows, scores)

    monkeypatch.setattr(batch.Batch, "_chosen", chosen)
    return engine


@pytest.fixture(scope="session")
def spoken_digits() -> np.ndarray:
    """A recorded person says three digits; float32 (T,) at 16 kHz."""
    wav, rate = soundfile.read(ASSETS / "fsdd" / "george.flac", dtype="float32", stop=2 * 8000)
    return resample(wav, rate, 16000)
