"""Reads the requests to the operators' listener to their end, or to their limit, before any handler sees them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from callflow.contracts.errors import AccessRefused


MOST_BODY: Final = 64 << 10
"""The most bytes of a request's body, except on the paths of MOST."""
OF_SESSION: Final = 512 << 10
"""The same of what has a session in it: 40,000 characters of instructions are 240,000 bytes, if JSON escapes them."""
MOST: Final = (
    (re.compile(r"/api/conversations/stream/[^/]*/items"), 4 << 20),
    (re.compile(r"/mcp/?"), 1 << 20),
    (re.compile(r"/api/campaigns"), 32 << 20),
    (re.compile(r"/api(?:/calls/[^/]*)?/session"), OF_SESSION),
    (re.compile(r"/api/calls(?:/check)?"), OF_SESSION),
    (re.compile(r"/api/profiles/[^/]*"), OF_SESSION),
    (re.compile(r"/api/realtime-token"), OF_SESSION),
    (re.compile(r"/api/realtime/control/settings"), OF_SESSION),
    (re.compile(r"/api/calls/[^/]*/images"), 21 << 20),
)
_MOST_TARGET: Final = 8 << 10
"""Bytes of path and query."""
_SMALL: Final = 1 << 20
"""Bytes of a body that is handed over in one piece."""
_BODY_SECONDS: Final = 10.0
_LINGER_SECONDS: Final = 2.0
"""How long a sender may take to finish sending after an early refusal: closing a connection with unread data destroys
the response."""

Receive = Callable[[], Awaitable[Any]]


def check_target(scope: Any) -> None:
    """Raise AccessRefused for a path or a query that is too long or cannot be read as text."""
    path, query = scope["raw_path"], scope["query_string"]
    if len(path) + len(query) > _MOST_TARGET:
        raise AccessRefused(414, f"Path and query are longer than {_MOST_TARGET} bytes.")
    if not path.startswith(b"/"):
        raise AccessRefused(400, "The path must begin with /.")
    for each in (path, query):
        try:
            text = unquote_to_bytes(each).decode()
        except UnicodeDecodeError:
            raise AccessRefused(400, "Path and query must be percent-encoded UTF-8.") from None
        if "\x00" in text:
            raise AccessRefused(400, "Path and query must not contain NUL (%00).")


def most_body(scope: Any) -> int:
    """Return how many bytes the body of this request may have."""
    if scope["method"] not in ("POST", "PUT", "PATCH"):
        return MOST_BODY
    return next((most for form, most in MOST if form.fullmatch(scope["path"])), MOST_BODY)


class Reading:
    """The body of one request."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._over = False

    async def body(self, most: int) -> list[bytes]:
        """Read the body, of `most` bytes, in pieces; a small one is one piece. Raises AccessRefused, or
        ConnectionAbortedError when the sender is gone."""
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while not self._over:
                    pieces.append(await self._next())
                    size += len(pieces[-1])
                    if size > most:
                        raise AccessRefused(413, f"The body is larger than {most} bytes.")
        except TimeoutError:
            raise AccessRefused(408, f"The body did not come within {_BODY_SECONDS:g} seconds.") from None
        return [b"".join(pieces)] if size <= _SMALL else pieces

    async def linger(self) -> None:
        """Wait until the rest of the body has come, at most two seconds."""
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self._over:
                    await self._next()
        except (TimeoutError, ConnectionAbortedError):
            pass

    def replay(self, pieces: list[bytes]) -> Receive:
        """Return an ASGI `receive` whose first messages have the body, so that audio comes between those of a large
        one."""
        left = pieces[::-1]

        async def receive() -> Any:
            if not left:
                return await self._receive()
            if len(pieces) > 1:
                await asyncio.sleep(0)
            return {"type": "http.request", "body": left.pop(), "more_body": bool(left)}

        return receive

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] != "http.request":
            raise ConnectionAbortedError
        self._over = not message.get("more_body", False)
        return bytes(message.get("body", b""))
