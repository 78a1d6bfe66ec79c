"""HTTP requests with a body on the port of the WebSockets, whose library reads GET only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from websockets.asyncio.server import ServerConnection


_MOST_BYTES: Final = 1 << 20
_METHODS: Final = (b"POST ", b"PUT ", b"DELETE ", b"PATCH ")


@dataclass(frozen=True, slots=True)
class PlainRequest:
    """A whole request."""

    method: str
    path: str
    """Without the query."""
    headers: dict[str, str]
    """Names in small letters."""
    body: bytes


@dataclass(frozen=True, slots=True)
class PlainResponse:
    """An answer in JSON, after which the connection is closed."""

    status: int
    body: Any


def refusal(status: int, message: str, code: str | None = None, param: str | None = None) -> PlainResponse:
    """Make the answer to a request that is refused, in OpenAI's form."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return PlainResponse(status, {"error": error})


Answer = Callable[[PlainRequest], PlainResponse]


def connections(opened: set[ServerConnection], answer: Answer) -> type[ServerConnection]:
    """Make a class of connections that add themselves to `opened` when the TCP connection opens, and that give requests
    with a body to `answer`.

    A connection that never finishes its handshake can be closed then.
    """

    class Connection(ServerConnection):
        plain: bytearray | None = None
        """What has come of a request with a body; None: it is none, or nothing has come yet."""
        is_new = True

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            opened.add(self)

        def connection_lost(self, exc: Exception | None) -> None:
            opened.discard(self)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.is_new:
                self.is_new = False
                self.plain = bytearray() if data.startswith(_METHODS) else None
            if self.plain is None:
                super().data_received(data)
                return
            self.plain += data
            response = _answered(bytes(self.plain), answer)
            if response is not None:
                self.transport.write(response)
                self.transport.close()

    return Connection


def _answered(came: bytes, answer: Answer) -> bytes | None:
    """Return the answer to a request; None: it has not come as a whole."""
    head, ends, body = came.partition(b"\r\n\r\n")
    if len(came) > _MOST_BYTES:
        return _written(
            PlainResponse(413, {"error": {"message": "Request too large.", "type": "invalid_request_error"}})
        )
    if not ends:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, *_ = [*first.split(" "), "", ""]
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = headers.get("content-length", "0")
    if not length.isdigit():
        return _written(
            PlainResponse(400, {"error": {"message": "No content-length.", "type": "invalid_request_error"}})
        )
    if len(body) < int(length):
        return None
    return _written(answer(PlainRequest(method, target.partition("?")[0], headers, body[: int(length)])))


def _written(response: PlainResponse) -> bytes:
    body = json.dumps(response.body).encode()
    head = f"HTTP/1.1 {response.status} Sandbox\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\nConnection: close\r\n\r\n".encode() + body
