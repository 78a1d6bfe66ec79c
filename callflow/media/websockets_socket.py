"""A media socket served by `websockets`' core without I/O (https://websockets.readthedocs.io/en/stable/howto/sansio.html):
it takes bytes and returns frames, and makes no task and no queue of its own.

Where the compiled code of picows cannot be used. The connection to the model needs `websockets` anyway.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Final, cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from callflow.media.direct_socket import CLOSE_SECONDS, DirectSocket, opened
from callflow.media.websocket import CLOSED, MOST_MESSAGE


_READ_BUFFER: Final = 2048
"""Bytes that are read at once: 5 frames of a carrier, or 341 without content, behind which reading pauses."""
_LEAST_FRAME: Final = 6
"""Bytes of a frame of a client without content (RFC 6455, section 5.2)."""


class _Core(ServerProtocol):
    """Answers no ping by itself: pings are answered where they are counted."""

    def send_frame(self, frame: Frame) -> None:
        """Have a frame written."""
        if frame.opcode is not Opcode.PONG:
            super().send_frame(frame)


class WebsocketsSocket(DirectSocket, asyncio.BufferedProtocol):
    """A `MediaSocket` over one connection that `websockets` reads."""

    most_at_once = _READ_BUFFER // _LEAST_FRAME + 1  # which began earlier
    """More never come: a peer that floods waits for its turns."""

    def __init__(self, *, ping_seconds: float) -> None:
        super().__init__(ping_seconds=ping_seconds)
        self._core = _Core(max_size=MOST_MESSAGE)
        self._buffer = bytearray(_READ_BUFFER)
        self._connection: asyncio.Transport

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection, on which the handshake is still unread."""
        self._connection = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where to read to: no more is read in one turn."""
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        """Handle what was read; once there is a reason for the end, it is thrown away."""
        if self._reason:
            return
        self._core.receive_data(self._buffer[:size])
        events = self._core.events_received()
        for event in events:
            if isinstance(event, Frame):
                self._frame(event, is_alone=len(events) == 1)
            else:
                self._handshake(event)
        if self._core.writes:
            self._write()

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the connection is over."""
        core = self._core
        core.parser.close()  # it refers to the core, and the core to it: else neither is ever freed
        for kept in (core.parser_exc, core.handshake_exc):  # the same
            if kept is not None:
                kept.__traceback__ = None
        self._lost()

    # Inside

    def _handshake(self, request: object) -> None:
        assert isinstance(request, Request)
        self._core.send_response(self._core.accept(request))
        is_open = self._core.state is State.OPEN
        self._write()
        if is_open:
            self._begin(self._connection, partial(_send_text, self._connection))

    def _frame(self, frame: Frame, *, is_alone: bool) -> None:
        if self._reason:
            return
        data = bytes(frame.data)
        if frame.opcode is Opcode.CLOSE:
            self._closing = True  # the core has answered it
        elif frame.opcode is not Opcode.TEXT or not frame.fin:
            self._other(frame.opcode, frame.fin, data)
        else:
            if is_alone and not self._backlog:
                self._run = 0
            self._text(data)

    def _write(self) -> None:
        """Write what the core has to write; b"" is the end of it."""
        core = self._core
        for data in core.data_to_send():
            if data:
                self._connection.write(data)
            elif self._tcp is None or core.close_rcvd is not None:
                self._connection.close()
            else:
                self._end_first()

    def _end_first(self) -> None:
        """End our half of the connection because the peer has broken the protocol, and read on: who closes a connection
        with unread bytes destroys the close frame on its way."""
        self._closing = True
        self._connection.write_eof()
        self._timers.stop("ping", "write")
        self._timers.start("close", CLOSE_SECONDS, self._abort)
        self._end(CLOSED)

    def _send_close(self, code: int, reason: str) -> None:
        self._core.send_close(code, reason)
        self._write()

    def _send_ping(self, data: bytes) -> None:
        self._core.send_ping(data)
        self._write()

    def _send_pong(self, data: bytes) -> None:
        self._connection.write(Frame(Opcode.PONG, data).serialize(mask=False))

    def _fail_with(self, code: int, reason: str) -> None:
        self._core.fail(CloseCode(code), reason)
        self._write()


def _send_text(connection: asyncio.Transport, data: bytes) -> None:
    connection.write(Frame(Opcode.TEXT, data).serialize(mask=False))


async def open_socket(connection: socket.socket, *, ping_seconds: float) -> WebsocketsSocket:
    """Serve a connection whose handshake is still unread: see `direct_socket.opened`. Returns after the handshake."""
    media = WebsocketsSocket(ping_seconds=ping_seconds)
    await opened(connection, media, media)
    return media
