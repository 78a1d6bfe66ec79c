"""Twilio's errors and warnings, with the codes of https://www.twilio.com/docs/api/errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


STATUS_ERRORS: Final = {
    400: (20001, "Bad request"),
    401: (20003, "Authenticate"),
    403: (20403, "Forbidden"),
    404: (20404, "The requested resource was not found"),
    405: (20004, "Method not allowed"),
    429: (20429, "Too Many Requests"),
    500: (20500, "Internal Server Error"),
    503: (20503, "Service Unavailable"),
}
"""Code and message that go with an HTTP status."""


@dataclass(slots=True)
class TwimlError(Exception):
    """What is wrong with a document, its retrieval, or its stream: Twilio's code and our detail."""

    code: int
    detail: str


@dataclass(slots=True)
class ApiError(Exception):
    """A refusal of the REST API: HTTP status, Twilio's code, and the message."""

    status: int
    code: int
    message: str

    def body(self) -> dict[str, Any]:
        """Return the JSON body: {"code", "message", "more_info", "status"}."""
        return {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }


def refusal(status: int, code: int | None = None) -> ApiError:
    """Make the refusal that goes with an HTTP status, with another `code` if one is given."""
    usual, message = STATUS_ERRORS.get(status, (20500, "Error"))
    return ApiError(status, code or usual, message)
