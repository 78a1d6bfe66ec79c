"""The two listeners of a process: carriers and operators."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from quart import Quart

from callflow import runtime
from callflow.cluster import node_paths
from callflow.config.settings import Settings
from callflow.media.listener import Passing
from callflow.web.listener import HandshakeServer, Listener
from callflow.web.public.media_endpoint import MEDIA_PATHS, MediaEndpoint, MediaServer


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inherited:
    """Listening sockets that were bound before, by another process or by this one as its first act."""

    public: socket.socket
    console: socket.socket | None
    warnings: tuple[str, ...] = ()
    """A line each."""


class Listeners:
    """Binds the ports, unless another process has done so, and serves on them."""

    public: socket.socket
    """Once it is bound."""

    def __init__(self, inherited: Inherited | None, *, node: str, ping_seconds: float, media_server: str) -> None:
        """`node`: the name of this node in a cluster; "": there is none. `ping_seconds`: interval of the pings on a
        media socket. `media_server`: the library that serves media sockets beside the app for carriers;
        `hypercorn`: the app does."""
        self._inherited, self._route = inherited, node_paths.route(node)
        self._ping_seconds, self._media_server = ping_seconds, media_server
        self.console: socket.socket | None = None
        """None: its port cannot be used."""
        self._open: list[Listener] = []
        self._late: asyncio.Task[None] | None = None

    def bind(self, settings: Settings) -> list[str]:
        """Bind the ports. Returns warnings, a line each. Raises OSError if carriers cannot be served."""
        if self._inherited is not None:
            self.public, self.console = self._inherited.public, self._inherited.console
            return list(self._inherited.warnings)
        console = settings.console_host, settings.console_port
        self.public, self.console, warnings = runtime.bind_both((settings.host, settings.port), console)
        return list(warnings)

    @property
    def bound(self) -> list[socket.socket]:
        """The listening sockets: that for carriers first."""
        return [self.public, *([self.console] if self.console is not None else [])]

    async def open_public(self, app: Quart, passing: Passing | None) -> Listener:
        """Serve carriers. `passing`: to other workers of this machine; then nothing is accepted before the listener is
        told so. None: there are none."""
        beside = None
        if self._media_server != "hypercorn":
            endpoint = cast(MediaEndpoint, app.asgi_app)
            server = MediaServer(endpoint, self._media_server, ping_seconds=self._ping_seconds)
            paths = [*MEDIA_PATHS, *(self._route + path for path in MEDIA_PATHS if self._route)]
            beside = HandshakeServer(paths, server)
        return await self.open(self.public, app, beside, passing)

    async def open(
        self, bound: socket.socket, app: Quart, beside: HandshakeServer | None = None, passing: Passing | None = None
    ) -> Listener:
        """Serve an app on a bound socket."""
        listener = Listener(bound, app, media_ping_seconds=self._ping_seconds, beside=beside, passing=passing)
        self._open.append(listener)
        await listener.open(accepts=passing is None)
        return listener

    async def open_console(self, make: Callable[[], Quart], *, late: bool) -> Quart | None:
        """Serve operators. `late`: a thread makes the app when somebody first connects, who waits for it; until then
        its modules are not loaded. Returns the app; None: there is none, or not yet."""
        if self.console is None:
            return None
        if late:
            self._late = asyncio.create_task(self._open_when_asked(self.console, make), name="late listener")
            return None
        app = make()
        await self.open(self.console, app)
        return app

    async def _open_when_asked(self, bound: socket.socket, make: Callable[[], Quart]) -> None:
        connection: socket.socket | None = None
        try:
            connection, _ = await asyncio.get_running_loop().sock_accept(bound)
            listener = await self.open(bound, await asyncio.to_thread(make))
            listener.adopt(connection)
        except BaseException as error:
            for each in filter(None, (connection, bound)):
                each.close()
            if not isinstance(error, Exception):
                raise
            log.exception("nothing is served to operators because of an internal error")

    async def open_own(self, app: Quart) -> tuple[str, int]:
        """Serve an app on a port of this process alone, for this machine. Returns host and port."""
        bound = runtime.bind("127.0.0.1", 0)
        await self.open(bound, app)
        return runtime.name_of(bound)

    async def close(self) -> None:
        """Close all listeners. Never raises."""
        if self._late is not None:
            self._late.cancel()
            await asyncio.gather(self._late, return_exceptions=True)
        await asyncio.gather(*(listener.close() for listener in self._open))
