"""Pings on the media sockets: what lies between carrier and server closes a connection on which nothing passes.

A carrier need not answer them (nothing is known of Telnyx; Twilio sends none itself), and loses nothing by that: a peer
that has not answered the first is sent no other, and no connection is ever closed for it. Peers that are gone are found
by the deadline of a write, and by the carrier's word.

Hypercorn's own pings go on for ever, and hold a closed connection until the next one is due.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Final

from hypercorn.config import Config
from hypercorn.protocol.events import Data, Event, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from hypercorn.typing import WebsocketAcceptEvent
from wsproto.events import Event as FrameEvent
from wsproto.events import Ping, Pong


log = logging.getLogger("callflow.media")

_FIRST_SECONDS: Final = 1.0
"""After the handshake, until the peer is asked for the first time whether it answers."""


class ListenerConfig(Config):
    """Hypercorn's, with one more setting."""

    media_ping_seconds: float = 0.0
    """Between two pings on a WebSocket; 0: none are sent."""


class PingingStream(WSStream):
    """One WebSocket."""

    _timer: asyncio.TimerHandle | None = None
    _owed = False
    """A ping has not been answered yet."""
    _answers = False
    """One was."""

    async def handle(self, event: Event) -> None:
        if isinstance(event, StreamClosed):
            self._stop()
        await super().handle(event)

    async def _accept(self, message: WebsocketAcceptEvent) -> None:
        await super()._accept(message)
        seconds = getattr(self.config, "media_ping_seconds", 0.0)
        if self.state is ASGIWebsocketState.CONNECTED and seconds:
            events = self.connection.events

            def noting() -> Iterator[FrameEvent]:
                for event in events():
                    if isinstance(event, Pong):
                        self._answers, self._owed = True, False
                    yield event

            self.connection.events = noting  # type: ignore[assignment,method-assign]
            self._later(min(_FIRST_SECONDS, seconds), seconds)

    def _later(self, wait: float, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait, self._due, seconds)

    def _due(self, seconds: float) -> None:
        if self.closed or self.state is not ASGIWebsocketState.CONNECTED:
            return
        if self._owed and not self._answers:
            log.debug("the peer of a media socket answers no ping: it is sent no other")
            return
        if not self._owed:
            self._owed = True
            self.task_group.spawn(self._ping)
        self._later(seconds, seconds)

    async def _ping(self) -> None:
        if not self.closed and self.state is ASGIWebsocketState.CONNECTED:
            await self.send(Data(stream_id=self.stream_id, data=self.connection.send(Ping())))

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
