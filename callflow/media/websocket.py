"""A media socket under an ASGI server (https://asgi.readthedocs.io/en/latest/specs/www.html#websocket).

The relay uses only the contract `MediaSocket`. This implementation calls the server's `receive` and `send` directly,
without the cost of a web framework for each frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_draining: set[asyncio.Task[None]] = set()


class AsgiWire:
    """A `MediaSocket` over an ASGI WebSocket whose `websocket.connect` has been received."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._open = False

    async def accept(self) -> None:
        """Accept the handshake."""
        await self._send({"type": "websocket.accept"})
        self._open = True

    async def receive(self) -> str | bytes | None:
        """Return the next message; None: the peer has closed or is gone."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._open = False
            return None
        text: str | None = message.get("text")
        return text if text is not None else bytes(message.get("bytes") or b"")

    async def send(self, text: str) -> None:
        """Send a text message."""
        await self._send({"type": "websocket.send", "text": text})

    async def refuse(self) -> None:
        """Answer the handshake with HTTP 403; called instead of `accept`."""
        await self._send({"type": "websocket.close", "code": 1008, "reason": ""})

    async def close(self, code: int, reason: str) -> None:
        """Close the socket, once. Later frames are read and dropped until the peer is gone."""
        if self._open:
            self._open = False
            task = asyncio.create_task(self._drain(), name="media-drain")
            _draining.add(task)
            task.add_done_callback(_draining.discard)
            await self._send({"type": "websocket.close", "code": code, "reason": reason[:100]})

    async def _drain(self) -> None:
        """Read until the peer is gone: a server whose queue is full of unread frames does not notice the peer's end."""
        while (await self._receive())["type"] == "websocket.receive":
            pass
