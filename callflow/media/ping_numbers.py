"""The keepalive pings of one WebSocket: the content of each, and which pong answers one. Pure.

A peer may send pongs that answer nothing (RFC 6455, section 5.5.3), so each ping has a number in it, and only its pong
has the same. A peer that has not answered the first is sent no second: see `callflow.web.media_pings`.
"""

from __future__ import annotations

import logging


log = logging.getLogger("callflow.media")


class PingNumbers:
    """What was sent last, and whether the peer has answered it."""

    __slots__ = ("_awaited", "_sent", "peer_answers")

    def __init__(self) -> None:
        self._sent, self._awaited = 0, b""
        self.peer_answers = False
        """The peer has answered a ping."""

    @property
    def is_awaiting(self) -> bool:
        """Whether the pong of the last ping is still to come."""
        return bool(self._awaited)

    def next(self) -> bytes:
        """Return the content of another ping, which is sent now."""
        self._sent += 1
        self._awaited = self._sent.to_bytes(4, "big")
        return self._awaited

    def due(self) -> bytes | None:
        """Return the content of the ping that is sent at an interval's end; b"": the pong of the last one is still to
        come. None: the peer answers none, and is sent no other."""
        if not self._awaited:
            return self.next()
        if self.peer_answers:
            return b""
        log.debug("the peer of a media socket answers no ping: it is sent no other")
        return None

    def answered_by(self, pong: bytes | bytearray) -> bool:
        """Note a pong. Returns whether it answers the last ping."""
        if not self._awaited or pong != self._awaited:
            return False
        self.peer_answers, self._awaited = True, b""
        return True
