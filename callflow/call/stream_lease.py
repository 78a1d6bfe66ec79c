"""The media streams of one call, one after another: their tokens, and which of them a socket may join."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from callflow.call.stream_tokens import StreamTokens
from callflow.contracts.errors import Refused


_USES: Final = 2
"""A carrier that reconnects may use its token once more, after its first socket has closed."""


class StreamLease:
    def __init__(self, call: str, mint: StreamTokens, address: Callable[[], str]) -> None:
        self._call, self._mint, self._address = call, mint, address
        self.ordinal = 0
        """Of the newest one, from 1."""
        self.url = self.secret = self.name = ""
        self._uses = 0
        self._reserved = False
        self._attended = 0
        """Which of the call's streams has a socket, or had the last one."""

    def open(self) -> None:
        """Another stream, in place of the one before."""
        self.ordinal += 1
        self.renew()

    def renew(self) -> None:
        """The same one is asked for once more: its token can be made again."""
        self._uses = 0
        token = self._mint.path_token(self._call, self.ordinal)
        self.secret = self._mint.header_token(self._call, self.ordinal)
        self.url = f"{_websocket(self._address())}/media-stream/{token}"
        self.name = f"stream-{self.ordinal}"

    def claim(self, ordinal: int, *, is_attended: bool) -> None:
        """Reserve it for one socket. Raises Refused."""
        if ordinal != self.ordinal:
            raise Refused("this token's stream was replaced by another")
        # An older stream's socket may not have been missed yet: then the newer stream takes its place.
        if self._reserved or (is_attended and self._attended == ordinal):
            raise Refused("this stream has a socket already")
        if self._uses >= _USES:
            raise Refused("this token is used up")
        self._uses += 1
        self._reserved = True

    def unclaim(self) -> None:
        self._reserved = False

    def attended(self) -> str:
        """The socket is there. Returns the stream's second secret."""
        self._reserved = False
        self._attended = self.ordinal
        return self._mint.header_token(self._call, self.ordinal)


def _websocket(address: str) -> str:
    """http gives ws, https gives wss."""
    return "ws" + address.removeprefix("http")
