from __future__ import annotations

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile

from most.data.dialogue.voice.endpoint import Endpoint
from most.data.dialogue.voice.seam import Unspeakable, VoiceFailed, with_retries
from most.errors import MostError

pytest.importorskip("httpx2")


@pytest.fixture
def server():
    """A speech endpoint on loopback: answers with the statuses in `answers`, then with a tone; keeps the requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.seen.append((self.path, self.headers.get("Authorization"), body))  # type: ignore[attr-defined]
            status = self.server.answers.pop(0) if self.server.answers else 200  # type: ignore[attr-defined]
            sound = io.BytesIO()
            soundfile.write(sound, 0.1 * np.sin(np.arange(800)), 8000, format="WAV")
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "7")
            self.end_headers()
            self.wfile.write(sound.getvalue() if status == 200 else b"no")

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.seen, http.answers = [], []  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield http
    http.shutdown()
    http.server_close()


def endpoint(server, **more):
    return Endpoint(f"http://127.0.0.1:{server.server_port}/v1", model="tts-1", voices=["alloy", "echo"], **more)


def test_a_request_and_its_speech(server, monkeypatch):
    monkeypatch.setenv("SPEECH_KEY", "secret")
    wav = endpoint(server, key_variable="SPEECH_KEY", sample_rate=16000).synthesize("Hello.", "echo", 3, speed=0.9)
    assert (wav.dtype, wav.shape) == (np.float32, (1600,))
    ((path, key, body),) = server.seen
    assert (path, key) == ("/v1/audio/speech", "Bearer secret")
    assert body == {"model": "tts-1", "input": "Hello.", "voice": "echo", "response_format": "wav", "speed": 0.9}


def test_what_may_pass_is_retried_after_the_time_asked_for(server):
    server.answers = [503, 429]
    voice, waits = endpoint(server), []
    wav, failed = with_retries(
        lambda: voice.synthesize("Hello.", "alloy", 0), attempts=4, wait_seconds=0.5, sleep=waits.append
    )
    assert len(wav)
    assert failed == 2
    assert waits == [0.5, 7.0]
    server.answers = [500] * 9
    with pytest.raises(VoiceFailed, match="3 attempts"):
        with_retries(lambda: voice.synthesize("Hello.", "alloy", 0), attempts=3, wait_seconds=0, sleep=waits.append)


def test_what_cannot_pass_is_not_retried(server):
    voice = endpoint(server)
    server.answers = [401]
    with pytest.raises(MostError, match="OPENAI_API_KEY"):
        with_retries(lambda: voice.synthesize("Hello.", "alloy", 0), attempts=3, wait_seconds=0)
    server.answers = [400]
    with pytest.raises(Unspeakable):
        with_retries(lambda: voice.synthesize("Hello.", "alloy", 0), attempts=3, wait_seconds=0)
    assert len(server.seen) == 2


def test_nobody_there_fails_and_wrong_settings_are_named(server):
    with pytest.raises(Exception, match=r"refused|connect"):
        Endpoint("http://127.0.0.1:9/v1", model="m", voices=["a"]).synthesize("Hello.", "a", 0)
    with pytest.raises(MostError, match="http://"):
        Endpoint("127.0.0.1", model="m", voices=["a"])
    with pytest.raises(MostError, match="at least one voice"):
        Endpoint("http://127.0.0.1", model="m", voices=[])
    with pytest.raises(MostError, match="did you mean 'alloy'"):
        endpoint(server).synthesize("Hello.", "aloy", 0)
