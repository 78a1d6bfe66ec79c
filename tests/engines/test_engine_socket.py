"""The WebSocket to the model: what is read is handed over in order, and no peer holds up other calls or memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

from callflow.engines.common import connection, engine_socket
from callflow.engines.common.engine_socket import EngineSocket


pytestmark = pytest.mark.e2e
Peer = Callable[[ServerConnection], Awaitable[None]]


@contextlib.asynccontextmanager
async def connected(peer: Peer) -> AsyncIterator[EngineSocket]:
    async with serve(peer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", create_connection=EngineSocket, compression=None) as socket:
            assert isinstance(socket, EngineSocket)
            yield socket


class Heard:
    """What a socket has handed over."""

    def __init__(self, socket: EngineSocket, *, write_seconds: float = 5, most_waiting: int = 1 << 20) -> None:
        self.messages: list[bytes] = []
        self.reason: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        socket.start(self.take, self.reason.set_result, write_seconds=write_seconds, most_waiting=most_waiting)

    def take(self, message: bytes) -> None:
        assert not self.reason.done(), "nothing comes after the end"
        self.messages.append(message)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.messages) < count:  # noqa: ASYNC110 - the socket has no event for us
                await asyncio.sleep(0.001)


async def test_what_came_before_the_start_is_handed_over_in_order_and_then_the_end() -> None:
    async def peer(ws: ServerConnection) -> None:
        for number in range(1000):
            await ws.send(str(number))

    async with connected(peer) as socket:
        await asyncio.sleep(0.05)  # so that much has been read, or waits in the socket
        heard = Heard(socket)
        async with asyncio.timeout(5):
            reason = await heard.reason
    assert heard.messages == [str(number).encode() for number in range(1000)]
    assert "1000" in reason


async def test_a_message_in_fragments_is_one() -> None:
    async def peer(ws: ServerConnection) -> None:
        async def parts() -> AsyncIterator[str]:
            for part in ("", "one ", "mess", "age"):
                yield part

        await ws.send(parts())
        await ws.send("another")
        await ws.wait_closed()

    async with connected(peer) as socket:
        heard = Heard(socket)
        await heard.until(2)
    assert heard.messages == [b"one message", b"another"]


async def test_a_fragment_out_of_place_ends_the_connection() -> None:
    async def peer(ws: ServerConnection) -> None:
        ws.transport.write(Frame(Opcode.CONT, b"x").serialize(mask=False))
        await ws.wait_closed()

    async with connected(peer) as socket:
        heard = Heard(socket)
        async with asyncio.timeout(5):
            assert "1002" in await heard.reason
    assert heard.messages == []


async def test_others_have_their_turn_while_one_peer_floods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message takes a tenth of a turn here, as measured by a clock of our own."""
    now = 0.0
    turns: list[int] = []

    async def peer(ws: ServerConnection) -> None:
        frame = Frame(Opcode.TEXT, b"x").serialize(mask=False)
        ws.transport.write(frame * 1000)
        await ws.wait_closed()

    async with connected(peer) as socket:
        loop = asyncio.get_running_loop()

        class Clock:
            def time(self) -> float:
                return now

            def __getattr__(self, name: str) -> object:
                return getattr(loop, name)

        socket.loop = Clock()  # type: ignore[assignment]
        count = 0

        def take(message: bytes) -> None:
            nonlocal count, now
            count += 1
            now += engine_socket._TURN_SECONDS / 10

        socket.start(take, lambda reason: None, write_seconds=5, most_waiting=1 << 20)
        async with asyncio.timeout(5):
            while count < 1000:
                before = count
                await asyncio.sleep(0)
                turns.append(count - before)
        socket.loop = loop
    assert max(turns) <= 2 * 11, "one turn for what was read, one for what waited"
    assert len(socket._backlog) == 0


async def test_a_peer_whose_messages_are_not_taken_yet_is_not_read_without_end() -> None:
    async def peer(ws: ServerConnection) -> None:
        with contextlib.suppress(Exception):
            while True:
                await ws.send("x" * 1000)

    async with connected(peer) as socket:
        await asyncio.sleep(0.3)  # it could send some ten thousand messages
        assert engine_socket._MOST_BACKLOG <= len(socket._backlog) < 1000
        heard = Heard(socket)
        await heard.until(5000)


async def test_one_who_does_not_read_is_told_by_time_and_by_size() -> None:
    over = asyncio.Event()

    async def peer(ws: ServerConnection) -> None:
        ws.transport.pause_reading()
        await over.wait()
        ws.transport.abort()

    async with connected(peer) as socket:
        heard = Heard(socket, write_seconds=0.1, most_waiting=64 << 20)
        socket.put("x" * (16 << 20))
        async with asyncio.timeout(5):
            assert await heard.reason == "one write took longer than 0.1 s"
        over.set()
    over.clear()
    async with connected(peer) as socket:
        heard = Heard(socket, write_seconds=60, most_waiting=1 << 20)
        async with asyncio.timeout(5):
            while not heard.reason.done():
                socket.put("x" * 100_000)
                await asyncio.sleep(0)
            assert await heard.reason == "the peer does not read"
        socket.put("what nobody reads")
        over.set()


async def test_of_the_handshake_nothing_is_kept_as_long_as_the_connection() -> None:
    async def peer(ws: ServerConnection) -> None:
        await ws.wait_closed()

    async with serve(peer, "127.0.0.1", 0) as server:
        address = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = SimpleNamespace(api_key="key", address=address, connect_seconds=5.0)
        socket = await connection.open_once(config)
        assert socket.request is not None
        assert socket.response is not None
        assert [*socket.request.headers, *socket.response.headers] == [], "each has some 2 kB"
        await connection.shut(socket)


async def test_python_keeps_no_hash_table_for_a_socket_of_which_each_call_has_one() -> None:
    async def peer(ws: ServerConnection) -> None:
        await ws.wait_closed()

    async with connected(peer) as socket:
        assert len(vars(socket)) <= 29, "with more than these beside its slots, Python 3.11 keeps a dict of 1.5 kB"
