"""Refusals as clients of OpenAI's API read them: a status, and `{"error": {message, type, param, code}}`."""

from __future__ import annotations

from typing import Any

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
    def of(cls, error: MostError, status: int = 400) -> Refused:
        """A user's mistake, which names its field."""
        return cls(status, str(error), param=error.field)

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
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def too_large(message: str, param: str) -> Refused:
    return Refused(413, message, param=param, code="too_large")


def busy(what: str) -> Refused:
    return Refused(429, f"{what}; try again in a moment", code="busy", retry_after=1)


def stopping() -> Refused:
    return Refused(503, "the server is stopping", code="stopping", retry_after=5)
