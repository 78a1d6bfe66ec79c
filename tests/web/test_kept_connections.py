"""How long a connection waits for a request: the first has little time, each later one longer than proxies reuse it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from quart import Quart, request, websocket

from callflow import runtime
from callflow.media import listener as first_look
from callflow.media.listener import Passing
from callflow.web import listener as module
from callflow.web.listener import Listener
from tests.e2e.product import until


_REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Client:
    """One connection to the listener."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self) -> bytes:
        self.writer.write(_REQUEST)
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        assert await self.reader.readexactly(2) == b"hi"
        return head

    async def is_closed(self) -> None:
        """Wait until the listener has closed it."""
        assert await asyncio.wait_for(self.reader.read(), 5) == b""

    async def is_gone(self) -> None:
        """The same, within two seconds, whatever it has answered before, or with bytes that it has not read."""
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(self.reader.read(), 2)


@contextlib.asynccontextmanager
async def listening(
    held: list[Listener] | None = None, passing: Passing | None = None
) -> AsyncIterator[tuple[str, int]]:
    """`held`: gets the listener. `passing`: to other workers."""
    app = Quart("test")

    @app.get("/")
    async def hi() -> str:
        return "hi"

    @app.post("/")
    async def take() -> str:
        return str(len(await request.get_data()))

    @app.websocket("/ws")
    async def socket() -> None:
        await websocket.accept()
        await websocket.receive()

    bound = runtime.bind("127.0.0.1", 0)
    at, listener = runtime.name_of(bound), Listener(bound, app, media_ping_seconds=0.0, passing=passing)
    await listener.open()
    if held is not None:
        held.append(listener)
    try:
        yield at
    finally:
        await listener.close()


@contextlib.asynccontextmanager
async def connected(at: tuple[str, int]) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(*at)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def test_it_is_kept_for_longer_than_load_balancers_keep_theirs() -> None:
    assert module._KEPT_SECONDS > 60


@pytest.mark.parametrize("beginning", [b"", _REQUEST[:-2]], ids=["nothing", "half a request"])
async def test_one_that_has_asked_is_kept_and_one_that_has_not_is_closed(
    beginning: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_REQUEST_SECONDS", 0.1)
    async with listening() as at, connected(at) as one, connected(at) as silent:
        await one.ask()
        silent.writer.write(beginning)
        await silent.is_closed()
        await one.ask()


async def test_among_very_many_none_is_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_REQUEST_SECONDS", 0.1)
    monkeypatch.setattr(module, "_MOST_KEPT", 1)
    async with listening() as at, connected(at) as first:
        await first.ask()
        async with connected(at) as second:
            await second.ask()
            await second.is_closed()
        await first.ask()


@pytest.mark.parametrize(
    "beginning", [b"P", _REQUEST[:-2], b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"],
    ids=["one byte", "half a head", "half a body"],
)  # fmt: skip
async def test_of_too_many_with_half_a_request_the_oldest_goes(
    beginning: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only those that had sent nothing at all were bounded in number."""
    monkeypatch.setattr(first_look, "_MOST_UNFINISHED", 3)
    async with listening() as at, contextlib.AsyncExitStack() as opened:
        kept = await opened.enter_async_context(connected(at))
        await kept.ask()
        half = []
        for _ in range(5):
            half.append(await opened.enter_async_context(connected(at)))
            half[-1].writer.write(beginning)
            await half[-1].writer.drain()
        await half[0].is_gone()
        await half[1].is_gone()
        await kept.ask()  # it has asked, and waits for nothing
        kept.writer.write(_REQUEST[:9])
        await half[2].is_gone()
        kept.writer.write(_REQUEST[9:])
        assert b"200" in await kept.reader.readuntil(b"hi")
        other = await opened.enter_async_context(connected(at))
        await other.ask()


@pytest.mark.parametrize("asks", [True, False])
async def test_one_that_the_peer_has_ended_is_gone_at_once(asks: bool) -> None:
    """It was held for as long as another request might have come: 5 s, or 75 s behind a first one."""
    held: list[Listener] = []
    async with listening(held) as at:
        async with connected(at) as one:
            await until(lambda: held[0]._connections.count == 1, "it is accepted")
            if asks:
                await one.ask()
        await until(lambda: held[0]._connections.count == 0, "it is gone", 2)


_HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.mark.parametrize(
    ("handshake", "status"),
    [
        (_HANDSHAKE.replace(b": 13", b": 8"), b"400"),
        (_HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"), b"400"),
        (_HANDSHAKE.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n{"), b"400"),
        (_HANDSHAKE + b"\x81\x80abcd", b"400"),
        (_HANDSHAKE.replace(b"/ws", b"/nowhere"), b"404"),
    ],
    ids=["another version", "HTTP/1.0", "with a body", "frames before the answer", "no such path"],
)
@pytest.mark.parametrize("asks", [True, False])
async def test_a_refused_handshake_is_the_end_of_its_connection(handshake: bytes, status: bytes, asks: bool) -> None:
    """Whoever was refused could keep connections for as long as they liked, and as many as they liked."""
    held: list[Listener] = []
    async with listening(held) as at, connected(at) as one:
        if asks:
            await one.ask()
        one.writer.write(handshake)
        said = await asyncio.wait_for(one.reader.read(), 2)
        assert said.startswith(b"HTTP/1.1 " + status), said
        await until(lambda: held[0]._connections.count == 0, "it is gone, and so is the app's part of it", 2)


async def test_beside_other_workers_none_is_kept() -> None:
    """A proxy that reuses connections sent a media socket on one that another worker had kept of a webhook. That one
    could neither pass it on, because the server had read it, nor serve it: the call had no audio."""
    async with listening(passing=lambda connection, name: False) as at, connected(at) as one:
        assert b"connection: close" in await one.ask()
        await one.is_closed()


async def test_the_end_waits_for_none_of_them() -> None:
    async with listening() as at:
        reader, writer = await asyncio.open_connection(*at)
        one = Client(reader, writer)
        await one.ask()
    await one.is_closed()
    writer.close()
