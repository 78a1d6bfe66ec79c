"""The seam between the relay and whatever carries its media socket.

The relay knows a `Wire` and nothing else. Here is the one that speaks ASGI: it talks to the server's `receive` and
`send` directly, so that no web framework stands between a frame and the relay.
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
    """An ASGI WebSocket whose `websocket.connect` has been received."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._open = False

    async def accept(self) -> None:
        await self._send({"type": "websocket.accept"})
        self._open = True

    async def receive(self) -> str | bytes | None:
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._open = False
            return None
        text: str | None = message.get("text")
        return text if text is not None else bytes(message.get("bytes") or b"")

    async def send(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def refuse(self) -> None:
        """Instead of `accept`: the handshake is answered with HTTP 403."""
        await self._send({"type": "websocket.close", "code": 1008, "reason": ""})

    async def close(self, code: int, reason: str) -> None:
        if self._open:
            self._open = False
            task = asyncio.create_task(self._drain(), name="media-drain")
            _draining.add(task)
            task.add_done_callback(_draining.discard)
            await self._send({"type": "websocket.close", "code": code, "reason": reason[:100]})

    async def _drain(self) -> None:
        """Until the peer is gone: a server whose queue is full of unread frames would never notice that it is."""
        while (await self._receive())["type"] == "websocket.receive":
            pass
