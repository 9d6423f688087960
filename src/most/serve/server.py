"""What all endpoints share: the engine and its worker, the settings, the counts, and what was said lately."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import Request as HttpRequest
from fastapi import WebSocket

from most.errors import MostError, nearest
from most.generate.chat import Chat
from most.generate.engine import Engine
from most.serve.errors import Refused
from most.serve.metrics import Metrics
from most.serve.settings import ServeSettings
from most.serve.worker import Worker

DEFAULT_VOICE = "default"
_KEPT_TRANSCRIPTS, _KEPT_SECONDS = 1000, 3600


class Server:
    """One engine and who asks it.

    Args:
        name: of the model, as clients see it.
    """

    def __init__(self, engine: Engine, settings: ServeSettings, name: str) -> None:
        self.engine, self.settings, self.name, self.begun = engine, settings, name, int(time.time())
        self.metrics = Metrics()
        self.worker = Worker(engine, settings, self.metrics)
        self.sessions: set[WebSocket] = set()
        self._transcripts: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def lets_in(self, *given: bytes) -> bool:
        """Whether one of these is the key, or none is asked for."""
        key = self.settings.api_key
        return key is None or any(secrets.compare_digest(g, key.encode()) for g in given)

    def voice(self, name: str | dict[str, str] | None) -> str | None:
        """The codec's speaker of a voice's name, or of `{"id": NAME}`; None is its main one.

        Raises:
            Refused: no such voice, or a model that cannot speak.
        """
        if self.engine.codec is None or not self.engine.codec.speakers:
            raise Refused(400, "voice: this model comes without a vocoder and cannot speak", param="voice")
        name = name.get("id") if isinstance(name, dict) else name
        if name in (None, DEFAULT_VOICE):
            return None
        if name not in self.engine.codec.speakers:
            hint = nearest(str(name), [DEFAULT_VOICE, *self.engine.codec.speakers])
            raise Refused(400, f"voice: {name!r}: no such voice; {hint}", param="voice")
        return name

    def require_model(self, name: str) -> None:
        """Raises Refused (404) for another model than the served one; `default` is always right."""
        if name not in (self.name, "default"):
            message = f"model: {name!r}: is not served here; use {self.name!r} or 'default'"
            raise Refused(404, message, param="model", code="model_not_found")

    def chat(
        self, voice: str | None = None, max_tokens: int | None = None, *, latest_parts: bool = False, **speech: Any
    ) -> Chat:
        """A talk with this server's bounds.

        Args:
            latest_parts: as `Chat`'s.
            speech: changes to `ServeSettings.speech`.

        Raises:
            Refused: more tokens than allowed.
        """
        limit = self.settings.max_tokens if max_tokens is None else max_tokens
        if not 1 <= limit <= self.settings.max_tokens:
            raise Refused(400, f"max_tokens: {limit}: must lie in 1..{self.settings.max_tokens}", param="max_tokens")
        limit = min(limit, self.max_written)
        settings = replace(self.settings.speech, **speech)
        return Chat(
            self.engine, speaker=voice, settings=settings, max_new_tokens=limit, latest_parts=latest_parts
        )  # fmt: skip

    @property
    def max_written(self) -> int:
        """Tokens of an answer that leave a quarter of the context for what was asked and half for speech."""
        return max(1, self.engine.model.config.get_text_config().max_position_embeddings // 4)

    def remember(self, key: str, transcript: str) -> int:
        """Keep what was said for later requests that name it. Returns when it is forgotten (Unix time)."""
        until = time.time() + _KEPT_SECONDS
        self._transcripts[key] = (until, transcript)
        while len(self._transcripts) > _KEPT_TRANSCRIPTS:
            self._transcripts.popitem(last=False)
        return int(until)

    def recall(self, key: str) -> str:
        """Raises Refused for what was never said here, or is forgotten."""
        until, text = self._transcripts.get(key, (0.0, ""))
        if until < time.time():
            raise Refused(400, f"audio.id: {key!r}: is not known here any more; send its text", param="messages")
        return text


def model_name(folder: str | Path) -> str:
    """How clients name a model: its folder's name, or its hub id."""
    return Path(folder).name if Path(folder).is_dir() else str(folder)


def server_of(request: HttpRequest) -> Server:
    return request.app.state.server


def checked(work: Callable[[], Any]) -> Any:
    """What `work` returns; a user's mistake in it becomes a refusal."""
    try:
        return work()
    except MostError as e:
        raise Refused.of(e) from e
