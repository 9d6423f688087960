"""Many replicas behind one address, by Ray Serve: it starts, scales, drains and replaces them.

`Front` takes what comes over HTTP and hands it to a `Replica` as ASGI messages. Until the first byte of an answer has
been sent nothing is lost: if its replica dies, another one is asked. A talk is a WebSocket of one replica, and ends
with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import websockets
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.exceptions import RayActorError
from ray.serve import Application
from ray.serve.exceptions import RayServeException
from starlette.types import ASGIApp, Receive, Scope, Send

from most.serve.disconnect import ClientGone, unless_gone
from most.serve.errors import Refused, body_too_large
from most.serve.settings import ServeSettings

REPLICA = "Replica"
REPLICA_HEADER = b"x-most-replica"
"""Of each answer: the process that gave it."""
_ATTEMPTS, _PAUSE_SECONDS = 10, 0.5
_SCOPE = ("type", "http_version", "method", "path", "raw_path", "query_string", "headers", "scheme")
_LOST = (RayActorError, RayServeException)


class ClusterArgs(BaseModel):
    """The `args` of an application in Ray Serve's config file.

    Args:
        model: folder or hub id; the shipped model when left out. `codec`: another codec than its own.
        name: of the model, for clients; its folder's when left out.
        settings: of `ServeSettings`, for each replica.
        replicas: where the config file says nothing about deployments.
        address: that replicas listen on for talks: what `Front` can reach them by.
    """

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    codec: str | None = None
    name: str | None = None
    settings: dict[str, Any] = {}
    replicas: int = 1
    address: str = "127.0.0.1"


def build(args: ClusterArgs) -> Application:
    """The application that `serve run most.serve.cluster:build` and config files name."""
    settings = ServeSettings(**args.settings)
    places = settings.max_running + settings.max_waiting + settings.max_sessions
    replica = serve.deployment(Replica).options(name=REPLICA, num_replicas=args.replicas, max_ongoing_requests=places)

    def front() -> ASGIApp:
        return Front(settings.max_bytes)

    made = serve.deployment(serve.ingress(front)()).options(name="Front", max_ongoing_requests=10_000)
    return made.bind(replica.bind(args.model_dump()))


class Replica:
    """One engine and its server in a process of its own."""

    def __init__(self, args: dict[str, Any]) -> None:
        from most.generate.engine import Engine
        from most.model.load import default_model_dir
        from most.serve.app import create_app
        from most.serve.run import make_server
        from most.serve.server import model_name

        own = ClusterArgs(**args)
        folder = Path(own.model) if own.model else default_model_dir()
        engine = Engine.load(folder, own.codec)
        self.app = create_app(engine, ServeSettings(**own.settings), name=own.name or model_name(folder))
        self.server = make_server(self.app, own.address, 0, log_level="warning")
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"ws://{own.address}:{port}"

    async def http(self, scope: dict[str, Any], body: bytes) -> AsyncIterator[dict[str, Any]]:
        """The ASGI messages of one answer."""
        messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        asked = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if asked:
                return asked.pop()
            await asyncio.Event().wait()  # until this is cancelled: the client is gone
            raise AssertionError

        async def run() -> None:
            try:
                await self.app(dict(scope), receive, messages.put)  # type: ignore[arg-type]
            finally:
                await messages.put(None)

        task = asyncio.create_task(run())
        try:
            while (message := await messages.get()) is not None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message.get("headers", ()), (REPLICA_HEADER, str(os.getpid()).encode())]
                yield message
            await task
        finally:
            task.cancel()

    async def talk(self) -> AsyncIterator[str]:
        """Where this replica takes a talk; goes on for as long as the talk does, so that it counts as load."""
        yield self.url
        await asyncio.Event().wait()

    def check_health(self) -> None:
        if not self.thread.is_alive():
            raise RuntimeError("the server of this replica has stopped")

    def __del__(self) -> None:
        if hasattr(self, "server"):
            self.server.should_exit = True
            self.thread.join(30)


class Front:
    """An ASGI application that has every request answered by a replica.

    Args:
        max_bytes: of a body, which is kept until its answer has begun.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._replica: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._replica is None:
            self._replica = serve.get_deployment_handle(REPLICA)
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._talk(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
            if len(body) > self.max_bytes:
                return await body_too_large(self.max_bytes).response()(scope, receive, send)
        plain = {key: scope[key] for key in _SCOPE if key in scope}
        with contextlib.suppress(ClientGone):  # any other error breaks the connection: the answer had begun
            await unless_gone(receive, self._answered(plain, body, scope, receive, send))

    async def _answered(self, plain: dict[str, Any], body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(_ATTEMPTS):
            held: list[dict[str, Any]] = []  # the answer's head: sent with its first bytes
            begun = False
            stream = self._replica.options(stream=True, method_name="http").remote(plain, body)
            try:
                async for message in stream:
                    if message["type"] == "http.response.start":
                        held.append(message)
                        continue
                    for part in (*held, message):
                        begun = True
                        await send(part)
                    held.clear()
                return
            except _LOST:
                if begun:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
            except asyncio.CancelledError:
                stream.cancel()
                raise
        refused = Refused(503, "no replica answers; try again in a moment", retry_after=5)
        await refused.response()(scope, receive, send)

    async def _talk(self, scope: Scope, receive: Receive, send: Send) -> None:
        held = self._replica.options(stream=True, method_name="talk").remote()
        try:
            url = await anext(held)
            target = f"{url}{scope['path']}?{scope['query_string'].decode()}"
            headers = [(k.decode(), v.decode()) for k, v in scope["headers"] if k == b"authorization"]
            protocols = [websockets.Subprotocol(p) for p in scope.get("subprotocols", ())] or None
            await receive()  # websocket.connect
            try:
                talk = await websockets.connect(
                    target, additional_headers=headers, subprotocols=protocols, max_size=None
                )
            except (OSError, websockets.InvalidStatus, websockets.InvalidHandshake):
                return await send({"type": "websocket.close", "code": 1008})
            async with talk:
                await send({"type": "websocket.accept", "subprotocol": talk.subprotocol})
                await _both_ways(talk, receive, send)
        finally:
            held.cancel()


async def _both_ways(talk: websockets.ClientConnection, receive: Receive, send: Send) -> None:
    async def up() -> None:
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            await talk.send(text if text is not None else message["bytes"])

    async def down() -> None:
        async for message in talk:
            await send({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})
        with contextlib.suppress(RuntimeError):
            await send({"type": "websocket.close", "code": talk.close_code or 1000, "reason": talk.close_reason or ""})

    tasks = {asyncio.create_task(up()), asyncio.create_task(down())}
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
