"""The carrier's end of a media socket in a test's own hands: it says anything, at any moment, as often as it likes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from callflow.sandbox.telnyx import Call, Faults
from tests.e2e.product import Product, until


@dataclass
class MediaSocket:
    connection: ClientConnection
    call_control_id: str
    frames: list[dict[str, Any]] = field(default_factory=list)
    """What the server sent, in order."""
    chunk: int = 0
    _reading: asyncio.Task[None] | None = None

    async def send(self, frame: str | bytes | dict[str, Any]) -> None:
        """Whatever it is; nothing happens when the server has closed the socket."""
        with contextlib.suppress(ConnectionClosed):
            await self.connection.send(json.dumps(frame) if isinstance(frame, dict) else frame)

    async def start(self, *, encoding: str = "PCMU", rate: int = 8000, stream: str = "stream", **start: Any) -> None:
        form = {"encoding": encoding, "sample_rate": rate, "channels": 1}
        about = {"call_control_id": self.call_control_id, "media_format": form, **start}
        await self.send({"event": "connected", "version": "1.0.0"})
        await self.send({"event": "start", "sequence_number": "1", "stream_id": stream, "start": about})

    async def audio(self, *payloads: bytes, chunks: list[int] | None = None, track: str = "inbound") -> None:
        """Frames of the caller, numbered on from the last one, or as `chunks` says."""
        for place, payload in enumerate(payloads):
            self.chunk = chunks[place] if chunks is not None else self.chunk + 1
            await self.send(
                {
                    "event": "media",
                    "stream_id": "stream",
                    "media": {
                        "track": track,
                        "chunk": str(self.chunk),
                        "timestamp": "5",
                        "payload": base64.b64encode(payload).decode(),
                    },
                }
            )

    @property
    def heard(self) -> bytes:
        """The audio that the server sent."""
        media = [frame["media"]["payload"] for frame in self.frames if frame["event"] == "media"]
        return b"".join(map(base64.b64decode, media))

    @property
    def is_open(self) -> bool:
        return self._reading is not None and not self._reading.done()

    @property
    def close_code_received(self) -> int:
        """What the server's close frame said; 0 before there is one."""
        received = self.connection.protocol.close_rcvd
        return received.code if received is not None else 0

    async def closed(self, timeout: float = 6.0) -> int:
        """The close code, once the server has closed it."""
        await until(lambda: not self.is_open, "the server to close the media socket", timeout)
        return self.connection.close_code or 0

    async def hang(self) -> None:
        """Lose the TCP connection without a word."""
        self.connection.transport.abort()
        await until(lambda: not self.is_open, "the lost media socket to be noticed", 1)

    async def close(self) -> None:
        await self.connection.close()
        await until(lambda: not self.is_open, "the media socket to close", 1)

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in self.connection:
                self.frames.append(json.loads(message))


@contextlib.asynccontextmanager
async def media_socket(url: str, call_control_id: str = "", **options: Any) -> AsyncIterator[MediaSocket]:
    """Raises InvalidStatus when the handshake is refused."""
    async with connect(
        url, compression=None, proxy=None, ping_interval=None, close_timeout=0.2, max_size=None, **options
    ) as connection:
        wire = MediaSocket(connection, call_control_id)
        wire._reading = asyncio.create_task(wire._read())
        try:
            yield wire
        finally:
            wire._reading.cancel()


async def refusal(url: str, **options: Any) -> int:
    """The HTTP status with which a media socket is refused at the handshake; 0: it was let in."""
    try:
        async with media_socket(url, **options):
            return 0
    except InvalidStatus as error:
        return error.response.status_code


async def ring_by_hand(the: Product, *, answered: bool = True, **options: Any) -> tuple[Call, str]:
    """A call whose media socket the test opens itself: the call, and the URL that the server gave the carrier.

    Waits until it is answered, or only for the command to answer it.
    """
    call = await the.telnyx.ring(faults=Faults(never_connect=True), **options)

    def answers() -> list[Any]:
        return [one for one in the.actions("answer") if one.call_control_id == call.control_id]

    await the.until(answers, "the call to be answered")
    if answered:
        await call.wait_answered()
    return call, answers()[0].body["stream_url"]
