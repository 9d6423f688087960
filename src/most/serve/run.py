"""The application on a port, with a stop that answers what it can."""

from __future__ import annotations

import contextlib
import socket

import uvicorn
from fastapi import FastAPI

from most.serve.server import Server

_MARGIN_SECONDS = 5
"""For streams to send their end after the grace is over."""


class GracefulServer(uvicorn.Server):
    """Told to stop, it refuses new requests (503) and lets the others finish within the grace; then it ends them.

    uvicorn shuts its doors first, ends talks at once, and waits for open streams before it tells the application.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        server: Server = self.config.app.state.server  # type: ignore[union-attr]
        await server.worker.stop(server.settings.grace_seconds)
        for talk in list(server.sessions):
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                await talk.close(1001, "the server is stopping")
        await super().shutdown(sockets)


def make_server(app: FastAPI, host: str = "127.0.0.1", port: int = 8000, *, log_level: str = "info") -> GracefulServer:
    """A server to `run()`; port 0 takes a free one."""
    settings = app.state.server.settings
    config = uvicorn.Config(
        app, host=host, port=port, log_level=log_level, ws_max_size=settings.max_bytes,
        timeout_graceful_shutdown=round(settings.grace_seconds) + _MARGIN_SECONDS,
    )  # fmt: skip
    return GracefulServer(config)
