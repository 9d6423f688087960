"""Voices behind any OpenAI-compatible endpoint: POST /v1/audio/speech, answered with WAV.

The protocol has no seed, so such speech differs from run to run. A key is read from the environment, never a recipe.
"""

from __future__ import annotations

import io
import os
from functools import cached_property
from typing import Any

import numpy as np
import soundfile

from most.data.dialogue.voice.seam import Unspeakable, VoiceFailed
from most.errors import MostError, nearest
from most.speech.audio import resample

_WRONG_SETTINGS = (401, 403, 404, 405)
_UNSPEAKABLE = (400, 413, 422)


class Endpoint:
    """Speech from a server.

    Args:
        url: up to and with the version, such as http://localhost:8000/v1.
        model: as the server names it; voices: the names it is asked for.
        key_variable: environment variable that holds the key; need not be set for a server without keys.
        sample_rate: what the speech is brought to; the answer's own rate is read from its header.
        timeout_seconds: for one answer.
    """

    name = "endpoint"

    def __init__(
        self, url: str, *, model: str, voices: tuple[str, ...] | list[str], key_variable: str = "OPENAI_API_KEY",
        sample_rate: int = 24000, timeout_seconds: float = 60.0, licence: str = "",
    ) -> None:  # fmt: skip
        if not url.startswith(("http://", "https://")):
            raise MostError("endpoint.url", url, "must begin with http:// or https://")
        if not voices:
            raise MostError("endpoint.voices", voices, "name at least one voice that the server knows")
        self._url, self._model, self._key_variable = url.rstrip("/") + "/audio/speech", model, key_variable
        self._timeout_seconds = timeout_seconds
        self.voices, self.sample_rate, self.licence = tuple(voices), sample_rate, licence

    @cached_property
    def _client(self) -> Any:
        try:
            import httpx2
        except ImportError as e:
            raise MostError("httpx2", "not installed", "install the extra: pip install 'most-speech[speak]'") from e
        key = os.environ.get(self._key_variable)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx2.Client(timeout=self._timeout_seconds, headers=headers)

    def synthesize(self, text: str, voice: str, seed: int, *, speed: float = 1.0) -> np.ndarray:
        """One request; who calls it retries what may pass (busy, time-out, a broken answer)."""
        if voice not in self.voices:
            raise MostError("endpoint.voice", voice, nearest(voice, self.voices))
        body = {"model": self._model, "input": text, "voice": voice, "response_format": "wav", "speed": speed}
        answer = self._client.post(self._url, json=body)
        said = f"{answer.status_code} {answer.text[:160]!r}" if answer.status_code != 200 else ""
        if answer.status_code in _WRONG_SETTINGS:
            raise MostError("endpoint", self._url, f"answered {said}; check url, model and ${self._key_variable}")
        if answer.status_code in _UNSPEAKABLE:
            raise Unspeakable(f"the endpoint refused {text[:60]!r}: {said}")
        if answer.status_code != 200:
            raise VoiceFailed(f"the endpoint answered {said}", _seconds(answer.headers.get("retry-after")))
        try:
            wav, rate = soundfile.read(io.BytesIO(answer.content), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as e:
            raise VoiceFailed(f"the endpoint's answer of {len(answer.content)} bytes is no audio ({e})") from e
        return resample(wav.mean(axis=1), rate, self.sample_rate)


def _seconds(header: str | None) -> float | None:
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:  # the header may also hold a date
        return None
