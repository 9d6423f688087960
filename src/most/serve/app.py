"""The application: endpoints, who may call them, and how every error looks to a client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from most.errors import MostError
from most.generate.engine import Engine
from most.serve.errors import Refused, body_too_large
from most.serve.routes import audio, chat, models, realtime
from most.serve.server import Server
from most.serve.settings import ServeSettings

OPEN_PATHS = ("/", "/healthz", "/metrics")
"""Need no key, as the files of the page do not."""
PAGE = Path(__file__).parent / "page"


def create_app(engine: Engine, settings: ServeSettings | None = None, *, name: str = "most") -> FastAPI:
    """A server of one model; its threads start and stop with it."""
    server = Server(engine, settings or ServeSettings(), name)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        server.worker.start()
        yield
        await server.worker.stop(server.settings.grace_seconds)

    app = FastAPI(title="MoST", lifespan=lifespan, docs_url="/docs", redoc_url=None)
    app.state.server = server
    for module in (audio, chat, models, realtime):
        app.include_router(module.router)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    app.add_api_route("/", lambda: FileResponse(PAGE / "index.html"), include_in_schema=False)
    app.add_middleware(_Gate, server=server)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(MostError, _mistaken)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    return app


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return error.response()


async def _mistaken(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MostError)
    return Refused.of(error).response()


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return Refused.invalid(error.errors()).response()


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return Refused(error.status_code, str(error.detail)).response()


class _Gate:
    """Before any endpoint: the key, and the bytes of the body, counted as they come in. Counts answers, too."""

    def __init__(self, app: ASGIApp, server: Server) -> None:
        self.app, self.server = app, server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers, limit = dict(scope["headers"]), self.server.settings.max_bytes
        status, n_bytes = 500, 0

        async def counted() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > limit:
                raise HTTPException(413, body_too_large(limit).message)
            return message

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if not (_is_open(scope["path"]) or self.server.lets_in(given if scheme == b"Bearer" else b"")):
                refused = Refused(401, "the API key is missing or wrong; send it as 'Authorization: Bearer KEY'")
                return await refused.response()(scope, receive, noted)
            length = headers.get(b"content-length", b"0")
            if not length.isdigit() or int(length) > limit:
                return await body_too_large(limit).response()(scope, receive, noted)
            return await self.app(scope, counted, noted)
        finally:
            route: Any = scope.get("route")
            self.server.metrics.requests.labels(getattr(route, "path", "other"), str(status)).inc()


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith("/page/")
