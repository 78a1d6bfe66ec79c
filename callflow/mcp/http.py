"""The MCP server over HTTP, at `/mcp` of the operators' listener, behind its checks of host, origin and token.

It is loaded with the first request, because it is large and rarely used. Each request is complete in itself: there is
no stream to open (GET) and no session to end (DELETE). So while calls are live, another process can answer, whose
interpreter no audio waits for.
Protocol: https://modelcontextprotocol.io/specification (Streamable HTTP)
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from callflow.contracts.bounded_json import read
from callflow.contracts.errors import AccessRefused, OutOfBounds, WorkerFailed
from callflow.contracts.json_slices import PIECE
from callflow.contracts.printable import in_json, json_of, line, quoted
from callflow.history.store import Store


log = logging.getLogger(__name__)

_PARSE_ERROR: Final = -32700
_LARGE: Final = 64 << 10
"""Bytes; larger bodies are read and written in another thread."""


Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]
Headers = Sequence[tuple[bytes, bytes]]
Answer = tuple[int, Headers, bytes]
"""Status, headers and body."""
Apart = Callable[[Headers, bytes], Awaitable[Answer]]


class McpEndpoint:
    """An ASGI app around the operators' app, which answers `/mcp` itself.

    Its caller, the operators' entrance, passes each body as one message, and turns AccessRefused into an answer.
    """

    def __init__(self, inner: Any, store: Callable[[], Awaitable[Store]], apart: Apart | None = None) -> None:
        """`store`: as for `callflow.mcp.server.make_server`. `apart`: answers a request in another process, as `answer`
        does; it raises WorkerFailed if it cannot. None: this process answers all."""
        self._inner, self._store, self._apart = inner, store, apart
        self._manager: Any = None
        self._opening: asyncio.Lock = asyncio.Lock()
        self._closing = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._has_failed = False

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in ("/mcp", "/mcp/"):
            await self._inner(scope, receive, send)
            return
        _check(scope)
        message = await receive()
        try:
            await _in_time(read, message["body"])
        except OutOfBounds as error:
            problem = {"code": _PARSE_ERROR, "message": f"The body cannot be read as JSON: {line(str(error))[:200]}."}
            await _send(send, 400, [], json_of({"jsonrpc": "2.0", "id": None, "error": problem}))
            return
        if self._apart is not None:
            with suppress(WorkerFailed):
                await _send(send, *await self._apart(scope["headers"], message["body"]))
                return
        await _send(send, *await self._ask(scope, message, receive))

    async def answer(self, headers: Headers, body: bytes) -> Answer:
        """Return status, headers and body of the answer to a request with these. Raises AccessRefused."""
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/mcp", "raw_path": b"/mcp", "root_path": "", "query_string": b"", "headers": headers,
            "client": ("127.0.0.1", 0), "server": ("127.0.0.1", 0),
        }  # fmt: skip
        return await self._ask(scope, {"type": "http.request", "body": body, "more_body": False}, _silence)

    async def _ask(self, scope: Any, message: Any, receive: Receive) -> Answer:
        """Return status, headers and body of the answer. Raises AccessRefused."""
        waiting, body = [message], bytearray()
        start: dict[str, Any] = {"status": 0, "headers": []}

        async def receiving() -> Any:
            return waiting.pop() if waiting else await receive()

        async def sending(part: Any) -> None:
            start.update(part)
            body.extend(part.get("body", b""))

        try:
            await self._open()
            await self._manager.handle_request(scope, receiving, sending)
            if not 200 <= start["status"] < 500:
                raise RuntimeError(f"the MCP package answered {start['status']}: {bytes(body[:200])!r}")
            whole = await _in_time(_printable, bytes(body))
        except Exception:
            if not self._has_failed:
                log.exception("THE MCP SERVER CANNOT ANSWER; that it still cannot is not logged again")
            self._has_failed = True
            if self._running is None or self._running.done():
                self._manager = None
            sentence = "The MCP server cannot answer at the moment: try again; the server's log says why."
            raise AccessRefused(503, sentence, {"Retry-After": "5"}) from None
        self._has_failed = False
        return start["status"], start["headers"], whole

    async def _open(self) -> None:
        async with self._opening:
            if self._manager is not None:
                return
            module = await asyncio.to_thread(importlib.import_module, "callflow.mcp.server")
            managers = await asyncio.to_thread(importlib.import_module, "mcp.server.streamable_http_manager")
            manager = managers.StreamableHTTPSessionManager(
                app=module.make_server(self._store), json_response=True, stateless=True
            )
            ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            async def run() -> None:
                async with manager.run():
                    ready.set_result(None)
                    await self._closing.wait()

            self._running = asyncio.create_task(run(), name="mcp over http")
            await asyncio.wait({self._running, ready}, return_when=asyncio.FIRST_COMPLETED)
            if self._running.done():
                self._running.result()
            self._manager = manager

    async def close(self) -> None:
        """Stop the server, if it was loaded."""
        self._closing.set()
        if self._running is not None:
            with suppress(Exception):
                await self._running


async def _silence() -> Any:
    """Wait for ever: nobody says that the client has gone."""
    await asyncio.Event().wait()


def _check(scope: Any) -> None:
    """Check method, query and content type. Raises AccessRefused."""
    if scope["method"] != "POST":
        sentence = f"{line(scope['method'])[:20]} is not possible here, but POST: there is no stream and no session."
        raise AccessRefused(405, sentence, {"Allow": "POST"})
    if scope["query_string"]:
        raise AccessRefused(
            400, f"There is no parameter {quoted(scope['query_string'].decode('latin-1'))} here: /mcp takes none."
        )
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    if len(kinds) != 1 or kinds[0].partition(b";")[0].strip().lower() != b"application/json":
        raise AccessRefused(415, "MCP is spoken in JSON: Content-Type: application/json.")


async def _in_time(work: Callable[[bytes], Any], body: bytes) -> Any:
    return await asyncio.to_thread(work, body) if len(body) > _LARGE else work(body)


def _printable(body: bytes) -> bytes:
    if body.isascii():
        return body.replace(b"\x7f", b"\\u007f")
    text = body.decode()
    # In slices: a regular expression lets no other thread run before it has gone through the whole text.
    return "".join(in_json(text[begin : begin + _LARGE]) for begin in range(0, len(text), _LARGE)).encode()


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    ours = {b"content-type": b"application/json", b"content-length": b"%d" % len(body), b"cache-control": b"no-store"}
    named = [*ours.items(), *(each for each in headers if each[0] not in ours)]
    await send({"type": "http.response.start", "status": status, "headers": named})
    for begin in range(0, len(body), PIECE):
        more = begin + PIECE < len(body)
        await send({"type": "http.response.body", "body": body[begin : begin + PIECE], "more_body": more})
        if more:
            await asyncio.sleep(0)  # frames come between, also while the client takes all that there is
    if not body:
        await send({"type": "http.response.body", "body": b""})
