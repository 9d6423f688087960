"""`/v1/audio/transcriptions` and `/v1/audio/speech`."""

from __future__ import annotations

import asyncio
import base64
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from most.generate import read_aloud, transcribe
from most.generate.stream import Ended, Said, Written
from most.serve import audio_in
from most.serve.audio_out import CONTENT_TYPES, AudioEncoder
from most.serve.captions import Segment, srt, vtt
from most.serve.disconnect import unless_gone
from most.serve.errors import Refused, too_large
from most.serve.server import Server, checked, server_of
from most.serve.sse import event_stream
from most.serve.worker import Place, Stream

router = APIRouter(prefix="/v1/audio")
PIECES_AT_ONCE = 4
"""Of one file: a long one leaves room in the batch for others."""
_MAX_PIECE_TOKENS = 256
_ENGLISH = (None, "", "en", "english", "English")
_FIELDS = frozenset(
    {"file", "model", "response_format", "stream", "temperature", "language", "prompt", "timestamp_granularities[]"}
)


@router.post("/transcriptions")
async def transcriptions(
    request: Request,
    file: Annotated[UploadFile, File()],
    model: Annotated[str, Form()] = "default",
    response_format: Annotated[Literal["json", "text", "srt", "vtt", "verbose_json"], Form()] = "json",
    stream: Annotated[bool, Form()] = False,
    temperature: Annotated[float, Form()] = 0.0,
    language: Annotated[str | None, Form()] = None,
    prompt: Annotated[str | None, Form()] = None,
    granularities: Annotated[list[str] | None, Form(alias="timestamp_granularities[]")] = None,
) -> Response:
    """What is said in a file; long ones are cut where they are quiet."""
    server = server_of(request)
    server.require_model(model)
    _require_default("temperature", temperature, 0.0, "the likeliest words are written; leave it out")
    _require_default("prompt", prompt or None, None, "this model takes no hint; leave it out")
    _require_default(
        "timestamp_granularities", set(granularities or ()) - {"segment"}, set(), "only 'segment' is known"
    )
    _require_default("language", language if language not in _ENGLISH else None, None, "this model hears English")
    if stream and response_format not in ("json", "text"):
        raise Refused(400, f"response_format: {response_format!r}: a stream carries text; leave it out", param="stream")
    for name in sorted(set(await request.form()) - _FIELDS):
        raise Refused(400, f"{name}: is not known here; leave it out", param=name)
    rate, begun = server.engine.processor.sample_rate, time.monotonic()
    longest = min(transcribe.PIECE_SECONDS, server.engine.processor.max_audio_seconds)
    place = server.worker.admit()
    try:
        data = await file.read()
        wav = await asyncio.to_thread(audio_in.decode, data, rate, server.settings.max_seconds)
        heard = _heard(server, place, wav, await asyncio.to_thread(transcribe.pieces_of, wav, rate, longest))
    except BaseException:
        place.close()
        raise
    if stream:
        return event_stream(_deltas(heard), done=False)
    segments = await unless_gone(request.receive, _segments(heard))
    seconds = len(wav) / rate
    server.metrics.real_time.labels("transcriptions").observe((time.monotonic() - begun) / seconds)
    text = " ".join(s.text for s in segments)
    if response_format == "text":
        return PlainTextResponse(text + "\n")
    if response_format == "srt":
        return PlainTextResponse(srt(segments), media_type="application/x-subrip")
    if response_format == "vtt":
        return PlainTextResponse(vtt(segments), media_type="text/vtt")
    usage = {"type": "duration", "seconds": round(seconds, 3)}
    if response_format == "json":
        return JSONResponse({"text": text, "usage": usage})
    rows = [
        {"id": k, "start": s.start, "end": s.end, "text": s.text, "seek": round(100 * s.start), "temperature": 0.0,
         "tokens": None, "avg_logprob": None, "compression_ratio": None, "no_speech_prob": None}
        for k, s in enumerate(segments)
    ]  # fmt: skip
    return JSONResponse(
        {"task": "transcribe", "language": "english", "duration": round(seconds, 3), "text": text, "segments": rows,
         "usage": usage}
    )  # fmt: skip


async def _heard(
    server: Server, place: Place, wav: np.ndarray, bounds: Sequence[tuple[float, float]]
) -> AsyncIterator[Written | Segment]:
    """The text of each piece as it comes, in order, and each piece when it is whole; a few are heard at once."""
    rate, engine = server.engine.processor.sample_rate, server.engine
    running: deque[tuple[tuple[float, float], Stream]] = deque()
    left = deque(bounds)

    def submit() -> None:
        start, end = left.popleft()
        piece = wav[round(start * rate) : round(end * rate)]
        asked = checked(lambda: engine.to_transcribe(piece, _MAX_PIECE_TOKENS))
        running.append(((start, end), place.submit(asked)))

    async with place:
        while left or running:
            while left and len(running) < PIECES_AT_ONCE:
                submit()
            (start, end), stream = running.popleft()
            async for event in stream:
                if isinstance(event, Written):
                    yield event
                elif isinstance(event, Ended):
                    yield Segment(start=round(start, 3), end=round(end, 3), text=event.text)


async def _segments(heard: AsyncIterator[Written | Segment]) -> list[Segment]:
    return [item async for item in heard if isinstance(item, Segment) and item.text]


async def _deltas(heard: AsyncIterator[Written | Segment]) -> AsyncIterator[dict[str, Any]]:
    texts, begun = list[str](), False
    async for item in heard:
        if isinstance(item, Written):
            space = " " if texts and not begun else ""
            begun = True
            yield {"type": "transcript.text.delta", "delta": space + item.text}
        else:
            texts += [item.text] if item.text else []
            begun = False
    yield {"type": "transcript.text.done", "text": " ".join(texts)}


class SpeechRequest(BaseModel):
    """As OpenAI's; what this model cannot do is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")

    input: str
    model: str = "default"
    voice: str | dict[str, str] = "default"
    response_format: Literal["wav", "pcm", "flac", "opus", "mp3"] = "mp3"
    stream_format: Literal["audio", "sse"] = "audio"
    speed: float = 1.0
    instructions: str | None = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    seed: Annotated[int | None, Field(ge=0, lt=2**63)] = None


@router.post("/speech")
async def speech(request: Request, asked: SpeechRequest) -> Response:
    """A text, said; the sound is sent as it is made, but FLAC, which comes whole."""
    server = server_of(request)
    server.require_model(asked.model)
    _require_default("speed", asked.speed, 1.0, "this model has one pace; leave it out")
    _require_default("instructions", asked.instructions or None, None, "this model takes none; leave them out")
    if len(asked.input) > server.settings.max_characters:
        limit = server.settings.max_characters
        raise too_large(f"input: has {len(asked.input)} characters, over the {limit} that this server takes", "input")
    voice = server.voice(asked.voice)
    place = server.worker.admit()
    try:
        pieces = await asyncio.to_thread(lambda: checked(lambda: read_aloud.pieces_of(asked.input)))
        sound = _said(server, place, pieces, voice, asked)
        first = await unless_gone(request.receive, _first(sound))  # what fails before it is an error, not a broken file
        if first is None:
            raise Refused(422, "the model said nothing; try another seed", code="silent")
        encoder = AudioEncoder(asked.response_format, first.sample_rate)
    except BaseException:
        place.close()
        raise
    chunks = _chunks(place, first, sound, encoder)
    if asked.stream_format == "sse":
        return event_stream(_audio_deltas(chunks), done=False)
    return StreamingResponse(chunks, media_type=CONTENT_TYPES[asked.response_format])


async def _first(sound: AsyncIterator[Said]) -> Said | None:
    return await anext(sound, None)


async def _said(
    server: Server, place: Place, pieces: Sequence[str], voice: str | None, asked: SpeechRequest
) -> AsyncIterator[Said]:
    """The sound of each piece as it comes, in order, with pauses between; the next piece is begun meanwhile."""
    changes = {"temperature": asked.temperature} if asked.temperature is not None else {}
    settings = replace(server.settings.speech, **changes)
    seed = server.settings.speech.seed if asked.seed is None else asked.seed
    made = [checked(lambda t=text, k=k: server.engine.to_say(t, settings, (seed, k))) for k, text in enumerate(pieces)]
    requests = iter(made)
    running = deque([place.submit(next(requests), voice)])
    seconds, rate, begun = 0.0, 0, time.monotonic()
    while running:
        if (ahead := next(requests, None)) is not None:
            running.append(place.submit(ahead, voice))
        async for event in running.popleft():
            if isinstance(event, Said):
                if not seconds:
                    server.metrics.first_audio.observe(time.monotonic() - begun)
                seconds, rate = seconds + len(event.waveform) / event.sample_rate, event.sample_rate
                yield event
        if running and rate:
            yield Said(np.zeros(round(read_aloud.PAUSE_SECONDS * rate), dtype=np.float32), rate)
    if seconds:
        server.metrics.real_time.labels("speech").observe((time.monotonic() - begun) / seconds)


async def _chunks(place: Place, first: Said, sound: AsyncIterator[Said], encoder: AudioEncoder) -> AsyncIterator[bytes]:
    async with place:
        if data := encoder.add(first.waveform):
            yield data
        async for event in sound:
            if data := encoder.add(event.waveform):
                yield data
        if data := encoder.end():
            yield data


async def _audio_deltas(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    async for data in chunks:
        yield {"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()}
    yield {"type": "speech.audio.done"}


def _require_default(name: str, value: Any, default: Any, why: str) -> None:
    if value != default:
        raise Refused(400, f"{name}: {value!r}: {why}", param=name)
