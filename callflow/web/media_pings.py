"""Sends pings on the media sockets, because proxies and firewalls close idle connections.

It is not known whether Telnyx answers pings, and Twilio sends none. So a peer that has not answered the first ping gets
no second, and no connection is closed for a missing answer: the deadline of a write and the carrier's webhooks find
peers that are gone.

Hypercorn's own pings never stop, and keep a closed connection until the next one is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hypercorn.config import Config
from hypercorn.protocol.events import Event, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from hypercorn.typing import WebsocketAcceptEvent
from wsproto.events import Event as FrameEvent
from wsproto.events import Ping, Pong

from callflow.media.ping_numbers import PingNumbers
from callflow.media.websocket import FIRST_PING_SECONDS
from callflow.timers import Timers


class ListenerConfig(Config):
    """Hypercorn's configuration, with three more settings."""

    media_ping_seconds: float = 0.0
    """Seconds between two pings on a WebSocket; 0: no pings."""
    kept_seconds: Callable[[], float] | None = None
    """Returns the `keep_alive_timeout` of a connection on which a request has come; None: it stays as it is."""
    waits: Callable[[bool], None] | None = None
    """Is told whether a connection has not sent the whole of its request yet; None: nobody asks."""


class PingingStream(WSStream):
    """A WebSocket of Hypercorn, with these pings instead of Hypercorn's."""

    _timers: Timers | None = None
    _pings: PingNumbers
    """Since the handshake, if any are sent."""

    async def handle(self, event: Event) -> None:
        """Handle an event of the connection."""
        if isinstance(event, StreamClosed) and self._timers is not None:
            self._timers.close()
            self.connection.__dict__.pop("events", None)  # it refers to this stream, which would never be freed
        await super().handle(event)

    async def _accept(self, message: WebsocketAcceptEvent) -> None:
        await super()._accept(message)
        seconds = getattr(self.config, "media_ping_seconds", 0.0)
        if self.state is ASGIWebsocketState.CONNECTED and seconds:
            events, pings = self.connection.events, PingNumbers()
            self._pings = pings

            def noting() -> Iterator[FrameEvent]:
                for event in events():
                    if isinstance(event, Pong):
                        pings.answered_by(event.payload)
                    yield event

            self.connection.events = noting  # type: ignore[assignment,method-assign]
            self._timers = Timers()
            self._timers.start("ping", min(FIRST_PING_SECONDS, seconds), self._due, self._timers, seconds)

    def _due(self, timers: Timers, seconds: float) -> None:
        if self.closed or self.state is not ASGIWebsocketState.CONNECTED:
            return
        content = self._pings.due()
        if content is None:
            return
        if content:
            self.task_group.spawn(self._ping, content)
        timers.start("ping", seconds, self._due, timers, seconds)

    async def _ping(self, content: bytes) -> None:
        if not self.closed and self.state is ASGIWebsocketState.CONNECTED:
            await self._send_wsproto_event(Ping(payload=content))  # which sends nothing behind a close frame
