"""What media sockets that are served beside HTTP have in common, whichever library reads their frames. From the bytes
of the connection to the media stream it is one callback, and back there is no queue of our own. Here is whose turn it
is when much comes at once, when pings are sent, and how long a peer may take.
"""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from callflow.media.ping_numbers import PingNumbers
from callflow.media.websocket import CLOSED, FIRST_PING_SECONDS, MOST_MESSAGE
from callflow.timers import Timers


# RFC 6455, sections 5.2 and 7.4.1
TEXT: Final = 1
PROTOCOL_ERROR: Final = 1002
INVALID_TEXT: Final = 1007
TOO_LARGE: Final = 1009
_CONTINUATION: Final = 0
_BINARY: Final = 2
_PING: Final = 9
_PONG: Final = 10

_MOST_WAITING: Final = 1 << 20
"""Bytes that may wait for a peer that does not read."""
_HIGH_WATER: Final = 64 << 10
"""Bytes that may wait before the peer counts as one that does not read, and the deadline of a write begins."""
_RECEIVE_BUFFER: Final = 32 << 10
"""Bytes that the system may hold for us; Linux takes twice as much. A library that goes on to the end of what it has
read is so bounded in one turn: some 100 frames of a carrier, or 11,000 without content."""
_AT_ONCE: Final = 32
"""Frames of one read that are handled before other connections have a turn."""
_MOST_BACKLOG: Final = 64
"""Messages that wait for `start` before reading pauses."""
HANDSHAKE_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 2.0
"""How long a peer may take to answer our close frame (RFC 6455, section 7.1.1)."""


class DirectSocket(ABC):
    """A `MediaSocket` over one connection, without the library that reads and writes its frames."""

    most_at_once: int
    """Frames of one read, of whatever kind, after which the peer is one that floods: the rest is thrown away unseen."""

    def __init__(self, *, ping_seconds: float) -> None:
        """`ping_seconds`: interval of the pings; 0: no pings. See `callflow.web.media_pings`."""
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the handshake is over; an exception: there was none."""
        self._tcp: asyncio.Transport | None = None
        """None: the handshake is not over."""
        self._send_text: Callable[[bytes], object] = _nowhere
        self._message: Callable[[str | bytes], None] | None = None
        self._ended: Callable[[str], None] | None = None
        self._backlog: list[str | bytes] = []
        """Messages that wait: for `start`, or because they came with too many others."""
        self._run = 0
        """Frames that came with others since the last turn."""
        self._has_turn = False
        """A turn for the backlog is scheduled, and reading waits for it."""
        self._pong: bytes | None = None
        """What is to be answered in that turn to the last of many pings (RFC 6455, section 5.5.3)."""
        self._parts = bytearray()
        """The fragments of an unfinished message (RFC 6455, section 5.4)."""
        self._part_kind: int | None = None
        self._reason = ""
        self._closing = self._is_paused = self._is_lost = False
        self._write_seconds = 0.0
        self._timers = Timers()
        self._ping_seconds = ping_seconds
        self._pings = PingNumbers()
        self._answered: Callable[[], None] | None = None
        """Is called with the next pong."""

    # MediaSocket

    def start(
        self, message: Callable[[str | bytes], None], ended: Callable[[str], None], *, write_seconds: float
    ) -> None:
        """See `MediaSocket.start`."""
        self._message, self._ended, self._write_seconds = message, ended, write_seconds
        if self._backlog:
            self._schedule()
        elif self._reason:
            self._end(self._reason)

    def put(self, text: str, weight: int = 0) -> None:
        """See `MediaSocket.put`."""
        if self._tcp is None or self._reason or self._closing:
            return
        self._send_text(text.encode())
        if self._is_paused and self._tcp.get_write_buffer_size() > _MOST_WAITING:
            self._stuck("the peer does not read")

    def ping(self, answered: Callable[[], None]) -> bool:
        """See `MediaSocket.ping`."""
        pings = self._pings
        if not pings.peer_answers or pings.is_awaiting or self._reason or self._closing or self._is_paused:
            return False
        self._answered = answered
        self._send_ping(pings.next())
        return True

    async def close(self, code: int, reason: str) -> None:
        """See `MediaSocket.close`. Later messages are thrown away."""
        self._message = None
        self._backlog.clear()
        await self.finish(code, reason)

    async def finish(self, code: int, reason: str) -> None:
        """See `MediaSocket.finish`."""
        if self._tcp is None or self._closing or self._is_lost:
            return
        self._closing = True
        self._timers.stop("ping", "write")
        self._send_close(code, reason.encode()[:100].decode(errors="ignore"))
        self._timers.start("close", CLOSE_SECONDS, self._abort)

    # What a library does

    @abstractmethod
    def _send_close(self, code: int, reason: str) -> None:
        """Send a close frame."""

    @abstractmethod
    def _send_ping(self, data: bytes) -> None:
        """Send a ping with this content."""

    @abstractmethod
    def _send_pong(self, data: bytes) -> None:
        """Answer a ping that had this content."""

    @abstractmethod
    def _fail_with(self, code: int, reason: str) -> None:
        """Send a close frame because the peer has broken the protocol, and end the connection once it is sent."""

    # What a library tells

    def _begin(self, tcp: asyncio.Transport, send_text: Callable[[bytes], object]) -> None:
        """Note that the handshake is over. `send_text`: sends a text message."""
        self._tcp, self._send_text = tcp, send_text
        tcp.set_write_buffer_limits(high=_HIGH_WATER)
        if not self.connected.done():
            self.connected.set_result(None)
        if self._ping_seconds:
            self._timers.start("ping", min(FIRST_PING_SECONDS, self._ping_seconds), self._ping)

    def _lost(self) -> None:
        """Note that the connection is over."""
        self._is_lost = True
        self._timers.close()
        if not self.connected.done():
            self.connected.set_exception(ConnectionError("the connection ended before its handshake"))
            self.connected.exception()  # nobody may be waiting
        if not self._backlog:
            self._end(CLOSED)

    def pause_writing(self) -> None:
        """Note that the peer does not read: it has `write_seconds` to go on."""
        self._is_paused = True
        if self._write_seconds:
            reason = f"one write took longer than {self._write_seconds:g} s"
            self._timers.start("write", self._write_seconds, self._stuck, reason)

    def resume_writing(self) -> None:
        """Note that the peer reads again."""
        self._is_paused = False
        self._timers.stop("write")

    def _text(self, data: bytes) -> None:
        """Take a text message that came with others, or in pieces."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._fail(INVALID_TEXT, "not UTF-8")
        else:
            self._in_turn(text)

    def _other(self, kind: int, fin: bool, payload: bytes) -> None:
        """Take a frame that is neither a whole text nor a close frame."""
        self._count()
        if self._reason:
            return
        if kind == _PONG:
            if self._pings.answered_by(payload):
                self._ponged()
        elif kind == _PING:
            if self._has_turn:
                self._pong = payload
            else:
                self._answer(payload)
        elif kind in (TEXT, _BINARY, _CONTINUATION):
            self._fragment(kind, fin, payload)

    # Inside

    def _in_turn(self, message: str | bytes) -> None:
        """Hand on a message that came with others: a few at once, the rest when other connections had their turn."""
        self._count()
        if self._reason or (self._closing and self._message is None):
            return
        if self._message is not None and not self._backlog and not self._has_turn:
            self._message(message)
            return
        self._backlog.append(message)
        if self._message is not None:
            self._schedule()
        elif len(self._backlog) == _MOST_BACKLOG and self._tcp is not None:
            self._tcp.pause_reading()

    def _count(self) -> None:
        """Count a frame that is not handled by itself, so that no kind of them takes the turns of others."""
        self._run += 1
        if self._run > self.most_at_once:
            self._stuck("the peer sends too much at once")
        elif self._run > _AT_ONCE:
            self._schedule()

    def _schedule(self) -> None:
        """Go on in a turn of its own, and read nothing before it."""
        if not self._has_turn and self._tcp is not None:
            self._has_turn = True
            if not self._tcp.is_closing():
                self._tcp.pause_reading()
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._run, self._has_turn = 0, False
        tcp, pong, self._pong = self._tcp, self._pong, None
        assert tcp is not None
        if pong is not None:
            self._answer(pong)
        for _ in range(_AT_ONCE):
            if self._message is None or not self._backlog:
                break
            self._message(self._backlog.pop(0))
        if self._message is not None and self._backlog:
            self._schedule()
            return
        if self._is_lost:
            if not self._backlog:
                self._end(CLOSED)
        elif len(self._backlog) < _MOST_BACKLOG and not tcp.is_closing():
            tcp.resume_reading()  # also of a peer that is to answer our close

    def _answer(self, ping: bytes) -> None:
        if not (self._tcp is None or self._closing or self._is_paused):
            self._send_pong(ping)

    def _fragment(self, kind: int, fin: bool, payload: bytes) -> None:
        if (kind == _CONTINUATION) != (self._part_kind is not None):
            self._fail(PROTOCOL_ERROR, "a fragment out of place")
            return
        if self._part_kind is None:
            self._part_kind = kind
        self._parts += payload
        if len(self._parts) > MOST_MESSAGE:
            self._fail(TOO_LARGE, "the message is too large")
        elif fin:
            whole, self._parts = bytes(self._parts), bytearray()
            kind, self._part_kind = self._part_kind, None
            if kind == _BINARY:
                self._in_turn(whole)
            else:
                self._text(whole)

    def _fail(self, code: int, reason: str) -> None:
        """Close because of a violation of the protocol."""
        if self._tcp is not None and not self._closing:
            self._closing = True
            self._fail_with(code, reason)
        self._end(CLOSED)

    def _stuck(self, reason: str) -> None:
        self._backlog.clear()
        self._end(reason)
        self._abort()

    def _abort(self) -> None:
        if self._tcp is not None:
            self._tcp.abort()

    def _end(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._answered = None
        if self._ended is not None:
            ended, self._ended = self._ended, None  # the stream refers to this socket: else neither is ever freed
            ended(self._reason)

    def _ponged(self) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered()

    def _ping(self) -> None:
        content = self._pings.due()
        if content is None:
            return
        if content:
            self._send_ping(content)
        self._timers.start("ping", self._ping_seconds, self._ping)


async def opened(connection: socket.socket, protocol: asyncio.BaseProtocol, media: DirectSocket) -> None:
    """Serve a connection whose request, a WebSocket handshake, is still unread. Returns after the handshake.

    Raises OSError or TimeoutError if there is none within 5 s.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, connection)
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await media.connected
    except BaseException:
        transport.abort()
        raise


def _nowhere(data: bytes) -> None:
    """Take what is sent before the handshake is over."""
