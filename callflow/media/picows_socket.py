"""A media socket served by picows (https://picows.readthedocs.io).

The only place that knows picows. `WSProtocol`, which serves one connection, is not a public name of picows, and picows
is pinned for that reason.
"""

from __future__ import annotations

import logging
import socket
from functools import partial
from typing import Any, Final

from picows import WSAutoPingStrategy, WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from callflow.media.direct_socket import HANDSHAKE_SECONDS, PROTOCOL_ERROR, TOO_LARGE, DirectSocket, opened
from callflow.media.websocket import MOST_MESSAGE


_TEXT: Final = WSMsgType.TEXT
_READ_BUFFER: Final = 2048
"""Bytes of the first read buffer, the least that picows takes; a frame of 20 ms has about 350. It doubles with each
read that fills it."""
_LOG: Final = logging.LoggerAdapter(logging.getLogger("picows.server"))
"""Of a plain `Logger`, picows makes another one for each connection."""


class PicowsSocket(DirectSocket, WSListener):
    """A `MediaSocket` over one connection of picows."""

    most_at_once = 4096
    _transport: WSTransport

    # Called by picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Note that the handshake is over."""
        self._transport = transport
        self._begin(transport.underlying_transport, partial(transport.send, _TEXT))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Handle one frame."""
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._fail(PROTOCOL_ERROR, "reserved bits")
        elif frame.payload_size > MOST_MESSAGE:  # picows lets a frame pass that has come whole
            self._fail(TOO_LARGE, "the message is too large")
        elif kind is _TEXT and frame.fin and self._part_kind is None:
            try:
                text = frame.get_payload_as_utf8_text()
            except UnicodeDecodeError:
                self._text(frame.get_payload_as_bytes())
                return
            if frame.last_in_buffer and not self._backlog and self._message is not None:
                self._run = 0
                self._message(text)
            else:
                self._in_turn(text)
        elif kind is WSMsgType.CLOSE:
            self._closed(frame)
        else:
            self._other(kind.value, frame.fin, frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Note that the connection is over."""
        self._lost()

    # Inside

    def _closed(self, frame: WSFrame) -> None:
        """Answer the peer's close frame, unless it is an answer to ours, and end the connection."""
        self._count()
        if self._reason:
            return
        if not self._closing:
            self._closing = True
            code = frame.get_close_code()
            self._transport.send_close(code if code is not WSCloseCode.NO_INFO else WSCloseCode.OK)
        self._hang_up()

    def _send_close(self, code: int, reason: str) -> None:
        self._transport.send_close(WSCloseCode(code), reason.encode())

    def _send_ping(self, data: bytes) -> None:
        self._transport.send_ping(data)

    def _send_pong(self, data: bytes) -> None:
        self._transport.send_pong(data)

    def _fail_with(self, code: int, reason: str) -> None:
        self._send_close(code, reason)
        self._hang_up()

    def _hang_up(self) -> None:
        self._take_no_more()
        self._transport.disconnect()

    def _stuck(self, reason: str) -> None:
        self._take_no_more()
        super()._stuck(reason)

    def _take_no_more(self) -> None:
        self.on_ws_frame = _thrown_away  # type: ignore[method-assign] # picows goes on to the end of what was read


def _thrown_away(transport: WSTransport, frame: WSFrame) -> None:
    """Take the frames that come after the end."""


async def open_socket(connection: socket.socket, *, ping_seconds: float) -> PicowsSocket:
    """Serve a connection whose handshake is still unread: see `direct_socket.opened`. Returns after the handshake."""
    media = PicowsSocket(ping_seconds=ping_seconds)

    def accepted(request: WSUpgradeRequest) -> Any:
        return media

    protocol = WSProtocol(
        None, None, False, accepted, _LOG, True, HANDSHAKE_SECONDS,
        False, 20, 20, WSAutoPingStrategy.PING_WHEN_IDLE,
        False,  # pings are answered here, where they are counted
        MOST_MESSAGE, None, _READ_BUFFER,
    )  # fmt: skip
    await opened(connection, protocol, media)
    for head in (protocol.transport.request, protocol.transport.response):  # which picows keeps as long as the socket
        head.headers.clear()
    return media
