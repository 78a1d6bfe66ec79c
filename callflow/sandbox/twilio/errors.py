"""What Twilio calls the things that go wrong: its documentation of errors and warnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


TITLES: Final = {
    11200: "HTTP retrieval failure",
    11205: "HTTP connection failure",
    11750: "TwiML response body too large",
    12100: "Document parse failure",
    12200: "Schema validation warning",
    12300: "Invalid Content-Type",
    31901: "Stream: connection timeout",
    31902: "Stream: connection refused",
    31903: "Stream: broken pipe",
    31910: "Stream: TLS failure",
    31920: "Stream: handshake error",
    31921: "Stream: the server closed the connection",
    31922: "Stream: unsupported scheme",
    31923: "Stream: malformed URL",
    31931: "Stream: invalid media payload",
    31941: "Stream: invalid configuration",
    31950: "Stream: malformed message",
    31951: "Stream: invalid message",
}

REST: Final = {
    400: (20001, "Bad request"),
    401: (20003, "Authenticate"),
    403: (20403, "Forbidden"),
    404: (20404, "The requested resource was not found"),
    405: (20004, "Method not allowed"),
    429: (20429, "Too Many Requests"),
    500: (20500, "Internal Server Error"),
    503: (20503, "Service Unavailable"),
}


@dataclass(slots=True)
class TwimlError(Exception):
    """Why a document cannot be had, or not be played. `warning`: it is played all the same."""

    code: int
    detail: str


@dataclass(slots=True)
class ApiError(Exception):
    """A refusal of the REST API."""

    status: int
    code: int
    message: str

    def body(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }


def refusal(status: int, code: int | None = None) -> ApiError:
    """The usual words for an HTTP status."""
    usual, message = REST.get(status, (20500, "Error"))
    return ApiError(status, code or usual, message)
