"""How long a connection waits for a request: the first has little time, each later one longer than proxies reuse it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from quart import Quart

from callflow import runtime
from callflow.web import listener as module
from callflow.web.listener import Listener


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


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, int]]:
    app = Quart("test")

    @app.get("/")
    async def hi() -> str:
        return "hi"

    bound = runtime.bind("127.0.0.1", 0)
    at, listener = runtime.name_of(bound), Listener(bound, app, media_ping_seconds=0.0)
    await listener.open()
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


async def test_the_end_waits_for_none_of_them() -> None:
    async with listening() as at:
        reader, writer = await asyncio.open_connection(*at)
        one = Client(reader, writer)
        await one.ask()
    await one.is_closed()
    writer.close()
