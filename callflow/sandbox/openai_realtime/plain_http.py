"""HTTP requests with a body on the port of the WebSockets, whose library reads GET only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from websockets.asyncio.server import ServerConnection


ServeHttp = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


def connections(opened: set[ServerConnection], serve_http: ServeHttp) -> type[ServerConnection]:
    """Make a class of connections that add themselves to `opened` when the TCP connection opens.

    A connection that never finishes its handshake can be closed then. What begins with another method than GET is no
    WebSocket, but a request to the REST API on the same port: `serve_http` serves it.
    """

    class Connection(ServerConnection):
        is_websocket = False

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.Transport, transport)
            opened.add(self)

        def data_received(self, data: bytes) -> None:
            if not self.is_websocket:
                if not data.startswith(b"G"):
                    opened.discard(self)
                    _hand_over(self.transport, data, serve_http)
                    return
                self.is_websocket = True
                super().connection_made(self.transport)
            super().data_received(data)

        def eof_received(self) -> None:
            if self.is_websocket:
                super().eof_received()

        def connection_lost(self, exc: Exception | None) -> None:
            opened.discard(self)
            if self.is_websocket:
                super().connection_lost(exc)

    return Connection


def _hand_over(transport: asyncio.Transport, data: bytes, serve_http: ServeHttp) -> None:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader, serve_http)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    protocol.data_received(data)
