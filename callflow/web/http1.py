"""HTTP/1.1 as the listeners speak it: Hypercorn's, without what carriers never need and attackers could use.

No compression of WebSocket messages (a few kilobytes could become hundreds of megabytes), no HTTP/2 without TLS (header
compression and many streams before any authentication), and no request that gives its length twice (RFC 9112, 6.3: a
proxy in between may have read another request).
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Final

import h11
import h11._readers
import hypercorn.protocol
import hypercorn.protocol.h11
from h11 import Connection as H11Connection
from h11 import Data as H11Data
from h11 import EndOfMessage, Request
from h11 import Response as H11Response
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import EndBody, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import H11Protocol

from callflow.contracts.errors import RequestRefused
from callflow.contracts.request_targets import origin_form
from callflow.web.media_pings import PingingStream


_MOST_HEADERS: Final = 100
_SLICE: Final = 2048
"""Bytes of a WebSocket that are processed at a time; a frame of audio has a few hundred bytes, a ping seven."""
_HTTP_SLICE: Final = 16_384
"""The same of HTTP: h11 bounds the length of a head only where it has not come whole."""

_SENTENCES: Final = {
    400: "This cannot be read as one request of HTTP/1.1: a malformed line or header, no Host, or a length told twice.",
    431: f"The request has more headers than {_MOST_HEADERS}, or they are too long.",
    501: "A transfer encoding other than chunked is not understood.",
    505: "This listener speaks HTTP/1.1.",
}


class StrictHttp1(H11Protocol):
    """One HTTP/1.1 connection of Hypercorn."""

    _is_head = False

    async def handle(self, event: Event) -> None:
        """Process bytes of the connection in slices: of many small frames that come at once, so that other connections
        have a turn in between, and of a long head, so that h11 refuses it before it is whole."""
        most = _HTTP_SLICE if isinstance(self.connection, H11Connection) else _SLICE
        if not isinstance(event, RawData) or len(event.data) <= most:
            await super().handle(event)
            return
        for start in range(0, len(event.data), most):
            await super().handle(RawData(event.data[start : start + most]))
            await asyncio.sleep(0)

    async def stream_send(self, event: StreamEvent) -> None:
        """Pass on what an app or Hypercorn answers. After a handshake is refused the connection is over, as the refusal
        says: Hypercorn would leave it open for as long as the peer likes, and an app that began would never know."""
        await super().stream_send(event)
        if isinstance(event, EndBody) and not isinstance(self.connection, H11Connection):
            await super().stream_send(StreamClosed(stream_id=event.stream_id))

    async def _handle_events(self) -> None:
        try:
            await super()._handle_events()
        except RequestRefused:
            await self.send(Closed())
        finally:
            self._tell_whether_it_waits()

    def _tell_whether_it_waits(self) -> None:
        """A connection that is kept for another request waits once some of it has come."""
        waits = getattr(self.config, "waits", None)
        if waits is None:
            return
        http, state = self.connection, self.connection.their_state
        if not isinstance(http, H11Connection):
            waits(False)  # a WebSocket
        elif state is h11.IDLE:
            waits(not self.keep_alive_requests or bool(http.trailing_data[0]))
        else:
            waits(state is h11.SEND_BODY)

    async def _check_protocol(self, event: Request) -> None:
        self._is_head = event.method == b"HEAD"
        names = [name for name, _ in event.headers]
        if event.http_version == b"2.0":
            await self._refuse(505)
        if b"transfer-encoding" in names and b"content-length" in names:
            await self._refuse(400)
        if len(names) > _MOST_HEADERS:
            await self._refuse(431)

    async def _refuse(self, status: int) -> None:
        await self._send_error_response(status)
        raise RequestRefused

    async def _send_error_response(self, status_code: int) -> None:
        """Send the error as JSON with one sentence, like every other error."""
        sentence = _SENTENCES.get(status_code, "The request cannot be used.")
        body = b"" if self._is_head else json.dumps({"error": sentence}).encode()
        headers = [
            (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]  # fmt: skip
        await self._send_h11_event(H11Response(status_code=status_code, headers=headers))
        if body:
            await self._send_h11_event(H11Data(data=body))
        await self._send_h11_event(EndOfMessage())

    async def _create_stream(self, request: Request) -> None:
        if (kept_seconds := getattr(self.config, "kept_seconds", None)) is not None:
            self.config.keep_alive_timeout = kept_seconds()
        headers = [(name, value) for name, value in request.headers if name != b"sec-websocket-extensions"]
        target, host = origin_form(request.target)
        if host:  # as if it had come in the origin form: whatever looks at host or path sees what counts
            headers = [(b"host", host), *((name, value) for name, value in headers if name != b"host")]
        if host or len(headers) < len(list(request.headers)):
            request = Request(method=request.method, target=target, headers=headers, http_version=request.http_version)
        await super()._create_stream(request)


def install() -> None:
    """Make `StrictHttp1` the protocol of every Hypercorn server in this process.

    And let h11 read a header, and the head of a chunk, in a time that grows with its length alone: its expressions try
    every way to divide blanks before a byte that may not be there, most of a second for 16 kB.
    """
    pattern = h11._readers.header_field_re.pattern.replace(rb":[ \t]*(?P", rb":[ \t]*+(?P")
    h11._readers.header_field_re = re.compile(pattern)
    h11._readers.chunk_header_re = re.compile(
        rb"(?P<chunk_size>([0-9A-Fa-f]){1,20})(?P<chunk_ext>;[^\r\n]*+)?[ \t]*\r\n"
    )
    hypercorn.protocol.H11Protocol = StrictHttp1  # type: ignore[attr-defined]
    hypercorn.protocol.h11.WSStream = PingingStream  # type: ignore[attr-defined]
