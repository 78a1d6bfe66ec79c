"""Requests to an ASGI app without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


def scope(method: str, path: str, headers: Iterable[tuple[str, str]] = (), kind: str = "http") -> dict[str, Any]:
    """A scope as Hypercorn makes it; `path` may have a query."""
    path, _, query = path.partition("?")
    return {
        "type": kind, "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode("utf-8", "surrogateescape"), "query_string": query.encode(),
        "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 6001), "subprotocols": [],
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "extensions": {}, "state": {},
    }  # fmt: skip


async def ask(
    app: Callable[..., Any], method: str, path: str, *, body: bytes | list[bytes] = b"", **headers: str
) -> Answer:
    """One request. `body`: parts, as they arrive. `headers`: by their names, with `_` for `-`; Host is localhost."""
    given = {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    parts = body if isinstance(body, list) else [body]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages[-1]["more_body"] = False
    answer = Answer()

    async def receive() -> Any:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")

    async with asyncio.timeout(10):
        await app(scope(method, path, given.items()), receive, send)
    return answer
