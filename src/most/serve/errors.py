"""Refusals as clients of OpenAI's API read them: a status, and `{"error": {message, type, param, code}}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import JSONResponse

from most.errors import MostError


class Refused(Exception):
    """A request that is not answered.

    Args:
        param: the field of the request that is at fault.
        retry_after: seconds after which it may work.
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None,
        retry_after: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.retry_after = status, message, param, code, retry_after

    @classmethod
    def of(cls, error: MostError | Refused) -> Refused:
        """A user's mistake, which names its field; a refusal is one already."""
        return error if isinstance(error, Refused) else cls(400, str(error), param=error.field)

    @classmethod
    def invalid(cls, errors: Sequence[Any], within: str = "") -> Refused:
        """What pydantic finds wrong. Where one of several kinds was expected each says why it is none of it; the
        deepest knows most."""
        worst = max(errors, key=lambda e: len(e["loc"]))
        param = within + ".".join(str(part) for part in worst["loc"] if part not in ("body", "query"))
        return cls(400, f"{param or 'body'}: {worst['msg']}", param=param or None)

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, self.headers)

    @property
    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    @property
    def type(self) -> str:
        if self.status == 401:
            return "authentication_error"
        if self.status == 429:
            return "rate_limit_error"
        return "server_error" if self.status >= 500 else "invalid_request_error"

    @property
    def headers(self) -> dict[str, str]:
        if self.status == 408:  # clients would ask the same again at once, of a server that is slow already
            return {"x-should-retry": "false"}
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def body_too_large(max_bytes: int) -> Refused:
    return too_large(f"the body is over the {max_bytes / 1e6:g} MB that this server takes", "body")


def too_large(message: str, param: str) -> Refused:
    return Refused(413, message, param=param, code="too_large")


def busy(what: str) -> Refused:
    return Refused(429, f"{what}; try again in a moment", code="busy", retry_after=1)


def stopping() -> Refused:
    return Refused(503, "the server is stopping", code="stopping", retry_after=5)
