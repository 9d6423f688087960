"""An answer under way in a talk: its events as it is written and said, until it ends or is broken off."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import soxr

from most.errors import MostError
from most.generate.chat import Chat
from most.generate.request import Token
from most.generate.stream import Ended, Said, Written
from most.serve.audio_out import pcm16
from most.serve.errors import Refused
from most.serve.realtime.config import Session
from most.serve.realtime.conversation import Item
from most.serve.server import Server

log = logging.getLogger(__name__)


class Answer:
    """One response. `item` is what it becomes in the conversation.

    Args:
        session: the talk's settings, as this response has them.
        emit: sends an event to the client.
        added: takes the item into the conversation.
    """

    def __init__(
        self, server: Server, session: Session, item: Item, *, talk_id: str, emit: Callable[..., Awaitable[None]],
        added: Callable[[Item, str | None], Awaitable[None]],
    ) -> None:  # fmt: skip
        self.id, self.item, self.session = new_id("resp"), item, session
        self.playing_since = 0.0
        """When the first sound was sent; 0 before."""
        self._server, self._talk_id, self._emit, self._added = server, talk_id, emit, added
        self._head = {"response_id": self.id, "item_id": item.id, "output_index": 0, "content_index": 0}
        self._begun, self._reason = False, ""
        self._entered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def start(self, chat: Chat, content: list[dict[str, Any]]) -> None:
        """Answer the user's turn behind the chat's history."""
        await self._emit("response.created", response=self._row("in_progress"))
        self._task = asyncio.create_task(self._run(chat, content))

    async def stop(self, reason: str) -> None:
        """Break it off; back when the client knows."""
        assert self._task is not None
        await self._entered.wait()  # a task that is cancelled before it runs would tell nobody
        self._reason = reason
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, chat: Chat, content: list[dict[str, Any]]) -> None:
        self._entered.set()
        item, usage, details = self.item, None, None
        try:
            ended, usage = await self._answered(chat, content)
            status = "incomplete" if ended.truncated else "completed"
            details = {"type": "incomplete", "reason": "max_output_tokens"} if ended.truncated else None
        except asyncio.CancelledError:
            status, details = "cancelled", {"type": "cancelled", "reason": self._reason}
        except (Refused, MostError) as e:
            status, details = "failed", {"type": "failed", "error": Refused.of(e).body["error"]}
        except Exception:
            log.exception("an answer failed")
            error = Refused(500, "the server failed; see its log", code="failed").body["error"]
            status, details = "failed", {"type": "failed", "error": error}
        item.status = "completed" if status == "completed" else "incomplete"
        if self._begun:
            await self._end_item()
        row = self._row(status) | {"status_details": details, "usage": usage}
        await self._emit("response.done", response=row | {"output": [item.row()] if self._begun else []})

    async def _answered(self, chat: Chat, content: list[dict[str, Any]]) -> tuple[Ended, dict[str, Any]]:
        item, session = self.item, self.session
        async with self._server.worker.admit() as place:
            turn = await asyncio.to_thread(chat.turn, content, voice=session.aloud)
            tokens: list[Token] = []  # filled by the worker's thread
            request = replace(turn.request, routing=bool(session.include))
            stream = place.submit(request, chat.speaker, tokens.append if session.include else None)
            await self._begin_item()
            resample: soxr.ResampleStream | None = None
            async for event in stream:
                await self._routing(tokens)
                if isinstance(event, Written):
                    item.text += event.text
                    kind = "output_audio_transcript" if session.aloud else "output_text"
                    await self._emit(f"response.{kind}.delta", **self._head, delta=event.text)
                elif isinstance(event, Said):
                    if not self.playing_since:
                        self.playing_since = time.monotonic()
                        self._server.metrics.first_audio.observe(self.playing_since - place.begun)
                    rate = session.audio.output.format.rate
                    resample = resample or soxr.ResampleStream(event.sample_rate, rate, 1, dtype="float32")
                    await self._sound(resample.resample_chunk(event.waveform))
                    item.seconds += len(event.waveform) / event.sample_rate
                    item.sent_seconds = item.seconds
                else:
                    item.text, item.whole = event.text, True
                    if resample is not None:
                        await self._sound(resample.resample_chunk(np.zeros(0, np.float32), last=True))
                    return event, _usage(len(turn.request.prompt), event)
        raise AssertionError("a stream ends with its end")

    async def _begin_item(self) -> None:
        self._begun = True
        await self._emit("response.output_item.added", response_id=self.id, output_index=0, item=self.item.row())
        await self._added(self.item, None)
        await self._emit("response.content_part.added", **self._head, part=self._part())

    async def _end_item(self) -> None:
        item = self.item
        if item.aloud:
            await self._emit("response.output_audio.done", **self._head)
            await self._emit("response.output_audio_transcript.done", **self._head, transcript=item.text)
        else:
            await self._emit("response.output_text.done", **self._head, text=item.text)
        await self._emit("response.content_part.done", **self._head, part=self._part())
        await self._emit("response.output_item.done", response_id=self.id, output_index=0, item=item.row())
        await self._emit("conversation.item.done", item=item.row())

    def _part(self) -> dict[str, Any]:
        text = self.item.text
        return {"type": "audio", "transcript": text} if self.item.aloud else {"type": "text", "text": text}

    async def _routing(self, tokens: list[Token]) -> None:
        """Which experts the tokens so far went to, for clients that asked; an event that OpenAI's API does not have."""
        rows = [_routed(self._server, tokens.pop(0)) for _ in range(len(tokens))]
        if rows := [row for row in rows if row]:
            await self._emit("response.routing", response_id=self.id, tokens=rows)

    async def _sound(self, wav: np.ndarray) -> None:
        if len(wav):
            await self._emit(
                "response.output_audio.delta", **self._head, delta=base64.b64encode(pcm16(wav)).decode()
            )  # fmt: skip

    def _row(self, status: str) -> dict[str, Any]:
        return {
            "id": self.id, "object": "realtime.response", "status": status, "output": [],
            "output_modalities": self.session.output_modalities, "conversation_id": self._talk_id,
            "max_output_tokens": self.session.max_output_tokens, "status_details": None, "usage": None,
        }  # fmt: skip


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


def new_id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex[:24]}"
