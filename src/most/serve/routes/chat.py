"""`/v1/chat/completions`: text and speech in, text and speech out."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from most.generate.chat import Turn
from most.generate.stream import Ended, Said, Written
from most.serve import audio_in
from most.serve.audio_out import AudioEncoder, pcm16
from most.serve.disconnect import unless_gone
from most.serve.errors import Refused, too_large
from most.serve.server import Server, checked, server_of
from most.serve.sse import event_stream
from most.serve.worker import Place, Stream

router = APIRouter(prefix="/v1/chat")
_MAX_MESSAGES, _MAX_CHARACTERS = 1000, 1_000_000
"""Of one request, far more than any model's context here; the oldest that do not fit are left out."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextPart(_Strict):
    type: Literal["text"]
    text: str


class InputAudio(_Strict):
    data: str
    format: Literal["wav", "mp3", "flac", "ogg", "opus"]


class AudioPart(_Strict):
    type: Literal["input_audio"]
    input_audio: InputAudio


class SpokenBefore(_Strict):
    id: str


class ChatMessage(BaseModel):
    """Of a refusal, a name and the like nothing is made; they may be there."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[TextPart | AudioPart, Field(discriminator="type")]] | None = None
    audio: SpokenBefore | None = None


class AudioSettings(_Strict):
    voice: str | dict[str, str] = "default"
    format: Literal["wav", "mp3", "flac", "opus", "pcm16"] = "wav"


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """What of OpenAI's request this model can do. Words are always the likeliest; only speech is drawn."""

    model_config = ConfigDict(extra="forbid")

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=_MAX_MESSAGES)]
    model: str = "default"
    modalities: list[Literal["text", "audio"]] | None = None
    audio: AudioSettings | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: Literal[1] = 1
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    seed: Annotated[int | None, Field(ge=0, lt=2**63)] = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """A request that is being answered."""

    server: Server
    place: Place
    turn: Turn
    stream: Stream
    encoding: str | None
    """Of the speech; None where none is wanted."""

    @property
    def n_prompt(self) -> int:
        return len(self.turn.request.prompt)


@router.post("/completions")
async def completions(request: Request, asked: ChatRequest) -> Response:
    server = server_of(request)
    server.require_model(asked.model)
    aloud = "audio" in (asked.modalities or ())
    if aloud and asked.audio is None:
        raise Refused(400, "audio: is needed with the modality 'audio'; give voice and format", param="audio")
    sound = asked.audio if aloud else None
    if asked.stream and sound is not None and sound.format != "pcm16":
        raise Refused(400, f"audio.format: {sound.format!r}: streams carry 'pcm16'", param="audio.format")
    place = server.worker.admit()
    try:
        answer = await _begun(server, place, asked, sound)
    except BaseException:
        place.close()
        raise
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": server.name}
    if asked.stream:
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        return event_stream(_streamed(answer, head, usage), done=True)
    return JSONResponse(await unless_gone(request.receive, _whole(answer, head)))


async def _begun(server: Server, place: Place, asked: ChatRequest, sound: AudioSettings | None) -> _Answer:
    voice = None if sound is None else server.voice(sound.voice)
    speech = {"temperature": asked.temperature, "top_p": asked.top_p, "seed": asked.seed}
    limit = asked.max_completion_tokens if asked.max_completion_tokens is not None else asked.max_tokens
    chat = server.chat(voice, limit, **{k: v for k, v in speech.items() if v is not None})
    *history, last = asked.messages
    if last.role != "user":
        raise Refused(400, f"messages: end with {last.role!r}; end with the user's", param="messages")

    written = sum(len(text) for message in asked.messages for text in _texts(message))
    if written > _MAX_CHARACTERS:
        raise too_large(f"messages: have {written} characters, over the {_MAX_CHARACTERS} taken here", "messages")
    parts = _Parts(server)

    def laid_out() -> Turn:
        for k, message in enumerate(history):
            role = "system" if message.role == "developer" else message.role
            if role == "system" and k and chat.history[-1]["role"] != "system":
                raise Refused(400, f"messages[{k}]: a system message stands first", param=f"messages.{k}.role")
            chat.history.append({"role": role, "content": _content(parts, message, k)})
        content = _content(parts, last, len(history))
        return checked(lambda: chat.turn(content, voice=sound is not None))

    turn = await asyncio.to_thread(laid_out)
    stream = place.submit(turn.request, voice)
    return _Answer(
        server=server, place=place, turn=turn, stream=stream, encoding=sound.format if sound is not None else None
    )


def _texts(message: ChatMessage) -> list[str]:
    if isinstance(message.content, str):
        return [message.content]
    return [part.text for part in message.content or () if isinstance(part, TextPart)]


def _content(made: _Parts, message: ChatMessage, k: int) -> list[dict[str, Any]]:
    where = f"messages.{k}"
    if message.audio is not None:
        if message.role != "assistant":
            raise Refused(400, f"{where}.audio: only the assistant spoke here before", param=f"{where}.audio")
        return [{"type": "text", "text": made.server.recall(message.audio.id)}]
    parts = message.content
    if isinstance(parts, str):
        parts = [TextPart(type="text", text=parts.strip())]
    if not parts:
        raise Refused(400, f"{where}.content: is empty; say something", param=f"{where}.content")
    if message.role != "user" and any(isinstance(p, AudioPart) for p in parts):
        raise Refused(400, f"{where}.content: only the user's turns hold audio", param=f"{where}.content")
    return [made.part(part, f"{where}.content.{i}") for i, part in enumerate(parts)]


class _Parts:
    """The parts of one request's messages; together they may hold the audio that one file may."""

    def __init__(self, server: Server) -> None:
        self.server, self._seconds = server, 0.0

    def part(self, part: TextPart | AudioPart, where: str) -> dict[str, Any]:
        if isinstance(part, TextPart):
            if not part.text.strip():
                raise Refused(400, f"{where}.text: is empty; say something", param=where)
            return {"type": "text", "text": part.text}
        processor, limit = self.server.engine.processor, self.server.settings.max_seconds
        data = audio_in.from_base64(part.input_audio.data, where)
        wav = audio_in.decode(data, processor.sample_rate, processor.max_audio_seconds, where)
        self._seconds += len(wav) / processor.sample_rate
        if self._seconds > limit:
            raise too_large(f"{where}: the audio of all messages lasts more than the {limit:g} s taken here", where)
        return {"type": "audio", "audio": wav}


async def _whole(answer: _Answer, head: dict[str, Any]) -> dict[str, Any]:
    sounds, end = list[Said](), None
    async with answer.place:
        async for event in answer.stream:
            if isinstance(event, Said):
                _first_sound(answer, sounds)
                sounds.append(event)
            elif isinstance(event, Ended):
                end = event
    assert end is not None
    message: dict[str, Any] = {"role": "assistant", "content": end.text, "refusal": None}
    if answer.encoding is not None:
        message |= {"content": None, "audio": _audio(answer, sounds, end)}
    choice = {"index": 0, "message": message, "finish_reason": _reason(end), "logprobs": None}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(answer, end)}


async def _streamed(answer: _Answer, head: dict[str, Any], with_usage: bool) -> AsyncIterator[dict[str, Any]]:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return {**head, "object": "chat.completion.chunk", "choices": [choice]}

    sounds, key = list[Said](), f"audio_{uuid.uuid4().hex}"
    aloud = answer.encoding is not None
    async with answer.place:
        yield chunk({"role": "assistant", **({"audio": {"id": key}} if aloud else {"content": ""})})
        async for event in answer.stream:
            if isinstance(event, Written):
                yield chunk({"audio": {"id": key, "transcript": event.text}} if aloud else {"content": event.text})
            elif isinstance(event, Said):
                _first_sound(answer, sounds)
                sounds.append(event)
                yield chunk({"audio": {"id": key, "data": base64.b64encode(pcm16(event.waveform)).decode()}})
            else:
                if aloud:
                    until = answer.server.remember(key, event.text)
                    yield chunk({"audio": {"id": key, "expires_at": until}})
                yield chunk({}, _reason(event))
                if with_usage:
                    usage = _usage(answer, event)
                    yield {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}


def _first_sound(answer: _Answer, sounds: Sequence[Said]) -> None:
    if not sounds:
        answer.server.metrics.first_audio.observe(time.monotonic() - answer.place.begun)


def _audio(answer: _Answer, sounds: Sequence[Said], end: Ended) -> dict[str, Any]:
    if not sounds:
        raise Refused(422, "the model said nothing; try another seed", code="silent")
    encoding = "pcm" if answer.encoding == "pcm16" else str(answer.encoding)
    encoder = AudioEncoder(encoding, sounds[0].sample_rate)
    data = encoder.add(np.concatenate([s.waveform for s in sounds])) + encoder.end()
    key = f"audio_{uuid.uuid4().hex}"
    until = answer.server.remember(key, end.text)
    return {"id": key, "data": base64.b64encode(data).decode(), "expires_at": until, "transcript": end.text}


def _reason(end: Ended) -> str:
    return "length" if end.truncated else "stop"


def _usage(answer: _Answer, end: Ended) -> dict[str, Any]:
    units = len(end.units)
    return {
        "prompt_tokens": answer.n_prompt, "completion_tokens": end.n_tokens,
        "total_tokens": answer.n_prompt + end.n_tokens,
        "completion_tokens_details": {"audio_tokens": units, "text_tokens": end.n_tokens - units},
    }  # fmt: skip
