"""Single routes of the operators' listener: without a history, a socket, or whoever lets a request in."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from quart import Quart

from callflow.web.console.identity import ASKING, Operator
from callflow.web.responses import install_error_handlers
from callflow.web.web_app import WebApp
from tests.web.asgi import Answer, ask, scope


def bare_app() -> Quart:
    """An app that answers errors as the operators' does."""
    app = WebApp("bare", static_folder=None)
    app.url_map.merge_slashes = False
    install_error_handlers(app, str)
    return app


class LiveCalls:
    """A switchboard with these calls."""

    def __init__(self, **calls: Any) -> None:
        self.by_name = calls

    @property
    def calls(self) -> list[Any]:
        return list(self.by_name.values())

    def live(self, name: str) -> Any:
        return self.by_name.get(name)

    def is_live(self, name: str) -> bool:
        return name in self.by_name


class Line:
    """The requests of a live call: notes what it is asked for, and answers `why`."""

    def __init__(self, why: str = "") -> None:
        self.why = why
        self.asked: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def take(*arguments: Any, **more: Any) -> str:
            self.asked.append((name, *arguments, *more.items()))
            return self.why

        return take


def live_call(line: Line) -> Any:
    return SimpleNamespace(requests=SimpleNamespace(line=line, step_in=line))


async def request(
    app: Quart, method: str, path: str, body: Any = None, *, by: Operator | None = None, **headers: str
) -> Answer:
    """Ask. `body`: bytes as they are, None: nothing; anything else as JSON. `by`: who asks."""
    sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    ASKING.set(by or Operator())
    return await ask(app, method, path, body=sent, **{"content_type": "application/json", **headers})


class Socket:
    """The page's side of a WebSocket, without a network."""

    def __init__(self) -> None:
        self.to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def send(self, message: Any) -> None:
        """`message`: bytes, a text, or anything else as JSON. As Hypercorn passes it on."""
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        is_binary = isinstance(text, bytes)
        self.to_app.put_nowait({
            "type": "websocket.receive", "bytes": text if is_binary else None, "text": None if is_binary else text,
        })  # fmt: skip

    def leave(self) -> None:
        self.to_app.put_nowait({"type": "websocket.disconnect", "code": 1001})

    async def told(self) -> Any:
        """The next message: bytes, or what the JSON of a text says."""
        message = await asyncio.wait_for(self.from_app.get(), 5)
        assert message["type"] == "websocket.send", message
        return message["bytes"] if message["bytes"] is not None else json.loads(message["text"])

    async def closed(self) -> tuple[int, str]:
        """The code and the reason with which it is closed, whatever is sent before."""
        while (message := await asyncio.wait_for(self.from_app.get(), 5))["type"] != "websocket.close":
            assert message["type"] == "websocket.send", message
        return message["code"], message.get("reason", "")


@contextlib.asynccontextmanager
async def socket(app: Quart, path: str, *, by: Operator | None = None, **more: Any) -> AsyncIterator[Socket]:
    """Open a WebSocket that is accepted, and leave in the end. `by`: who asks. `more`: of the scope."""
    ASKING.set(by or Operator())
    asked = {
        **scope("GET", path, [("host", "localhost")], "websocket"),
        "scheme": "ws", "asgi": {"version": "3.0", "spec_version": "2.3"}, **more,
    }  # fmt: skip
    it = Socket()
    it.to_app.put_nowait({"type": "websocket.connect"})
    served: Any = app
    serving = asyncio.create_task(served(asked, it.to_app.get, it.from_app.put))
    try:
        assert (await asyncio.wait_for(it.from_app.get(), 5))["type"] == "websocket.accept"
        yield it
    finally:
        it.leave()
        await asyncio.wait_for(serving, 5)
