"""A receiver of events: a real HTTP server that checks each signature by itself, as the specification says, and answers
as a test wants."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.ports import free_port


KEY: Final = bytes(range(32))
SECRET: Final = "whsec_" + base64.b64encode(KEY).decode()


@dataclass
class Delivery:
    id: str
    at: float
    """When it came: `time.monotonic`."""
    headers: dict[str, str]
    body: bytes
    status: int = 0

    @property
    def payload(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


def is_signed(headers: dict[str, str], body: bytes, now: float) -> bool:
    """Whether one of the signatures is right, and the time is that of now."""
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.digest(KEY, text, hashlib.sha256)).decode()
    fresh = abs(now - int(headers["webhook-timestamp"])) < 300
    return fresh and f"v1,{wanted}" in headers["webhook-signature"].split()


@dataclass
class EventReceiver:
    port: int
    came: list[Delivery] = field(default_factory=list)
    """Every request that was signed, in order, whatever was answered."""
    unsigned: int = 0
    answer: Callable[[Delivery], int] = lambda one: 204
    """The status of the answer."""
    delay: float = 0.0
    extra: str = ""
    """Further header lines of the answer, each with its end."""
    now: Callable[[], float] = time.time
    most_at_once: int = 0
    _open: int = 0
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events?key=of-the-receiver"

    @property
    def taken(self) -> list[Delivery]:
        """What was answered with success, in order."""
        return [one for one in self.came if 200 <= one.status < 300]

    def types(self, call: str | None = None) -> list[str]:
        return [one.payload["type"] for one in self.taken if call in (None, one.payload["call"])]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                assert first.split()[0] == "POST"
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                if self._server is None:
                    return
                await self._answer(Delivery(headers["webhook-id"], time.monotonic(), headers, body), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, one: Delivery, writer: asyncio.StreamWriter) -> None:
        if not is_signed(one.headers, one.body, self.now()):
            self.unsigned += 1
            one.status = 401
        else:
            self.came.append(one)
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
            try:
                await asyncio.sleep(self.delay)
            finally:
                self._open -= 1
            one.status = self.answer(one)
        writer.write(f"HTTP/1.1 {one.status} Any\r\n{self.extra}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()


@contextlib.asynccontextmanager
async def receiver(**options: Any) -> AsyncIterator[EventReceiver]:
    """Listen on a free port."""
    the = EventReceiver(free_port(), **options)
    await the.start()
    try:
        yield the
    finally:
        await the.stop()
