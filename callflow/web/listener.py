"""A listening port, the app that Hypercorn serves on it, and the media sockets that come in beside the app."""

from __future__ import annotations

import asyncio
import copy
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.run import worker_serve
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Sockets
from hypercorn.events import Event, Updated
from quart import Quart

from callflow.media.listener import Handshake, Passing, SplitListener, Waits
from callflow.media.websocket import MOST_MESSAGE
from callflow.web import http1
from callflow.web.media_pings import ListenerConfig


_CLOSE_SECONDS: Final = 1.0
"""How long a listener waits for its connections when it closes."""
_FIRST_REQUEST_SECONDS: Final = 5.0
"""How long the first request of a connection may take to come."""
_KEPT_SECONDS: Final = 75.0
"""How long a connection waits for its next request. Whoever reuses connections must be the one who ends them: a request
that is sent while we do is lost. Load balancers and proxies keep theirs for up to 60 s."""
_MOST_KEPT: Final = 1000
"""Connections; while there are more, none is kept for longer than `_FIRST_REQUEST_SECONDS`."""


@dataclass(frozen=True, slots=True)
class HandshakeServer:
    """Serves handshakes of certain paths beside the app: see `SplitListener`."""

    paths: Sequence[str]
    serve: Callable[[socket.socket, Handshake], Awaitable[None]]


class Listener:
    """Serves one app on one port with Hypercorn."""

    def __init__(
        self,
        bound: socket.socket,
        app: Quart,
        *,
        media_ping_seconds: float,
        beside: HandshakeServer | None = None,
        passing: Passing | None = None,
    ) -> None:
        """`bound`: a bound socket, which `close` closes. `media_ping_seconds`: interval of the pings on a media socket
        that the app serves; 0: no pings. `beside`: who serves media sockets; None: the app does. `passing`: to other
        workers; None: there are none. With them each connection is for one request."""
        http1.install()
        self._app = app
        self._wrapped = ASGIWrapper(app)
        self._context = WorkerContext(None)
        self._connections = SplitListener(
            bound,
            paths=beside.paths if beside is not None else (),
            media=beside.serve if beside is not None else _nobody,
            http=self._serve,
            passing=passing,
        )
        self.adopt = self._connections.adopt
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._config = ListenerConfig()
        self._config.websocket_max_message_size = MOST_MESSAGE
        self._config.websocket_ping_interval = None
        self._config.media_ping_seconds = media_ping_seconds
        self._config.keep_alive_timeout = _FIRST_REQUEST_SECONDS  # until a request has come
        self._config.kept_seconds = self._kept_seconds
        if passing is not None:  # the next request may name another worker, and only the first can be passed on unread
            self._config.keep_alive_max_requests = 0
        self._config.graceful_timeout = _CLOSE_SECONDS
        self._config.include_server_header = False
        self._config.accesslog = None
        self._config.errorlog = logging.getLogger("hypercorn.error")

    async def open(self, *, accepts: bool = True) -> None:
        """Start serving, until `close`. Returns when requests are accepted; raises the app's exceptions at its start.
        `accepts`: False: only what `adopt` gets is served, until `accept`."""
        started = asyncio.Event()

        @self._app.before_serving
        async def begin() -> None:  # a plain function would be run in a thread
            started.set()

        # Hypercorn runs the app's lifespan; connections are accepted here.
        nothing = Sockets([], [], [])
        work = worker_serve(self._wrapped, self._config, sockets=nothing, shutdown_trigger=self._closing.wait)
        self._task = asyncio.create_task(work, name=f"{self._app.name} listener")
        waiting = asyncio.ensure_future(started.wait())
        await asyncio.wait({self._task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._task.result()
        if accepts:
            self.accept()

    def accept(self) -> None:
        """Accept connections."""
        self._connections.open(self._config.backlog)

    async def _serve(self, connection: socket.socket, waits: Waits) -> None:
        """Serve one connection with Hypercorn, until it ends. `waits`: is told whether it waits for a request."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        # of its own, because `StrictHttp1` changes how long this connection is kept
        config = copy.copy(self._config)
        config.waits = waits
        server = _Connection(self._wrapped, loop, config, self._context, {}, reader, writer)
        try:
            await server
        finally:  # what refers to each other here would stay until a garbage collection
            server.__dict__.pop("protocol", None)
            if (error := reader.exception()) is not None:
                error.__traceback__ = error.__context__ = None

    def _kept_seconds(self) -> float:
        return _KEPT_SECONDS if self._connections.count <= _MOST_KEPT else _FIRST_REQUEST_SECONDS

    async def close(self) -> None:
        """Stop accepting requests, and give open connections a second to end. Never raises."""
        await self._context.terminated.set()
        await self._connections.close(_CLOSE_SECONDS)
        self._closing.set()
        if self._task is None:
            return
        _, late = await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS + 1)
        for task in late:
            task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class _Connection(TCPServer):
    """One connection of Hypercorn, which ends when its peer has ended it. Hypercorn's own then waits until the time for
    another request is over."""

    _has_ended = False

    async def protocol_send(self, event: Event) -> None:
        if not (self._has_ended and isinstance(event, Updated)):
            await super().protocol_send(event)

    async def _read_data(self) -> None:
        await super()._read_data()
        self._has_ended = True
        await self.idle_task.stop()


async def _nobody(connection: socket.socket, handshake: Handshake) -> None:
    connection.close()
