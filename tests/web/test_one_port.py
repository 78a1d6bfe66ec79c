"""Which of two apps on one port answers a path."""

from __future__ import annotations

import pytest
from quart import Quart

from callflow.web.one_port import OnePort
from tests.web.asgi import ask


PUBLIC = (
    "/", "/health", "/webhooks", "/media-stream/x", "/api/version", "/api/twiml", "/api/twiml/",
    "/api/realtime/control", "/apis", "/metric",
)  # fmt: skip
CONSOLE = (
    "/api/calls", "/api/versions", "/api/session", "/api/realtime/control/settings", "/mcp", "/mcp/", "/tools", "/logs",
    "/metrics",
)  # fmt: skip


def app(name: str) -> Quart:
    made = Quart(name)
    made.add_url_rule("/", "root", lambda: name)
    made.add_url_rule("/<path:path>", "any", lambda path: name)
    return made


@pytest.mark.parametrize("path", [*PUBLIC, *CONSOLE])
async def test_the_path_says_whose_a_request_is_once_the_console_is_open(path: str) -> None:
    public = app("public")
    both = OnePort(public)
    assert (await ask(public, "GET", path)).body == b"public"
    await both.open(app("console"))
    assert (await ask(public, "GET", path)).body == (b"console" if path in CONSOLE else b"public")
    await both.close()


async def test_the_console_begins_and_ends_with_it() -> None:
    console, seen = app("console"), list[str]()

    @console.before_serving
    async def begin() -> None:
        seen.append("began")

    @console.after_serving
    async def end() -> None:
        seen.append("ended")

    both = OnePort(app("public"))
    await both.close()
    await both.open(console)
    assert seen == ["began"]
    await both.close()
    assert seen == ["began", "ended"]
