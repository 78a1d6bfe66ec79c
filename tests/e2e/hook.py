"""A server that is asked about callers: real HTTP, each signature checked, and answers as a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.history.delivery.receiver import is_signed


@dataclass
class Hook:
    answer: Any = field(default_factory=dict)
    """What it answers, as JSON; bytes as they are."""
    status: int = 200
    delay: float = 0.0
    headers: str = ""
    """Further header lines, each with its end."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    """The questions that were signed."""
    unsigned: int = 0
    allows: Callable[[dict[str, str], bytes], bool] = lambda headers, body: is_signed(headers, body, time.time())
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/who?key=of-the-hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                pairs = [line.split(": ", 1) for line in head[1:] if line]
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if head[0].startswith("POST /who?") and self.allows(headers, body):
                    self.asked.append({**json.loads(body), "id": headers.get("webhook-id", "")})
                else:
                    self.unsigned += 1
                await asyncio.sleep(self.delay)
                told = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
                line = f"HTTP/1.1 {self.status} Said\r\nContent-Length: {len(told)}\r\n{self.headers}\r\n"
                writer.write(line.encode() + told)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def hook(answer: Any = None, **how: Any) -> AsyncIterator[Hook]:
    """Serve one while the block runs."""
    one = Hook({} if answer is None else answer, **how)
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
