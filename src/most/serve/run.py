"""The application on a port, with a stop that answers what it can."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from fastapi import FastAPI

from most.serve.server import Server

_MARGIN_SECONDS = 5
"""For streams to send their end after the grace is over."""


class GracefulServer(uvicorn.Server):
    """Told to stop, it takes no new requests and lets the others finish within the grace; then it ends them.

    uvicorn waits for open connections before it tells the application; a long stream would never hear of it.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        server: Server = self.config.app.state.server  # type: ignore[union-attr]
        stopping = asyncio.create_task(self._stop(server))
        await super().shutdown(sockets)
        await stopping

    async def _stop(self, server: Server) -> None:
        await server.worker.stop(server.settings.grace_seconds)
        for talk in list(server.sessions):
            await talk.close(1001, "the server is stopping")


def make_server(app: FastAPI, host: str = "127.0.0.1", port: int = 8000, *, log_level: str = "info") -> GracefulServer:
    """A server to `run()`; port 0 takes a free one."""
    settings = app.state.server.settings
    config = uvicorn.Config(
        app, host=host, port=port, log_level=log_level, ws_max_size=settings.max_bytes,
        timeout_graceful_shutdown=round(settings.grace_seconds) + _MARGIN_SECONDS,
    )  # fmt: skip
    return GracefulServer(config)
