"""The MCP server over HTTP, at `/mcp` of the operators' listener: for those who are let in there.

It is loaded when it is first asked for, because it is large and most servers never are.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from callflow.history.store import Store


Refuse = Callable[[Mapping[str, str]], tuple[int, str] | None]
"""Given a request's headers by lower-case names: the status and the words with which it is refused; None: it is not."""


class McpDoor:
    """ASGI, around the operators' app."""

    def __init__(self, inner: Any, store: Store, refuse: Refuse) -> None:
        self._inner, self._store, self._refuse = inner, store, refuse
        self._manager: Any = None
        self._opening: asyncio.Lock = asyncio.Lock()
        self._closing = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] not in ("/mcp", "/mcp/"):
            await self._inner(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refuse(headers)
        if refused is not None:
            await _answer(send, *refused)
            return
        async with self._opening:
            if self._manager is None:
                await self._open()
        await self._manager.handle_request(scope, receive, send)

    async def _open(self) -> None:
        module = await asyncio.to_thread(importlib.import_module, "callflow.history.mcp_server")
        managers = await asyncio.to_thread(importlib.import_module, "mcp.server.streamable_http_manager")

        async def store() -> Store:
            return self._store

        manager = managers.StreamableHTTPSessionManager(
            app=module.make_server(store), json_response=True, stateless=True
        )
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            async with manager.run():
                ready.set_result(None)
                await self._closing.wait()

        self._running = asyncio.create_task(run(), name="mcp over http")
        await ready
        self._manager = manager

    async def close(self) -> None:
        self._closing.set()
        if self._running is not None:
            with suppress(Exception):
                await self._running


async def _answer(send: Callable[[Any], Awaitable[None]], status: int, words: str) -> None:
    body = words.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
