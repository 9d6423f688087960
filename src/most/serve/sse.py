"""Server-sent events, as OpenAI's clients read them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse

from most.serve.errors import Refused

DONE = "data: [DONE]\n\n"


def event_stream(events: AsyncIterator[dict[str, Any]], *, done: bool) -> StreamingResponse:
    """Events as JSON; what goes wrong on the way is the last one. `done` closes with `[DONE]`."""

    async def lines() -> AsyncIterator[str]:
        try:
            async for event in events:
                yield f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
        except Refused as e:
            yield f"data: {json.dumps(e.body, ensure_ascii=False)}\n\n"
        if done:
            yield DONE

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
