"""One talk: events in, events out. Sound is heard as it comes; an answer that is broken into stops at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import numpy as np
import soxr
from pydantic import ValidationError

from most.errors import MostError
from most.generate.stream import Written
from most.serve import audio_in
from most.serve.errors import Refused, too_large
from most.serve.realtime.answer import Answer, new_id
from most.serve.realtime.buffer import Buffer
from most.serve.realtime.config import ServerVad, Session, merged
from most.serve.realtime.conversation import Conversation, Item
from most.serve.realtime.turns import SAMPLE_RATE, TurnDetector
from most.serve.server import Server

log = logging.getLogger(__name__)
Send = Callable[[dict[str, Any]], Awaitable[None]]
_SHORTEST_TURN_SECONDS = 0.1
_OF_RESPONSE = ("output_modalities", "instructions", "max_output_tokens", "audio")
"""What of a session one response may have otherwise."""


class RealtimeSession:
    """A talk of one client.

    Args:
        send: of an event's fields, to the client.
    """

    def __init__(self, server: Server, send: Send) -> None:
        self.server, self._send = server, send
        self.id, self.session = new_id("sess"), Session(model=server.name)
        self.conversation = Conversation()
        self._buffer, self._rate = Buffer(), server.engine.processor.sample_rate
        self._resample = self._resampler()
        self._detector = self._make_detector()
        self._turn_item = ""
        """The id that the turn being spoken will have."""
        self._answer: Answer | None = None
        """The last one; it may be under way."""
        self._answers = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        await self.emit("session.created", session=self._row())

    async def close(self) -> None:
        """The client is gone: nothing more is computed for it."""
        if (answer := self._under_way) is not None:
            await answer.stop("client_cancelled")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def emit(self, type: str, **fields: Any) -> None:
        await self._send({"type": type, "event_id": new_id("event"), **fields})

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
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as e:
            log.info("an event could not be handled", exc_info=True)
            refused = Refused(400, f"{event['type']}: a field is missing or of a wrong kind ({e})")
        except Exception:
            log.exception("an event could not be handled")
            refused = Refused(500, f"{event['type']}: the server failed; see its log", code="failed")
        await self.emit("error", error={**refused.body["error"], "event_id": event_id})

    # Settings

    async def _update(self, event: dict[str, Any]) -> None:
        session = merged(self.session, event["session"])
        self.server.require_model(session.model)
        if session.aloud:
            self.server.voice(session.audio.output.voice)
        self._require_short(session.instructions, "session.instructions")
        self.server.chat(None, session.max_written)  # refused before anything changes, as what follows
        vad, old = session.audio.input.turn_detection, self.session.audio.input
        if vad is not None:
            _ = vad.turns
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
        raw, longest = audio_in.pcm16(event["audio"], "audio"), self._longest
        if len(raw) > self.server.engine.processor.max_audio_seconds * self.session.audio.input.format.rate:
            raise too_large(f"audio: lasts more than {longest / self._rate:g} s; send it in pieces", "audio")
        wav = self._resample.resample_chunk(raw).clip(-1, 1)
        self._buffer.wav = np.concatenate([self._buffer.wav, wav])
        if self._detector is None:
            if len(self._buffer.wav) > longest:
                self._buffer.drop(self._buffer.end)
                limit = f"{longest / self._rate:g} s"
                raise too_large(f"audio: more than {limit} are waiting; commit them earlier", "audio")
            return
        # Long sound is looked through in a thread: other talks wait for this one's loop.
        detect = self._detector
        found = await asyncio.to_thread(detect, wav) if len(wav) > self._rate else detect(wav)
        for boundary in found:
            if boundary.kind == "began":
                await self._began(boundary.sample)
            else:
                await self._ended(boundary.sample)
        if self._detector.speaking:
            await self._cut_up(self._buffer.end)
        else:
            prefix = round(self._detector.settings.prefix_seconds * self._rate) + self._rate // 2
            self._buffer.drop(self._buffer.end - prefix)

    async def _began(self, sample: int) -> None:
        self._buffer.drop(sample)
        await self._open_turn(sample)
        if self._vad.interrupt_response:
            await self._break_in()

    async def _ended(self, sample: int) -> None:
        await self._cut_up(sample)
        await self._close_turn(sample)
        if self._vad.create_response:
            await self._respond({})

    async def _cut_up(self, until: int) -> None:
        """Who speaks longer than the model hears at once says several items; they are answered together at the end."""
        while until - self._buffer.start > self._longest:
            sample = self._buffer.start + self._longest
            await self._close_turn(sample)
            await self._open_turn(sample)

    async def _open_turn(self, sample: int) -> None:
        self._turn_item = new_id("item")
        await self.emit(
            "input_audio_buffer.speech_started", audio_start_ms=self._ms(sample), item_id=self._turn_item
        )  # fmt: skip

    async def _close_turn(self, sample: int) -> None:
        await self.emit("input_audio_buffer.speech_stopped", audio_end_ms=self._ms(sample), item_id=self._turn_item)
        wav = self._buffer.drop(sample)
        if wav.any():  # a piece of long speech may be a pause of a microphone that gives zeros
            await self._take(wav, self._turn_item)

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
        await self._take(wav, new_id("item"))

    async def _clear(self, event: dict[str, Any]) -> None:
        self._buffer.drop(self._buffer.end)
        self._forget_turn()
        await self.emit("input_audio_buffer.cleared")

    def _forget_turn(self) -> None:
        if self._detector is not None:
            self._detector.reset(self._buffer.end)

    async def _take(self, wav: np.ndarray, item_id: str) -> None:
        """Sound becomes the user's next item; what the model cannot read is none, or no later answer could be given."""
        self.server.engine.processor.read(wav)
        previous = self.conversation.items[-1].id if self.conversation.items else None
        item = Item(id=item_id, role="user", wav=wav)
        await self.emit("input_audio_buffer.committed", item_id=item.id, previous_item_id=previous)
        await self._added(item, previous)
        if self.session.audio.input.transcription is not None:
            self._spawn(self._transcribe(item))

    async def _transcribe(self, item: Item) -> None:
        kind, head = "conversation.item.input_audio_transcription", {"item_id": item.id, "content_index": 0}
        assert item.wav is not None
        engine, limit = self.server.engine, self.server.settings.max_tokens
        try:
            async with self.server.worker.admit() as place:
                request = await asyncio.to_thread(engine.to_transcribe, item.wav, limit)
                async for heard in place.submit(request):
                    if isinstance(heard, Written):
                        item.transcript += heard.text
                        await self.emit(f"{kind}.delta", **head, delta=heard.text)
        except (Refused, MostError) as e:
            error = Refused.of(e).body["error"]
            return await self.emit(f"{kind}.failed", **head, error=error)
        usage = {"type": "duration", "seconds": round(len(item.wav) / self._rate, 3)}
        await self.emit(f"{kind}.completed", **head, transcript=item.transcript, usage=usage)

    # Items

    async def _create_item(self, event: dict[str, Any]) -> None:
        row, after = event["item"], event.get("previous_item_id")
        if row.get("type") != "message" or row.get("role") not in ("system", "user", "assistant"):
            raise Refused(400, "item: only messages of system, user and assistant are known here", param="item")
        item = Item(id=row.get("id") or new_id("item"), role=row["role"])
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
            self.server.engine.processor.read(item.wav)
        elif part["type"] in ("input_text", "output_text", "text"):
            item.text = str(part["text"]).strip()
            if not item.text:
                raise Refused(400, "item.content.text: is empty", param="item.content.text")
            self._require_short(item.text, "item.content.text")
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
        end_ms, item = int(event["audio_end_ms"]), self.conversation.find(event["item_id"])
        if item.role != "assistant" or not item.aloud:
            raise Refused(400, f"item_id: {item.id!r}: is no spoken answer", param="item_id")
        if (answer := self._under_way) is not None and answer.item is item:
            await answer.stop("client_cancelled")
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

    @property
    def _under_way(self) -> Answer | None:
        return self._answer if self._answer is not None and self._answer.running else None

    async def _create_response(self, event: dict[str, Any]) -> None:
        await self._respond(event.get("response") or {})

    async def _cancel_response(self, event: dict[str, Any]) -> None:
        answer, wanted = self._under_way, event.get("response_id")
        if answer is None or wanted not in (None, answer.id):
            raise Refused(400, "response: none is under way", code="response_cancel_not_active")
        await answer.stop("client_cancelled")
        await self._unheard(answer)

    async def _unheard(self, answer: Answer) -> None:
        """Of an answer that was stopped before its first sound nothing was heard, whatever is written of it."""
        if answer.item.aloud and not answer.playing_since and answer.item in self.conversation.items:
            await self._cut(answer.item, 0.0)

    async def _break_in(self) -> None:
        """The user speaks: stop, and leave of the answer what can have been heard, if it played as it came."""
        answer = self._answer
        if answer is None:
            return
        if answer.running:
            await answer.stop("turn_detected")
        item = answer.item
        if self.conversation.items[-1:] != [item]:
            return
        if not answer.playing_since:
            return await self._unheard(answer)
        heard = min(item.seconds, time.monotonic() - answer.playing_since)
        if heard < item.seconds or not item.whole:
            await self._cut(item, heard)

    async def _respond(self, changes: dict[str, Any]) -> None:
        if (answer := self._under_way) is not None:
            raise Refused(
                400, f"response: {answer.id} is under way; cancel it first",
                code="conversation_already_has_active_response",
            )  # fmt: skip
        if unknown := sorted(set(changes) - {*_OF_RESPONSE, "metadata"}):
            raise Refused(400, f"response.{unknown[0]}: is not known here", param=f"response.{unknown[0]}")
        session = merged(self.session, {k: v for k, v in changes.items() if k in _OF_RESPONSE})
        turns = self.conversation.turns(session.instructions)
        voice = self.server.voice(session.audio.output.voice) if session.aloud else None
        self._require_short(session.instructions, "response.instructions")
        chat = self.server.chat(voice, session.max_written, latest_parts=True)
        chat.history, chat.n_answers = turns[:-1], self._answers
        self._answers += 1
        item = Item(id=new_id("item"), role="assistant", status="in_progress", aloud=session.aloud, whole=False)
        self._answer = Answer(self.server, session, item, talk_id=self.id, emit=self.emit, added=self._added)
        await self._answer.start(chat, turns[-1]["content"])

    # Helpers

    def _require_short(self, text: str, param: str) -> None:
        if len(text) > (limit := self.server.settings.max_characters):
            raise too_large(f"{param}: has {len(text)} characters, over the {limit} that this server takes", param)

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
