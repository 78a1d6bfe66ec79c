"""Telnyx's refusals: of an API request, and of a frame on the media stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final


STATUS_ERRORS: Final = {
    401: ("10009", "Authentication failed"),
    403: ("10010", "Authorization failed"),
    404: ("10005", "Resource not found"),
    408: ("10007", "Request timeout"),
    422: ("10015", "Bad Request"),
    429: ("10011", "Too many requests"),
    500: ("10007", "Internal server error"),
    503: ("10007", "Service unavailable"),
}
"""Code and title that go with an HTTP status when a fault asks for it."""

FRAME_TITLES: Final = {100003: "malformed_frame", 100004: "invalid_media"}
"""The title of an error frame, by its code."""


@dataclass(slots=True)
class ApiError(Exception):
    """A refusal of the API in Telnyx's words. `pointer` names the field that is at fault, such as "/stream_url"."""

    status: int
    code: str
    title: str
    detail: str = ""
    pointer: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the JSON body: {"errors": [{"code", "title", "detail", "source", "meta"}]}."""
        error: dict[str, Any] = {"code": self.code, "title": self.title, "detail": self.detail or self.title}
        if self.pointer:
            error["source"] = {"pointer": self.pointer}
        error["meta"] = {"url": f"https://developers.telnyx.com/docs/overview/errors/{self.code}"}
        return {"errors": [error]}


class FrameError(Exception):
    """A refusal of a media frame: the code and the detail of the error frame."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
