"""Clients that leave before their answer has begun: what is computed for them stops, as a stream's does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Receive

from most.serve.errors import Refused

T = TypeVar("T")


async def disconnected(receive: Receive) -> None:
    """Back when the client is gone; behind the whole of its request."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; cancelled where the client of a request that was read to its end leaves first.

    Raises:
        Refused: the client has left; nobody reads it.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(disconnected(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Refused(499, "the client has left", code="client_gone")
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)
