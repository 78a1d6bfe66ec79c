"""A media socket under an ASGI server (https://asgi.readthedocs.io/en/latest/specs/www.html#websocket).

The relay uses only the contract `MediaSocket`. This implementation calls the server's `receive` and `send` directly,
without the cost of a web framework for each frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from callflow.media.socket_writer import SocketWriter


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MOST_MESSAGE: Final = 512 << 10
"""The most bytes of one message. Carriers send a few hundred; a larger message ends its socket."""
FIRST_PING_SECONDS: Final = 1.0
"""Time from the handshake to the first ping, which shows whether the peer answers."""
CLOSED: Final = "the carrier closed the media socket"
"""The reason with which a media stream ends when the peer has closed its socket, or is gone."""
_draining: set[asyncio.Task[None]] = set()


class AsgiWire:
    """A `MediaSocket` over an ASGI WebSocket whose `websocket.connect` has been received."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._open = self._is_finishing = False
        self._writer: SocketWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def accept(self) -> None:
        """Accept the handshake."""
        await self._send({"type": "websocket.accept"})
        self._open = True

    def start(
        self, message: Callable[[str | bytes], None], ended: Callable[[str], None], *, write_seconds: float
    ) -> None:
        """See `MediaSocket.start`."""
        self._writer = SocketWriter(self._write, ended, seconds=write_seconds)
        self._tasks = [
            asyncio.create_task(self._read(message, ended), name="media-in"),
            asyncio.create_task(self._writer.run(), name="media-out"),
        ]

    async def _read(self, message: Callable[[str | bytes], None], ended: Callable[[str], None]) -> None:
        while (event := await self._receive())["type"] == "websocket.receive":
            text: str | None = event.get("text")
            message(text if text is not None else bytes(event.get("bytes") or b""))
        self._open = False
        ended(CLOSED)

    def put(self, text: str, weight: int = 0) -> None:
        """See `MediaSocket.put`."""
        if self._writer is not None and not self._is_finishing:
            self._writer.put(text, weight)

    def ping(self, answered: Callable[[], None]) -> bool:
        """Return False: an ASGI application cannot send pings."""
        return False

    async def _write(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def refuse(self) -> None:
        """Answer the handshake with HTTP 403; called instead of `accept`."""
        await self._send({"type": "websocket.close", "code": 1008, "reason": ""})

    async def close(self, code: int, reason: str) -> None:
        """Close the socket, once. Later frames are read and dropped until the peer is gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks, self._writer = [], None
        if self._open:
            self._open = False
            task = asyncio.create_task(self._drain(), name="media-drain")
            _draining.add(task)
            task.add_done_callback(_draining.discard)
            await self._send_close(code, reason)

    async def finish(self, code: int, reason: str) -> None:
        """See `MediaSocket.finish`."""
        if self._open:
            await self._send_close(code, reason)

    async def _send_close(self, code: int, reason: str) -> None:
        if not self._is_finishing:
            self._is_finishing = True
            short = reason.encode()[:100].decode(errors="ignore")  # bytes: RFC 6455, section 5.5
            await self._send({"type": "websocket.close", "code": code, "reason": short})

    async def _drain(self) -> None:
        """Read until the peer is gone: a server whose queue is full of unread frames does not notice the peer's end."""
        while (await self._receive())["type"] == "websocket.receive":
            pass
