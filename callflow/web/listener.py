"""A listening port, and the app that is served on it."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final

from hypercorn.asyncio import serve
from quart import Quart

from callflow.web import http1
from callflow.web.media_pings import ListenerConfig


_MOST_FRAME: Final = 512 << 10
"""The most bytes of one WebSocket message. Carriers send a few hundred; a larger message ends its socket."""
_CLOSE_SECONDS: Final = 1.0
"""How long a listener waits for its connections when it closes."""


class Listener:
    """Serves one app on one port with Hypercorn."""

    def __init__(self, bound: socket.socket, app: Quart, *, media_ping_seconds: float) -> None:
        """`bound`: a bound socket, which `close` closes. `media_ping_seconds`: interval of the pings on a media socket;
        0: no pings."""
        http1.install()
        self._app = app
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._config = ListenerConfig()
        self._config.bind = [f"fd://{bound.detach()}"]
        self._config.websocket_max_message_size = _MOST_FRAME
        self._config.websocket_ping_interval = None
        self._config.media_ping_seconds = media_ping_seconds
        self._config.graceful_timeout = _CLOSE_SECONDS
        self._config.include_server_header = False
        self._config.accesslog = None
        self._config.errorlog = logging.getLogger("hypercorn.error")

    async def open(self) -> None:
        """Start serving, until `close`. Returns when requests are accepted; raises the app's exceptions at its
        start."""
        started = asyncio.Event()

        @self._app.before_serving
        async def begin() -> None:  # a plain function would be run in a thread
            started.set()

        work = serve(self._app, self._config, shutdown_trigger=self._closing.wait)
        self._task = asyncio.create_task(work, name=f"{self._app.name} listener")
        waiting = asyncio.ensure_future(started.wait())
        await asyncio.wait({self._task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        """Stop accepting requests, and give open connections a second to end. Never raises."""
        self._closing.set()
        if self._task is None:
            return
        _, late = await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS + 1)
        for task in late:
            task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
