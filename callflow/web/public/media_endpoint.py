"""Accepts the carriers' media sockets: the token in the path names the call of a socket."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import socket
from collections.abc import Callable, Container
from typing import Any, Final, Protocol
from urllib.parse import unquote

from hypercorn.typing import Scope

from callflow.call.stream_lease import StreamHolder
from callflow.cluster import node_paths
from callflow.contracts.errors import Forged, Refused
from callflow.contracts.media import MediaSocket
from callflow.media.listener import MOST_HEAD, Handshake
from callflow.media.websocket import AsgiWire
from callflow.switchboard.switchboard import Switchboard
from callflow.web.public.address import PublicAddress
from callflow.web.public.request import WebhookHold, read_request, read_to_the_end, refusals
from callflow.web.responses import error_body


class OpenSocket(Protocol):
    """Opens the media socket of a connection whose handshake is still unread. Raises OSError and TimeoutError."""

    async def __call__(self, connection: socket.socket, *, ping_seconds: float) -> MediaSocket: ...


MEDIA_PATHS: Final = ("/media-stream/", "/call/")
"""The paths before the token."""
_FORBIDDEN: Final = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


async def _refuse_path(send: Any) -> None:
    body = error_body("The path must begin with /.")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class MediaEndpoint:
    """ASGI middleware around the public app: passes media sockets to their calls, and refuses every other WebSocket."""

    def __init__(
        self,
        inner: Any,
        switchboard: Callable[[], Switchboard],
        address: PublicAddress,
        webhook_hold: Callable[[], WebhookHold],
        carriers: Container[str] | None = None,
    ) -> None:
        """`inner`: the app that answers HTTP requests. `carriers`: the names of those that come in here; None: all."""
        self._inner, self._switchboard, self._address, self._webhook_hold = inner, switchboard, address, webhook_hold
        self._carriers = carriers

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one request or one WebSocket."""
        scope = node_paths.without_node(scope)
        if scope["type"] == "http" and not scope["path"].startswith("/"):  # which Quart takes for a fault of its own
            refusals.say("path", "a request whose path does not begin with / is refused")
            await _refuse_path(send)
            return
        if scope["type"] != "websocket":
            await self._inner(scope, *read_to_the_end(receive, send))
            return
        wire = AsgiWire(receive, send)
        await receive()  # websocket.connect
        try:
            call = await self.claim(scope)
        except (Refused, Forged) as error:
            refusals.say("media", "media socket refused: %s", str(error))  # the error itself holds the call
            await wire.refuse()
            return
        try:
            await wire.accept()
        except BaseException:
            call.unclaim_stream()
            raise
        await call.serve_socket(wire)

    async def claim(self, scope: Any) -> StreamHolder:
        """Reserve the stream of the call that a media socket belongs to, by its token, and return what serves it.

        `scope`: the handshake, as in ASGI. Raises Refused and Forged.
        """
        await self._webhook_hold().begun(None)
        handshake = read_request(scope, "GET", b"", self._address, socket=True)
        return self._switchboard().claim(_token(scope["path"]), handshake, self._carriers)


class MediaServer:
    """Serves media sockets beside the public app: see `callflow.web.listener.HandshakeServer`."""

    def __init__(self, endpoint: MediaEndpoint, library: str, *, ping_seconds: float) -> None:
        """`endpoint`: decides which call a socket belongs to. `library`: reads and writes the frames: `picows` or
        `websockets`; the other one is not loaded. `ping_seconds`: interval of the pings; 0: none."""
        self._endpoint, self._ping_seconds = endpoint, ping_seconds
        self._open: OpenSocket = importlib.import_module(f"callflow.media.{library}_socket").open_socket

    async def __call__(self, connection: socket.socket, handshake: Handshake) -> None:
        """Serve one connection until it ends."""
        try:
            call = await self._endpoint.claim(_scope(handshake))
        except (Refused, Forged) as error:
            refusals.say("media", "media socket refused: %s", str(error))
            await _refuse(connection)
            return
        except BaseException:
            connection.close()
            raise
        handshake.headers.clear()  # whoever called keeps it as long as the connection
        try:
            media = await self._open(connection, ping_seconds=self._ping_seconds)
        except (OSError, TimeoutError) as error:
            call.unclaim_stream()
            refusals.say("media", "media socket refused: %s", error)
            return
        except BaseException:
            call.unclaim_stream()
            raise
        await call.serve_socket(media)


def _scope(handshake: Handshake) -> Any:
    """Return what `read_request` needs of an ASGI scope."""
    path, _, query = handshake.target.partition(b"?")
    decoded = unquote(path.decode("latin-1"))
    scope = {"path": decoded, "raw_path": path, "query_string": query, "headers": handshake.headers}
    return node_paths.without_node(scope)


async def _refuse(connection: socket.socket) -> None:
    """Answer the handshake with HTTP 403, as an ASGI server does."""
    with contextlib.suppress(OSError):
        connection.recv(MOST_HEAD)  # unread bytes would destroy the answer
        await asyncio.get_running_loop().sock_sendall(connection, _FORBIDDEN)
        connection.shutdown(socket.SHUT_WR)
    connection.close()


def _token(path: str) -> str:
    """Return the token of a media path. Raises Refused for any other path."""
    for start in MEDIA_PATHS:
        if path.startswith(start):
            return path.removeprefix(start)
    raise Refused("no media socket is expected at this path")
