"""Pings on a WebSocket, on Hypercorn's class without a socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any
from unittest import mock

import pytest
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, Pong

from callflow.web import media_pings
from callflow.web.media_pings import ListenerConfig, PingingStream


class Stream(PingingStream):
    """Open from the beginning; what it sends is counted."""

    def __init__(self, seconds: float) -> None:
        self.config = ListenerConfig()
        self.config.media_ping_seconds = seconds
        self.state, self.closed, self.stream_id = ASGIWebsocketState.CONNECTED, False, 1
        self.arrived: list[Any] = []
        self.pings, self.content = 0, b""
        self.connection = mock.Mock(events=lambda: iter(self.arrived), send=self._count)
        self.task_group = mock.Mock(spawn=lambda work, *of: asyncio.ensure_future(work(*of)))

    def _count(self, event: Any) -> bytes:
        if isinstance(event, Ping):
            self.pings, self.content = self.pings + 1, bytes(event.payload)
        return b""

    async def send(self, event: Any) -> None:
        pass

    def comes(self, events: Iterable[Any]) -> None:
        """The peer sends these."""
        self.arrived[:] = events
        assert list(self.connection.events()) == list(self.arrived), "nothing is kept from Hypercorn"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WSStream, "_accept", mock.AsyncMock())
    monkeypatch.setattr(WSStream, "handle", mock.AsyncMock())
    monkeypatch.setattr(media_pings, "FIRST_PING_SECONDS", 0.01)


def play(seconds: float, main: Callable[[Stream], Coroutine[Any, Any, None]]) -> None:
    async def begin() -> None:
        stream = Stream(seconds)
        await stream._accept(mock.Mock())
        try:
            await main(stream)
        finally:
            await stream.handle(StreamClosed(stream_id=1))

    asyncio.run(begin())


def test_a_peer_that_answers_is_sent_pings_again_and_again() -> None:
    async def main(stream: Stream) -> None:
        for _ in range(3):
            before = stream.pings
            async with asyncio.timeout(5):
                while stream.pings == before:  # noqa: ASYNC110 - what is sent has no event
                    await asyncio.sleep(0.002)
            stream.comes([Pong(stream.content)])

    play(0.01, main)


def test_a_peer_that_does_not_answer_is_sent_one_and_left_open(caplog: pytest.LogCaptureFixture) -> None:
    async def main(stream: Stream) -> None:
        await asyncio.sleep(0.1)
        assert (stream.pings, stream.closed) == (1, False)

    with caplog.at_level(logging.DEBUG, "callflow.media"):
        play(0.01, main)
    assert "answers no ping" in caplog.text


def test_a_peer_that_answers_late_keeps_its_pings() -> None:
    async def main(stream: Stream) -> None:
        stream._pings.peer_answers = True
        await asyncio.sleep(0.05)
        assert stream.pings == 1, "the newest is not answered yet"
        stream.comes([Pong(), Pong(b"x")])
        await asyncio.sleep(0.05)
        assert stream.pings == 1, "a pong that answers another ping, or none, counted as the answer"
        stream.comes([Pong(stream.content)])
        await asyncio.sleep(0.05)
        assert stream.pings >= 2

    play(0.01, main)


def test_no_ping_is_sent_when_none_are_asked_for_or_the_socket_is_closed() -> None:
    async def silent(stream: Stream) -> None:
        await asyncio.sleep(0.03)
        assert stream.pings == 0

    play(0.0, silent)

    async def closed(stream: Stream) -> None:
        await stream.handle(StreamClosed(stream_id=1))
        await asyncio.sleep(0.03)
        assert stream.pings == 0

    play(0.02, closed)


def test_a_socket_whose_close_frame_was_sent_is_left_in_peace_when_a_ping_is_due() -> None:
    """As one of whose messages was too large for Hypercorn, and whose peer has not answered that."""

    async def main(stream: Stream) -> None:
        connection, pings = Connection(ConnectionType.SERVER), asyncio.Queue[asyncio.Future[None]]()
        connection.send(CloseConnection(code=1009))

        def spawn(work: Callable[..., Coroutine[Any, Any, None]], *of: Any) -> None:
            pings.put_nowait(asyncio.ensure_future(work(*of)))

        stream.connection, stream.task_group = mock.Mock(send=connection.send), mock.Mock(spawn=spawn)
        async with asyncio.timeout(5):
            await (await pings.get())

    play(0.01, main)
