"""A media socket served by picows (https://picows.readthedocs.io): from the bytes of the connection to the media stream
in one callback, and back without a queue of our own.

The only place that knows picows. `WSProtocol`, which serves one connection, is not a public name of picows, and picows
is pinned for that reason.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from picows import WSAutoPingStrategy, WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from callflow.media.websocket import CLOSED, FIRST_PING_SECONDS, MOST_MESSAGE
from callflow.timers import Timers


log = logging.getLogger("callflow.media")

_TEXT: Final = WSMsgType.TEXT
_MOST_WAITING: Final = 1 << 20
"""Bytes that may wait for a peer that does not read."""
_HIGH_WATER: Final = 64 << 10
"""Bytes that may wait before the peer counts as one that does not read, and the deadline of a write begins."""
_READ_BUFFER: Final = 4096
"""Bytes of the first read buffer; a frame of 20 ms has about 350."""
_RECEIVE_BUFFER: Final = 32 << 10
"""Bytes that the system may hold for us; Linux takes twice as much. picows goes on to the end of what it has read, and
its own buffer doubles with each read that fills it, so that this bounds what is read in one turn: some 100 frames of a
carrier, or 11,000 without content."""
_AT_ONCE: Final = 32
"""Frames of one read that are handled before other connections have a turn."""
_MOST_AT_ONCE: Final = 4096
"""Frames of one read, of whatever kind, after which the peer is one that floods: the rest is thrown away unseen."""
_MOST_BACKLOG: Final = 64
"""Messages that wait for `start` before reading pauses."""
_HANDSHAKE_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 2.0
"""How long a peer may take to answer our close frame (RFC 6455, section 7.1.1)."""


class PicowsSocket(WSListener):
    """A `MediaSocket` over one connection of picows."""

    def __init__(self, *, ping_seconds: float) -> None:
        """`ping_seconds`: interval of the pings; 0: no pings. See `callflow.web.media_pings`."""
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the handshake is over; an exception: there was none."""
        self._transport: WSTransport | None = None
        self._message: Callable[[str | bytes], None] | None = None
        self._ended: Callable[[str], None] | None = None
        self._backlog: deque[str | bytes] = deque()
        """Messages that wait: for `start`, or because they came with too many others."""
        self._run = 0
        """Frames that came with others since the last turn."""
        self._has_turn = False
        """A turn for the backlog is scheduled, and reading waits for it."""
        self._pong: bytes | None = None
        """What is to be answered in that turn to the last of many pings (RFC 6455, section 5.5.3)."""
        self._parts = bytearray()
        """The fragments of an unfinished message (RFC 6455, section 5.4)."""
        self._part_type: WSMsgType | None = None
        self._reason = ""
        self._closing = self._is_paused = False
        self._write_seconds = 0.0
        self._timers = Timers()
        self._ping_seconds = ping_seconds
        self._answers = self._unanswered = False
        """The peer has answered a ping; the last ping has no answer yet."""

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
        transport = self._transport
        if transport is None or self._reason or self._closing:
            return
        transport.send(_TEXT, text.encode())
        if self._is_paused and transport.underlying_transport.get_write_buffer_size() > _MOST_WAITING:
            self._stuck("the peer does not read")

    async def close(self, code: int, reason: str) -> None:
        """See `MediaSocket.close`. Later messages are thrown away."""
        transport = self._transport
        self._message = None
        self._backlog.clear()
        if transport is None or self._closing or transport.is_disconnected:
            return
        self._closing = True
        self._timers.stop("ping", "write")
        transport.send_close(WSCloseCode(code), reason[:100].encode())
        self._timers.start("close", _CLOSE_SECONDS, self._abort)

    # Called by picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Note that the handshake is over."""
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=_HIGH_WATER)
        if not self.connected.done():
            self.connected.set_result(None)
        if self._ping_seconds:
            self._timers.start("ping", min(FIRST_PING_SECONDS, self._ping_seconds), self._ping)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Handle one frame."""
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._fail(WSCloseCode.PROTOCOL_ERROR, "reserved bits")
        elif frame.payload_size > MOST_MESSAGE:  # picows lets a frame pass that has come whole
            self._fail(WSCloseCode.MESSAGE_TOO_BIG, "the message is too large")
        elif kind is _TEXT and frame.fin and self._part_type is None:
            try:
                text = frame.get_payload_as_utf8_text()
            except UnicodeDecodeError:
                self._fail(WSCloseCode.INVALID_TEXT, "not UTF-8")
                return
            if frame.last_in_buffer and not self._backlog and self._message is not None:
                self._run = 0
                self._message(text)
            else:
                self._in_turn(text)
        else:
            self._other(kind, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Note that the connection is over."""
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

    # Inside

    def _in_turn(self, message: str | bytes) -> None:
        """Hand on a message that came with others: a few at once, the rest when other connections had their turn."""
        self._count()
        if self._closing or self._reason:
            return
        if self._message is not None and not self._backlog and not self._has_turn:
            self._message(message)
            return
        self._backlog.append(message)
        if self._message is not None:
            self._schedule()
        elif len(self._backlog) == _MOST_BACKLOG and self._transport is not None:
            self._transport.underlying_transport.pause_reading()

    def _count(self) -> None:
        """Count a frame that is not handled by itself, so that no kind of them takes the turns of others."""
        self._run += 1
        if self._run > _MOST_AT_ONCE:
            self.on_ws_frame = _thrown_away  # type: ignore[method-assign] # picows goes on to the end of what was read
            self._stuck("the peer sends too much at once")
        elif self._run > _AT_ONCE:
            self._schedule()

    def _schedule(self) -> None:
        """Go on in a turn of its own, and read nothing before it."""
        if not self._has_turn and self._transport is not None:
            self._has_turn = True
            if not self._transport.underlying_transport.is_closing():
                self._transport.underlying_transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._run, self._has_turn = 0, False
        transport, pong, self._pong = self._transport, self._pong, None
        assert transport is not None
        if pong is not None:
            self._answer(pong)
        for _ in range(_AT_ONCE):
            if self._message is None or not self._backlog:
                break
            self._message(self._backlog.popleft())
        if self._message is not None and self._backlog:
            self._schedule()
            return
        if transport.is_disconnected:
            if not self._backlog:
                self._end(CLOSED)
        elif len(self._backlog) < _MOST_BACKLOG and not transport.underlying_transport.is_closing():
            transport.underlying_transport.resume_reading()  # also of a peer that is to answer our close

    def _other(self, kind: WSMsgType, frame: WSFrame) -> None:
        self._count()
        if self._reason:
            return
        if kind is WSMsgType.PONG:
            self._answers, self._unanswered = True, False
        elif kind is WSMsgType.PING:
            if self._has_turn:
                self._pong = frame.get_payload_as_bytes()
            else:
                self._answer(frame.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            self._closed(frame)
        elif kind in (_TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._fragment(kind, frame)

    def _answer(self, ping: bytes) -> None:
        if self._transport is not None and not (self._closing or self._is_paused):
            self._transport.send_pong(ping)

    def _closed(self, frame: WSFrame) -> None:
        """Answer the peer's close frame, unless it is an answer to ours, and end the connection."""
        assert self._transport is not None
        if not self._closing:
            self._closing = True
            code = frame.get_close_code()
            self._transport.send_close(code if code is not WSCloseCode.NO_INFO else WSCloseCode.OK)
        self._transport.disconnect()

    def _fragment(self, kind: WSMsgType, frame: WSFrame) -> None:
        if (kind is WSMsgType.CONTINUATION) != (self._part_type is not None):
            self._fail(WSCloseCode.PROTOCOL_ERROR, "a fragment out of place")
            return
        self._part_type = self._part_type or kind
        self._parts += frame.get_payload_as_memoryview()
        if len(self._parts) > MOST_MESSAGE:
            self._fail(WSCloseCode.MESSAGE_TOO_BIG, "the message is too large")
        elif frame.fin:
            whole, self._parts = bytes(self._parts), bytearray()
            kind, self._part_type = self._part_type, None
            if kind is WSMsgType.BINARY:
                self._in_turn(whole)
                return
            try:
                self._in_turn(whole.decode())
            except UnicodeDecodeError:
                self._fail(WSCloseCode.INVALID_TEXT, "not UTF-8")

    def _fail(self, code: WSCloseCode, reason: str) -> None:
        """Close because of a violation of the protocol."""
        if self._transport is not None and not self._closing:
            self._closing = True
            self._transport.send_close(code, reason.encode())
            self._transport.disconnect()
        self._end(CLOSED)

    def _stuck(self, reason: str) -> None:
        self._backlog.clear()
        self._end(reason)
        self._abort()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def _end(self, reason: str) -> None:
        self._reason = self._reason or reason
        if self._ended is not None:
            ended, self._ended = self._ended, None  # the stream refers to this socket: else neither is ever freed
            ended(self._reason)

    def _ping(self) -> None:
        assert self._transport is not None
        if self._unanswered and not self._answers:
            log.debug("the peer of a media socket answers no ping: it is sent no other")
            return
        if not self._unanswered:
            self._unanswered = True
            self._transport.send_ping()
        self._timers.start("ping", self._ping_seconds, self._ping)


def _thrown_away(transport: WSTransport, frame: WSFrame) -> None:
    """Take the frames that come after the end."""


async def serve(connection: socket.socket, listener: PicowsSocket) -> None:
    """Serve a connection whose request, a WebSocket handshake, is still unread. Returns after the handshake.

    Raises OSError if there is none within 5 s.
    """

    def accepted(request: WSUpgradeRequest) -> Any:
        return listener

    protocol = WSProtocol(
        None, None, False, accepted, logging.getLogger("picows.server"), True, _HANDSHAKE_SECONDS,
        False, 20, 20, WSAutoPingStrategy.PING_WHEN_IDLE,
        False,  # pings are answered here, where they are counted
        MOST_MESSAGE, None, _READ_BUFFER,
    )  # fmt: skip
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, connection)
    try:
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            await listener.connected
    except BaseException:
        transport.abort()
        raise
