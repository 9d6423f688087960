"""What a server allows: every bound in one place, each with the status that a client sees when it is reached."""

from __future__ import annotations

from dataclasses import dataclass, field

from most.errors import MostError
from most.generate.engine import SpeakSettings
from most.speech.vocoder.stream import StreamSettings


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Bounds of a server.

    Args:
        api_key: that clients must send as `Authorization: Bearer ...` (401); None lets everybody in.
        max_running: requests that are computed together.
        max_waiting: requests that wait for them (429).
        max_megabytes: of one request's body (413).
        max_seconds: of one audio file that is transcribed (413).
        max_tokens: that one answer is written in (400).
        max_characters: of one text to say (413).
        max_sessions: open talks (`/v1/realtime`; 429).
        request_seconds: that one request may take in all, waiting included (408).
        idle_seconds: after which a silent talk is closed.
        grace_seconds: that running requests have to finish when the server stops.
        speech: how units are drawn, and the longest speech of one answer.
        chunks: of streamed speech.
    """

    api_key: str | None = None
    max_running: int = 8
    max_waiting: int = 64
    max_megabytes: float = 25.0
    max_seconds: float = 600.0
    max_tokens: int = 512
    max_characters: int = 4096
    max_sessions: int = 16
    request_seconds: float = 120.0
    idle_seconds: float = 300.0
    grace_seconds: float = 10.0
    speech: SpeakSettings = field(default_factory=SpeakSettings)
    chunks: StreamSettings = field(default_factory=StreamSettings)

    def __post_init__(self) -> None:
        for name in ("max_running", "max_tokens", "max_characters", "max_sessions"):
            if getattr(self, name) < 1:
                raise MostError(name, getattr(self, name), "must be >= 1")
        if self.speech.best_of > 1:
            raise MostError("speech.best_of", self.speech.best_of, "compares whole takes, but speech is streamed: 1")
        if self.max_waiting < 0:
            raise MostError("max_waiting", self.max_waiting, "must be >= 0")
        for name in ("max_megabytes", "max_seconds", "request_seconds", "idle_seconds"):
            if not getattr(self, name) > 0:
                raise MostError(name, getattr(self, name), "must be > 0")
        if self.grace_seconds < 0:
            raise MostError("grace_seconds", self.grace_seconds, "must be >= 0")
        if self.api_key is not None and not self.api_key:
            raise MostError("api_key", "", "is empty; give a key, or none to let everybody in")

    @property
    def max_bytes(self) -> int:
        return int(self.max_megabytes * 1e6)
