"""One talk: events in, events out. Sound is heard as it comes; an answer that is broken into stops at once."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import soxr
from pydantic import ValidationError

from most.errors import MostError
from most.generate.batch import Token
from most.generate.chat import Chat
from most.generate.engine import TRANSCRIBE_PROMPT
from most.generate.stream import Ended, Said, Written
from most.serve import audio_in
from most.serve.audio_out import pcm16
from most.serve.errors import Refused, too_large
from most.serve.realtime.config import ServerVad, Session, merged
from most.serve.realtime.conversation import Conversation, Item
from most.serve.realtime.turns import SAMPLE_RATE, TurnDetector
from most.serve.server import Server

log = logging.getLogger(__name__)
Send = Callable[[dict[str, Any]], Awaitable[None]]
_SHORTEST_TURN_SECONDS = 0.1


@dataclass
class _Response:
    """The answer under way."""

    id: str
    item: Item
    task: asyncio.Task[None] | None = None
    reason: str = ""
    """Why it was broken off."""


@dataclass
class _Buffer:
    """Sound that is no item yet, at the model's rate; `start` is its first sample's number since the talk began."""

    wav: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    start: int = 0

    @property
    def end(self) -> int:
        return self.start + len(self.wav)

    def drop(self, until: int) -> np.ndarray:
        """Take what lies before a sample."""
        n = min(len(self.wav), max(0, until - self.start))
        taken, self.wav = self.wav[:n], self.wav[n:]
        self.start += n
        return taken


class RealtimeSession:
    """A talk of one client.

    Args:
        send: of an event's fields, to the client.
    """

    def __init__(self, server: Server, send: Send) -> None:
        self.server, self._send = server, send
        self.id, self.session = _new("sess"), Session(model=server.name)
        self.conversation = Conversation()
        self._buffer, self._rate = _Buffer(), server.engine.processor.sample_rate
        self._resample = self._resampler()
        self._detector = self._make_detector()
        self._turn_item = ""
        """The id that the turn being spoken will have."""
        self._response: _Response | None = None
        self._playing_since = 0.0
        """When the first sound of the last answer was sent; 0 before."""
        self._answers = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        await self.emit("session.created", session=self._row())

    async def close(self) -> None:
        """The client is gone: nothing more is computed for it."""
        tasks = [*self._tasks, *([self._response.task] if self._response and self._response.task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def emit(self, type: str, **fields: Any) -> None:
        await self._send({"type": type, "event_id": _new("event"), **fields})

    async def handle(self, event: Any) -> None:
        """Whatever a client sends; what is wrong with it is said in an `error` event."""
        event_id = event.get("event_id") if isinstance(event, dict) else None
        try:
            if not isinstance(event, dict) or not isinstance(event.get("type"), str):
                raise Refused(400, "type: is missing; send a JSON object with the type of the event", param="type")
            work = self._events.get(event["type"])
            if work is None:
                raise Refused(400, f"type: {event['type']!r}: is no event that clients send here", param="type")
            await work(self, event)
            return
        except (Refused, MostError) as e:
            refused = Refused.of(e)
        except ValidationError as e:
            refused = Refused.invalid(e.errors(), "session.")
        except (KeyError, TypeError, ValueError) as e:
            log.info("an event could not be handled", exc_info=True)
            refused = Refused(400, f"{event['type']}: a field is missing or of a wrong kind ({e})")
        await self.emit("error", error={**refused.body["error"], "event_id": event_id})

    # Settings

    async def _update(self, event: dict[str, Any]) -> None:
        session = merged(self.session, event["session"])
        self.server.require_model(session.model)
        if session.aloud:
            self.server.voice(session.audio.output.voice)
        vad, old = session.audio.input.turn_detection, self.session.audio.input
        if vad is not None:
            _ = vad.turns  # refused before anything changes
        self.session = session
        if session.audio.input.format != old.format:
            self._resample = self._resampler()
        if vad != old.turn_detection:
            self._detector = self._make_detector()
        await self.emit("session.updated", session=self._row())

    def _row(self) -> dict[str, Any]:
        return {"id": self.id, "object": "realtime.session", **self.session.model_dump()}

    def _resampler(self) -> soxr.ResampleStream:
        return soxr.ResampleStream(self.session.audio.input.format.rate, self._rate, 1, dtype="float32", quality="HQ")

    def _make_detector(self) -> TurnDetector | None:
        vad = self.session.audio.input.turn_detection
        if vad is None:
            return None
        if self._rate != SAMPLE_RATE:
            message = f"turn_detection: needs a model that hears at {SAMPLE_RATE} Hz; set it to null"
            raise Refused(400, message, param="session.audio.input.turn_detection")
        return TurnDetector(vad.turns, self._buffer.end)

    # Sound in

    async def _append(self, event: dict[str, Any]) -> None:
        wav = self._resample.resample_chunk(audio_in.pcm16(event["audio"], "audio")).clip(-1, 1)
        self._buffer.wav = np.concatenate([self._buffer.wav, wav])
        longest = self._longest
        if self._detector is None:
            if len(self._buffer.wav) > longest:
                self._buffer.drop(self._buffer.end)
                raise Refused(413, f"audio: more than {longest / self._rate:g} s are waiting; commit them earlier")
            return
        for boundary in self._detector(wav):
            if boundary.kind == "began":
                await self._began(boundary.sample)
            else:
                await self._ended(boundary.sample)
        if self._detector.speaking and len(self._buffer.wav) >= longest:
            await self._ended(self._buffer.end)  # who goes on speaking begins a new turn
        elif not self._detector.speaking:
            prefix = round(self._detector.settings.prefix_seconds * self._rate) + self._rate // 2
            self._buffer.drop(self._buffer.end - prefix)

    async def _began(self, sample: int) -> None:
        self._buffer.drop(sample)
        self._turn_item = _new("item")
        await self.emit(
            "input_audio_buffer.speech_started", audio_start_ms=self._ms(sample), item_id=self._turn_item
        )  # fmt: skip
        if self._vad.interrupt_response:
            await self._break_in()

    async def _ended(self, sample: int) -> None:
        await self.emit("input_audio_buffer.speech_stopped", audio_end_ms=self._ms(sample), item_id=self._turn_item)
        await self._take(self._buffer.drop(sample), self._turn_item)
        if self._vad.create_response:
            await self._respond({})

    @property
    def _longest(self) -> int:
        """Samples of one turn that the model hears."""
        return int(self.server.engine.processor.max_audio_seconds * self._rate)

    @property
    def _vad(self) -> ServerVad:
        vad = self.session.audio.input.turn_detection
        assert vad is not None
        return vad

    async def _commit(self, event: dict[str, Any]) -> None:
        wav = self._buffer.drop(self._buffer.end)
        if len(wav) < _SHORTEST_TURN_SECONDS * self._rate:
            message = f"input_audio_buffer: holds {1000 * len(wav) // self._rate} ms; send 100 ms or more, then commit"
            raise Refused(400, message, code="input_audio_buffer_commit_empty")
        self._forget_turn()
        await self._take(wav, _new("item"))

    async def _clear(self, event: dict[str, Any]) -> None:
        self._buffer.drop(self._buffer.end)
        self._forget_turn()
        await self.emit("input_audio_buffer.cleared")

    def _forget_turn(self) -> None:
        if self._detector is not None:
            self._detector.reset(self._buffer.end)

    async def _take(self, wav: np.ndarray, item_id: str) -> None:
        """Sound becomes the user's next item."""
        previous = self.conversation.items[-1].id if self.conversation.items else None
        item = Item(id=item_id or _new("item"), role="user", wav=wav)
        await self.emit("input_audio_buffer.committed", item_id=item.id, previous_item_id=previous)
        await self._added(item, previous)
        if self.session.audio.input.transcription is not None:
            self._spawn(self._transcribe(item))

    async def _transcribe(self, item: Item) -> None:
        kind, head = "conversation.item.input_audio_transcription", {"item_id": item.id, "content_index": 0}
        asked = [{"type": "audio", "audio": item.wav}, {"type": "text", "text": TRANSCRIBE_PROMPT}]
        engine, limit = self.server.engine, self.server.settings.max_tokens
        try:
            async with self.server.worker.admit() as place:
                request = await asyncio.to_thread(engine.to_write, [{"role": "user", "content": asked}], limit)
                async for heard in place.submit(request):
                    if isinstance(heard, Written):
                        item.transcript += heard.text
                        await self.emit(f"{kind}.delta", **head, delta=heard.text)
        except (Refused, MostError) as e:
            error = Refused.of(e).body["error"]
            return await self.emit(f"{kind}.failed", **head, error=error)
        seconds = 0.0 if item.wav is None else len(item.wav) / self._rate
        usage = {"type": "duration", "seconds": round(seconds, 3)}
        await self.emit(f"{kind}.completed", **head, transcript=item.transcript, usage=usage)

    # Items

    async def _create_item(self, event: dict[str, Any]) -> None:
        row, after = event["item"], event.get("previous_item_id")
        if row.get("type") != "message" or row.get("role") not in ("system", "user", "assistant"):
            raise Refused(400, "item: only messages of system, user and assistant are known here", param="item")
        item = Item(id=row.get("id") or _new("item"), role=row["role"])
        if len(row["content"]) != 1:
            raise Refused(400, "item.content: give one part an item", param="item.content")
        (part,) = row["content"]
        if part["type"] == "input_audio" and item.role == "user":
            raw = audio_in.pcm16(part["audio"], "item.content.audio")
            item.wav = soxr.resample(raw, self.session.audio.input.format.rate, self._rate).clip(-1, 1)
            if len(item.wav) > self._longest:
                limit = f"{self._longest / self._rate:g} s"
                raise too_large(f"item.content.audio: is longer than {limit}; cut it", "item.content.audio")
            if len(item.wav) < _SHORTEST_TURN_SECONDS * self._rate:
                raise Refused(400, "item.content.audio: is shorter than 100 ms", param="item.content.audio")
        elif part["type"] in ("input_text", "output_text", "text"):
            item.text = str(part["text"]).strip()
            if not item.text:
                raise Refused(400, "item.content.text: is empty", param="item.content.text")
        else:
            raise Refused(400, f"item.content.type: {part['type']!r}: is not known here", param="item.content.type")
        await self._added(item, after)

    async def _added(self, item: Item, after: str | None) -> None:
        at_end = not self.conversation.items or after in (None, self.conversation.items[-1].id)
        previous = self.conversation.items[-1].id if at_end and self.conversation.items else after
        gone = self.conversation.add(item, None if at_end else after)
        await self.emit("conversation.item.added", previous_item_id=previous, item=item.row())
        if item.status != "in_progress":
            await self.emit("conversation.item.done", previous_item_id=previous, item=item.row())
        for item_id in gone:
            await self.emit("conversation.item.deleted", item_id=item_id)

    async def _delete_item(self, event: dict[str, Any]) -> None:
        self.conversation.delete(event["item_id"])
        await self.emit("conversation.item.deleted", item_id=event["item_id"])

    async def _retrieve_item(self, event: dict[str, Any]) -> None:
        await self.emit("conversation.item.retrieved", item=self.conversation.find(event["item_id"]).row())

    async def _truncate_item(self, event: dict[str, Any]) -> None:
        """The client knows best how much of an answer was heard."""
        item, end_ms = self.conversation.find(event["item_id"]), int(event["audio_end_ms"])
        if item.role != "assistant" or not item.aloud:
            raise Refused(400, f"item_id: {item.id!r}: is no spoken answer", param="item_id")
        if self._response is not None and self._response.item is item:
            await self._stop("client_cancelled")
        if not 0 <= end_ms <= 1000 * item.sent_seconds + 1:
            message = f"audio_end_ms: {end_ms}: the answer has {round(1000 * item.sent_seconds)} ms"
            raise Refused(400, message, param="audio_end_ms")
        await self._cut(item, min(end_ms / 1000, item.seconds))

    async def _cut(self, item: Item, seconds: float) -> None:
        item.cut(seconds)
        await self.emit(
            "conversation.item.truncated", item_id=item.id, content_index=0, audio_end_ms=round(1000 * seconds)
        )  # fmt: skip

    # Answers

    async def _create_response(self, event: dict[str, Any]) -> None:
        await self._respond(event.get("response") or {})

    async def _cancel_response(self, event: dict[str, Any]) -> None:
        wanted = event.get("response_id")
        if self._response is None or wanted not in (None, self._response.id):
            raise Refused(400, "response: none is under way", code="response_cancel_not_active")
        await self._stop("client_cancelled")

    async def _break_in(self) -> None:
        """The user speaks: stop, and leave of the answer what can have been heard, if it played as it came."""
        response = self._response
        if response is not None:
            await self._stop("turn_detected")
        last = next((i for i in reversed(self.conversation.items) if i.role == "assistant"), None)
        if last is None or not last.aloud or last is not self.conversation.items[-1] or not self._playing_since:
            return
        heard = min(last.seconds, time.monotonic() - self._playing_since)
        if heard < last.seconds or not last.whole:
            await self._cut(last, heard)

    async def _stop(self, reason: str) -> None:
        response = self._response
        if response is not None and response.task is not None:
            response.reason = reason
            response.task.cancel()
            await asyncio.gather(response.task, return_exceptions=True)

    async def _respond(self, changes: dict[str, Any]) -> None:
        if self._response is not None:
            raise Refused(
                400, f"response: {self._response.id} is under way; cancel it first",
                code="conversation_already_has_active_response",
            )  # fmt: skip
        known = {k: v for k, v in changes.items() if k in ("output_modalities", "instructions", "max_output_tokens")}
        if unknown := sorted(set(changes) - set(known) - {"audio", "conversation", "metadata"}):
            raise Refused(400, f"response.{unknown[0]}: is not known here", param=f"response.{unknown[0]}")
        if "audio" in changes:
            known["audio"] = changes["audio"]
        session = merged(self.session, known)
        turns = self.conversation.turns(session.instructions)
        voice = self.server.voice(session.audio.output.voice) if session.aloud else None
        item = Item(id=_new("item"), role="assistant", status="in_progress", aloud=session.aloud, whole=False)
        response = _Response(_new("resp"), item)
        self._response, self._playing_since = response, 0.0
        limit = None if session.max_output_tokens == "inf" else int(session.max_output_tokens)
        try:
            chat = self.server.chat(voice, limit)
        except Refused:
            self._response = None
            raise
        chat.history, chat.n_answers = turns[:-1], self._answers
        self._answers += 1
        await self.emit("response.created", response=self._response_row(response, "in_progress", session))
        response.task = asyncio.create_task(self._answer(response, chat, turns[-1]["content"], session, voice))

    async def _answer(
        self, response: _Response, chat: Chat, content: list[dict[str, Any]], session: Session, voice: str | None
    ) -> None:
        item, status, details, usage = response.item, "completed", None, None
        head = {"response_id": response.id, "item_id": item.id, "output_index": 0, "content_index": 0}
        begun = False
        try:
            async with self.server.worker.admit() as place:
                turn = await asyncio.to_thread(chat.turn, content, voice=session.aloud)
                routing = bool(session.include)
                tokens: list[Token] = []  # filled by the worker's thread
                request = replace(turn.request, routing=routing)
                stream = place.submit(request, voice, tokens.append if routing else None)
                await self._begin_item(response)
                begun = True
                resample = None
                async for event in stream:
                    await self._routing(tokens, response)
                    if isinstance(event, Written):
                        item.text += event.text
                        kind = "output_audio_transcript" if session.aloud else "output_text"
                        await self.emit(f"response.{kind}.delta", **head, delta=event.text)
                    elif isinstance(event, Said):
                        if not self._playing_since:
                            self._playing_since = time.monotonic()
                            self.server.metrics.first_audio.observe(self._playing_since - place.begun)
                        rate = session.audio.output.format.rate
                        resample = resample or soxr.ResampleStream(event.sample_rate, rate, 1, dtype="float32")
                        await self._sound(resample.resample_chunk(event.waveform), head)
                        item.seconds += len(event.waveform) / event.sample_rate
                        item.sent_seconds = item.seconds
                    else:
                        item.text, item.whole = event.text, True
                        if resample is not None:
                            await self._sound(resample.resample_chunk(np.zeros(0, np.float32), last=True), head)
                        status = "incomplete" if event.truncated else "completed"
                        details = {"type": "incomplete", "reason": "max_output_tokens"} if event.truncated else None
                        usage = _usage(len(turn.request.prompt), event)
        except asyncio.CancelledError:
            status, details = "cancelled", {"type": "cancelled", "reason": response.reason or "client_cancelled"}
        except (Refused, MostError) as e:
            error = Refused.of(e).body["error"]
            status, details = "failed", {"type": "failed", "error": error}
        self._response = None
        item.status = "completed" if status == "completed" else "incomplete"
        await asyncio.shield(self._end_item(response, head, session, begun, status, details, usage))

    async def _begin_item(self, response: _Response) -> None:
        item = response.item
        await self.emit("response.output_item.added", response_id=response.id, output_index=0, item=item.row())
        await self._added(item, None)
        part = {"type": "audio", "transcript": ""} if item.aloud else {"type": "text", "text": ""}
        await self.emit(
            "response.content_part.added", response_id=response.id, item_id=item.id, output_index=0, content_index=0,
            part=part,
        )  # fmt: skip

    async def _end_item(
        self, response: _Response, head: dict[str, Any], session: Session, begun: bool, status: str,
        details: dict[str, Any] | None, usage: dict[str, Any] | None,
    ) -> None:  # fmt: skip
        item = response.item
        if begun:
            if item.aloud:
                await self.emit("response.output_audio.done", **head)
                await self.emit("response.output_audio_transcript.done", **head, transcript=item.text)
            else:
                await self.emit("response.output_text.done", **head, text=item.text)
            kind = {"type": "audio", "transcript": item.text} if item.aloud else {"type": "text", "text": item.text}
            await self.emit("response.content_part.done", **head, part=kind)
            await self.emit("response.output_item.done", response_id=response.id, output_index=0, item=item.row())
            await self.emit("conversation.item.done", item=item.row())
        row = self._response_row(response, status, session) | {"status_details": details, "usage": usage}
        row["output"] = [item.row()] if begun else []
        await self.emit("response.done", response=row)

    async def _routing(self, tokens: list[Token], response: _Response) -> None:
        """Which experts the tokens so far went to, for clients that asked; an event that OpenAI's API does not have."""
        rows = [_routed(self.server, tokens.pop(0)) for _ in range(len(tokens))]
        if rows := [row for row in rows if row]:
            await self.emit("response.routing", response_id=response.id, tokens=rows)

    async def _sound(self, wav: np.ndarray, head: dict[str, Any]) -> None:
        if len(wav):
            await self.emit("response.output_audio.delta", **head, delta=base64.b64encode(pcm16(wav)).decode())

    def _response_row(self, response: _Response, status: str, session: Session) -> dict[str, Any]:
        return {
            "id": response.id, "object": "realtime.response", "status": status, "output": [],
            "output_modalities": session.output_modalities, "conversation_id": self.id,
            "max_output_tokens": session.max_output_tokens, "status_details": None, "usage": None,
        }  # fmt: skip

    # Helpers

    def _ms(self, sample: int) -> int:
        return round(1000 * sample / self._rate)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    _events: ClassVar[dict[str, Callable[[RealtimeSession, dict[str, Any]], Awaitable[None]]]] = {
        "session.update": _update,
        "input_audio_buffer.append": _append,
        "input_audio_buffer.commit": _commit,
        "input_audio_buffer.clear": _clear,
        "conversation.item.create": _create_item,
        "conversation.item.delete": _delete_item,
        "conversation.item.retrieve": _retrieve_item,
        "conversation.item.truncate": _truncate_item,
        "response.create": _create_response,
        "response.cancel": _cancel_response,
    }


def _usage(n_prompt: int, end: Ended) -> dict[str, Any]:
    units = len(end.units)
    return {
        "input_tokens": n_prompt, "output_tokens": end.n_tokens, "total_tokens": n_prompt + end.n_tokens,
        "output_token_details": {"audio_tokens": units, "text_tokens": end.n_tokens - units},
    }  # fmt: skip


def _routed(server: Server, token: Token) -> dict[str, Any] | None:
    if token.before is None:
        return None
    number, experts = token.before
    processor = server.engine.processor
    if processor.vocab.is_unit(number):
        return {"kind": "unit", "text": str(processor.vocab.unit_of(number)), "experts": experts}
    kind = "text" if number < processor.vocab.text_size else "marker"
    return {"kind": kind, "text": processor.tokenizer.decode([number]), "experts": experts}


def _new(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex[:24]}"
