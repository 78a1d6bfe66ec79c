"""The web apps: their rules compile what makes addresses only when asked, and sockets and clients that have gone."""

from __future__ import annotations

from typing import Any

import pytest
from quart import url_for, websocket
from quart.routing import QuartRule
from websockets.asyncio.client import connect

from callflow import runtime
from callflow.web.listener import Listener
from callflow.web.responses import install_error_handlers
from callflow.web.web_app import WebApp


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The rules for which werkzeug has compiled something."""
    found: list[str] = []
    whole: Any = QuartRule._compile_builder

    def compile_builder(rule: QuartRule, append_unknown: bool = True) -> Any:
        found.append(rule.rule)
        return whole(rule, append_unknown)

    monkeypatch.setattr(QuartRule, "_compile_builder", compile_builder)
    return found


def make() -> WebApp:
    app = WebApp("callflow", static_folder=None)

    @app.get("/calls/<call>/<int:part>")
    async def part_of(call: str, part: int) -> dict[str, Any]:
        return {"call": call, "part": part}

    return app


async def test_routes_are_added_and_matched_without_compiling_what_makes_addresses(compiled: list[str]) -> None:
    answer = await make().test_client().get("/calls/a%20b/7")
    assert await answer.get_json() == {"call": "a b", "part": 7}
    assert compiled == []


async def test_addresses_are_made_as_ever() -> None:
    async with make().test_request_context("/"):
        assert url_for("part_of", call="a b", part=7) == "/calls/a%20b/7"
        assert url_for("part_of", call="a", part=7, page="2 3", _external=False) == "/calls/a/7?page=2+3"


async def test_to_a_client_that_has_gone_nothing_is_sent() -> None:
    """Hypercorn raises for that, and the log would show a fault where somebody has only given up."""
    app = WebApp("callflow", static_folder=None)
    sent: list[str] = []
    given = [{"type": "http.request", "more_body": False}, {"type": "http.disconnect"}]

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        for number in range(2):
            await send({"type": f"before it has gone: {number}"})
            await receive()
        await send({"type": "http.response.start"})

    async def receive() -> Any:
        return given.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    app.asgi_app = asgi_app  # type: ignore[method-assign]
    await app({"type": "http"}, receive, send)
    assert sent == ["before it has gone: 0", "before it has gone: 1"]


async def test_a_socket_gets_empty_messages_as_what_they_are_and_an_error_is_not_the_end_of_its_work() -> None:
    """An empty binary message was None, and what failed of it closed the socket with 1000, as if all were done."""
    app = WebApp("callflow", static_folder=None)
    install_error_handlers(app, str)

    @app.websocket("/echo")
    async def echo() -> None:
        await websocket.accept()
        while (message := await websocket.receive()) != "fail":
            await websocket.send(message)
        raise OSError("no disk")

    bound = runtime.bind("127.0.0.1", 0)
    listener = Listener(bound, app, media_ping_seconds=0)
    await listener.open()
    try:
        async with connect(f"ws://127.0.0.1:{bound.getsockname()[1]}/echo", proxy=None) as page:
            for message in (b"", "", b"a", "b"):
                await page.send(message)
                assert await page.recv() == message
            await page.send("fail")
            await page.wait_closed()
            assert (page.close_code, page.close_reason) == (1011, "An internal error; the server's log says which.")
    finally:
        await listener.close()
