"""Clients that leave before their answer has begun: what is computed for them stops, as a stream's does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from most.serve.errors import Refused

T = TypeVar("T")


class ClientGone(Refused):
    """The client has left; nobody reads this."""

    def __init__(self) -> None:
        super().__init__(499, "the client has left", code="client_gone")


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; cancelled where the client, whose request was read to its end, leaves first.

    Raises:
        ClientGone: it has left.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
