"""`/v1/realtime`: the WebSocket around a session."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from most.errors import MostError
from most.serve.errors import Refused
from most.serve.realtime.session import RealtimeSession
from most.serve.server import Server

router = APIRouter()
_POLICY, _TRY_LATER, _GOING = 1008, 1013, 1001


@router.websocket("/v1/realtime")
async def realtime(socket: WebSocket, model: str = "default") -> None:
    server: Server = socket.app.state.server
    if not server.lets_in(*_keys(socket)):
        return await socket.close(_POLICY, "the API key is missing or wrong")
    await socket.accept("realtime" if "realtime" in socket.scope["subprotocols"] else None)
    try:
        server.require_model(model)
    except Refused as e:
        return await _refuse(socket, e, _POLICY)
    if len(server.sessions) >= server.settings.max_sessions:
        return await _refuse(socket, Refused(429, "too many talks are open; try again in a moment"), _TRY_LATER)
    if not server.worker.accepts:
        return await _refuse(socket, Refused(503, "the server is stopping"), _GOING)
    try:
        session = RealtimeSession(server, lambda event: _send(socket, event))
    except MostError as e:  # a model without ears
        return await _refuse(socket, Refused.of(e), _POLICY)
    server.sessions.add(socket)
    server.metrics.sessions.set(len(server.sessions))
    try:
        await session.open()
        await _listen(socket, session, server.settings.idle_seconds)
    except WebSocketDisconnect:
        pass
    finally:
        server.sessions.discard(socket)
        await session.close()
        server.metrics.sessions.set(len(server.sessions))


async def _listen(socket: WebSocket, session: RealtimeSession, idle_seconds: float) -> None:
    while True:
        try:
            text = await asyncio.wait_for(socket.receive_text(), idle_seconds)
        except TimeoutError:
            return await socket.close(_GOING, f"nothing was sent for {idle_seconds:g} s")
        except KeyError:  # bytes, not text
            await session.handle(None)
            continue
        try:
            event: Any = json.loads(text)
        except (ValueError, RecursionError):
            event = None
        await session.handle(event)


async def _send(socket: WebSocket, event: dict[str, Any]) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # closed meanwhile
        await socket.send_text(json.dumps(event, ensure_ascii=False))


async def _refuse(socket: WebSocket, error: Refused, code: int) -> None:
    await _send(socket, {"type": "error", "event_id": "event_0", **error.body})
    await socket.close(code, error.message[:120])


def _keys(socket: WebSocket) -> list[bytes]:
    """By header, or, for browsers, which cannot set one, by a subprotocol as OpenAI's."""
    given = [socket.headers.get("authorization", "").removeprefix("Bearer ")]
    given += [p.removeprefix("openai-insecure-api-key.") for p in socket.scope["subprotocols"]]
    return [g.encode() for g in given]
