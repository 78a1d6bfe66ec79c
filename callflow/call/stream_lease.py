"""The media streams of one call: address and secrets of the newest stream, and which socket may join it.

A stream has one socket at a time. An older stream's token is refused as soon as a newer stream is requested.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from callflow.call.stream_tokens import StreamTokens
from callflow.contracts.errors import Refused
from callflow.contracts.events import CarrierNotice, Event, StreamFailed
from callflow.contracts.media import MediaSocket
from callflow.contracts.secret_text import Secrets


_USES: Final = 2
"""Sockets that may join one stream, one after the other: a carrier that reconnects uses its token again."""


class StreamHolder(Protocol):
    """What has reserved a stream for a socket, and serves it."""

    def unclaim_stream(self) -> None:
        """Release the reservation, because the socket was not opened after all."""

    async def serve_socket(self, socket: MediaSocket) -> None:
        """Serve the socket until it closes or is not wanted any more."""


class StreamLease:
    """Which of the call's streams is the newest, and whether a socket may join it."""

    def __init__(self, call: str, tokens: StreamTokens, address: Callable[[], str]) -> None:
        """`address`: our public address, http or https, without a path."""
        self._call, self._tokens, self._address = call, tokens, address
        self.ordinal = 0
        """Ordinal of the newest stream, from 1; 0: no stream was requested yet."""
        self.url = self.secret = self.name = ""
        """The newest stream's socket address (ws or wss, with the token in the path), the secret that a carrier may
        send in a header, and the stream's name in the carrier's webhooks."""
        self._uses = 0
        self._reserved = False
        self._joined = 0
        """Ordinal of the stream that the last socket joined."""

    def open(self) -> None:
        """Begin another stream, which replaces the previous one."""
        self.ordinal += 1
        self.renew()

    def renew(self) -> None:
        """Set address and secrets of the newest stream again, because the same stream is requested again."""
        self._uses = 0
        token = self._tokens.path_token(self._call, self.ordinal)
        self.secret = self._tokens.header_token(self._call, self.ordinal)
        self.url = f"{_websocket(self._address())}/media-stream/{token}"
        self.name = f"stream-{self.ordinal}"

    def claim(self, ordinal: int, *, has_socket: bool) -> None:
        """Reserve a stream for one socket; `join` or `unclaim` must follow. Raises Refused.

        `ordinal`: the stream's, from the token. `has_socket`: the call has an open socket.
        """
        if ordinal != self.ordinal:
            raise Refused("this token's stream was replaced by another")
        # An open socket may belong to an older stream whose end is not noticed yet: the newer stream replaces it.
        if self._reserved or (has_socket and self._joined == ordinal):
            raise Refused("this stream has a socket already")
        if self._uses >= _USES:
            raise Refused("this stream token was used already")
        self._uses += 1
        self._reserved = True

    def unclaim(self) -> None:
        """Release the reservation, because the socket was not opened after all."""
        self._reserved = False

    def join(self) -> str:
        """Use the reservation for a socket. Returns the secret that the carrier may send with its first frame."""
        self._reserved = False
        self._joined = self.ordinal
        return self.secret or self._tokens.header_token(self._call, self.ordinal)

    def failed(self, event: StreamFailed) -> Event:
        """Return a carrier's report of a failed stream for machine and journal, without the address, which contains a
        token. A report about an older stream becomes a mere notice."""
        if not event.address:
            return event
        if event.address not in (self.url, self.name):
            return CarrierNotice(kind="an earlier stream failed")
        # the reason may repeat the address, and the secret that went with it
        return StreamFailed(reason=Secrets([self.secret]).safe_text(event.reason))


def _websocket(address: str) -> str:
    """Turn http into ws, and https into wss."""
    return "ws" + address.removeprefix("http")
