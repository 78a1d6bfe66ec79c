"""Media sockets at the web server's seam: let in by their token, or refused before they are open."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from callflow.contracts.errors import Forged, Refused
from callflow.switchboard.switchboard import Switchboard
from callflow.web.public.address import PublicAddress
from callflow.web.public.media_endpoint import MediaEndpoint
from tests.web.asgi import ask, scope


class FakeCall:
    def __init__(self) -> None:
        self.did: list[str] = []

    async def serve_socket(self, socket: Any) -> None:
        self.did.append("served")

    def unclaim_stream(self) -> None:
        self.did.append("given back")


class Scene:
    def __init__(self, error: Exception | None = None) -> None:
        self.call, self.error = FakeCall(), error
        self.claimed: list[tuple[str, str]] = []
        self.inner: list[str] = []
        self.sent: list[str] = []
        self.fails = False
        self.endpoint = MediaEndpoint(
            self.app, lambda: cast(Switchboard, self), PublicAddress("https://phone.example", ""), lambda: self
        )

    async def begun(self, signal: Any) -> bool:
        assert signal is None
        return False

    async def hold(self, signal: Any, *, coming: str = "") -> bool:
        raise AssertionError("of webhooks alone")

    async def look_up(self, signal: Any) -> None:
        raise AssertionError("of webhooks alone")

    def claim(self, token: str, handshake: Any, carriers: Any = None) -> Any:
        self.claimed.append((token, handshake.url))
        if self.error is not None:
            raise self.error
        return self.call

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.inner.append(scope["type"])
        await send({"type": "http.response.start", "status": 204, "headers": []})

    async def joins(self, path: str) -> None:
        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            if self.fails:
                raise ConnectionResetError
            self.sent.append(message["type"])

        await self.endpoint(cast(Any, scope("GET", path, kind="websocket")), receive, send)


@pytest.mark.parametrize("path", ["/media-stream/token", "/call/token"])
def test_a_socket_joins_the_call_of_its_token(path: str) -> None:
    the = Scene()
    asyncio.run(the.joins(path))
    assert the.claimed == [("token", f"wss://phone.example{path}")]
    assert (the.sent, the.call.did, the.inner) == (["websocket.accept"], ["served"], [])


@pytest.mark.parametrize("error", [Refused("used up"), Forged("not signed")])
def test_a_socket_that_is_refused_is_never_open(error: Exception) -> None:
    the = Scene(error)
    asyncio.run(the.joins("/call/token"))
    assert (the.sent, the.call.did) == (["websocket.close"], [])


@pytest.mark.parametrize("path", ["/", "/webhooks", "/api/calls", "/media-stream"])
def test_there_is_no_other_websocket(path: str) -> None:
    the = Scene()
    asyncio.run(the.joins(path))
    assert (the.sent, the.claimed) == (["websocket.close"], [])


def test_a_reservation_is_given_back_when_the_socket_does_not_open() -> None:
    the = Scene()
    the.fails = True
    with pytest.raises(ConnectionResetError):
        asyncio.run(the.joins("/call/token"))
    assert the.call.did == ["given back"]


@pytest.mark.e2e
def test_everything_else_is_the_apps() -> None:
    the = Scene()
    assert asyncio.run(ask(cast(Any, the.endpoint), "GET", "/call/token")).status == 204
    assert the.inner == ["http"]


@pytest.mark.parametrize("target", ["", "http://[x/", "*"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_without_a_path_is_refused_before_anything_reads_it(method: str, target: str) -> None:
    """Quart takes it for a fault of its own: a traceback in the log for each, which strangers may send."""

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it got there")

    endpoint: Any = MediaEndpoint(inner, cast(Any, None), cast(Any, None), cast(Any, None))
    answer = await ask(endpoint, method, target)
    assert (answer.status, answer.json()) == (400, {"error": "The path must begin with /."})
