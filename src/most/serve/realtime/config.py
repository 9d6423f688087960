"""A session's settings as clients write them, checked; what this server cannot do is refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from most.serve.realtime.turns import TurnSettings


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PcmFormat(_Strict):
    type: Literal["audio/pcm"] = "audio/pcm"
    rate: Annotated[int, Field(ge=8000, le=48000)] = 24000


class ServerVad(_Strict):
    type: Literal["server_vad"]
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    create_response: bool = True
    interrupt_response: bool = True
    idle_timeout_ms: None = None

    @property
    def turns(self) -> TurnSettings:
        """Raises MostError where a value cannot be."""
        return TurnSettings(
            threshold=self.threshold,
            prefix_seconds=self.prefix_padding_ms / 1000,
            silence_seconds=self.silence_duration_ms / 1000,
        )


class Transcription(_Strict):
    model: str | None = None
    language: str | None = None
    prompt: None = None


class AudioInput(_Strict):
    format: PcmFormat = PcmFormat()
    turn_detection: ServerVad | None = ServerVad(type="server_vad")
    transcription: Transcription | None = None
    noise_reduction: None = None


class AudioOutput(_Strict):
    format: PcmFormat = PcmFormat()
    voice: str | dict[str, str] = "default"
    speed: Annotated[float, Field(ge=1, le=1)] = 1.0


class SessionAudio(_Strict):
    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class Session(_Strict):
    """As OpenAI's; `include` may hold `routing`, which sends which experts each token went to."""

    type: Literal["realtime"] = "realtime"
    model: str = "default"
    output_modalities: Annotated[list[Literal["text", "audio"]], Field(min_length=1, max_length=1)] = ["audio"]
    instructions: str = ""
    audio: SessionAudio = SessionAudio()
    max_output_tokens: int | Literal["inf"] = "inf"
    include: list[Literal["routing"]] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] = []
    tool_choice: Literal["auto", "none"] = "auto"
    tracing: None = None
    truncation: Literal["auto"] = "auto"

    @property
    def max_written(self) -> int | None:
        return None if self.max_output_tokens == "inf" else self.max_output_tokens

    @property
    def aloud(self) -> bool:
        return self.output_modalities == ["audio"]


def merged(session: Session, changes: dict[str, Any]) -> Session:
    """The session with what a client names changed, and all else as it was.

    Raises:
        pydantic.ValidationError: what this server cannot do.
    """
    return Session.model_validate(_merged(session.model_dump(), changes))


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{k: _merged(old.get(k), v) for k, v in new.items()}}
