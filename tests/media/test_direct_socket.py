"""A media socket beside HTTP, of each library, with a real peer: what arrives, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from callflow import runtime
from callflow.media import direct_socket, picows_socket, websockets_socket
from callflow.media.direct_socket import DirectSocket
from callflow.media.listener import Handshake, SplitListener, Waits
from callflow.media.websocket import CLOSED, MOST_MESSAGE
from tests.e2e.product import until


LIBRARIES = {"picows": picows_socket, "websockets": websockets_socket}


@pytest.fixture(autouse=True, params=LIBRARIES)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads and writes the frames of `connected`."""
    monkeypatch.setattr(Stream, "library", LIBRARIES[request.param], raising=False)


class Stream:
    """Our end: what came, and why it ended."""

    library: Any

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.ended: list[str] = []
        self.socket: DirectSocket | None = None
        self.over = asyncio.Event()

    def end(self, reason: str) -> None:
        self.ended.append(reason)
        self.over.set()

    def start(self, write_seconds: float = 5.0) -> None:
        assert self.socket is not None
        self.socket.start(self.messages.append, self.end, write_seconds=write_seconds)

    async def has(self, *messages: str | bytes) -> None:
        await until(lambda: len(self.messages) >= len(messages), "the messages", 5)
        assert self.messages == list(messages)


@contextlib.asynccontextmanager
async def connected(
    *, starts: bool = True, write_seconds: float = 5.0, ping_seconds: float = 0.0
) -> AsyncIterator[tuple[Stream, ClientConnection]]:
    stream, ready = Stream(), asyncio.Event()

    async def media(connection: socket.socket, handshake: Handshake) -> None:
        stream.socket = await Stream.library.open_socket(connection, ping_seconds=ping_seconds)
        if starts:
            stream.start(write_seconds)
        ready.set()
        await stream.over.wait()

    async def http(connection: socket.socket, waits: Waits) -> None:
        connection.close()

    bound = runtime.bind("127.0.0.1", 0)
    listener = SplitListener(bound, paths=("/call/",), media=media, http=http)
    listener.open(10)
    try:
        async with connect(
            f"ws://127.0.0.1:{bound.getsockname()[1]}/call/x", compression=None, close_timeout=1
        ) as peer:
            await ready.wait()
            yield stream, peer
        async with asyncio.timeout(5):
            await stream.over.wait()
    finally:
        stream.over.set()
        await listener.close(1)


async def test_messages_come_in_order_and_none_before_it_has_begun() -> None:
    async with connected(starts=False) as (stream, peer):
        for number in range(5):
            await peer.send(str(number))
        pong = await peer.ping()
        await pong  # all of them have arrived
        assert stream.messages == []
        stream.start()
        await peer.send("5")
        await stream.has("0", "1", "2", "3", "4", "5")
    assert stream.ended == [CLOSED]


async def test_what_was_on_its_way_at_the_end_comes_where_it_is_waited_for() -> None:
    async with connected() as (stream, peer):
        assert stream.socket is not None
        await peer.send("0")
        await stream.has("0")
        for number in range(1, 5):
            await peer.send(str(number))
        await stream.socket.finish(1000, "elsewhere")
        stream.socket.put("no more")
        await stream.has("0", "1", "2", "3", "4")
        with pytest.raises(ConnectionClosed):
            await peer.recv()
        async with asyncio.timeout(5):
            await stream.over.wait()
        await stream.socket.close(1000, "again")
    assert (peer.close_code, peer.close_reason, stream.ended) == (1000, "elsewhere", [CLOSED])


@pytest.mark.e2e
async def test_however_many_come_before_it_has_begun_few_are_held_and_none_is_lost() -> None:
    async with connected(starts=False) as (stream, peer):
        sent = [f"{number} {'x' * 2000}" for number in range(5000)]
        sending = asyncio.create_task(_send_all(peer, sent))
        our = stream.socket
        assert our is not None
        await until(lambda: len(our._backlog) >= direct_socket._MOST_BACKLOG, "messages that wait", 5)
        await asyncio.wait([sending], timeout=0.2)
        assert len(our._backlog) < 5 * direct_socket._MOST_BACKLOG, "as much as the peer likes is held in memory"
        stream.start()
        await sending
        await stream.has(*sent)


async def _send_all(peer: ClientConnection, messages: list[str]) -> None:
    for message in messages:
        await peer.send(message)


async def test_many_that_come_at_once_are_taken_in_turn_and_none_is_lost() -> None:
    async with connected() as (stream, peer):
        turns = 0

        async def others() -> None:
            nonlocal turns
            while len(stream.messages) < 3000:
                turns += 1
                await asyncio.sleep(0)

        watching = asyncio.create_task(others())
        frames = b"".join(_frame(1, b"%d" % number) for number in range(3000))
        peer.transport.write(frames)
        async with asyncio.timeout(5):
            await watching
        assert stream.messages == [str(number) for number in range(3000)]
        assert turns > 3000 / direct_socket._AT_ONCE / 2, "nobody else had a turn"


FLOODS = {
    "texts": lambda: _frame(1, b""),
    "pings": lambda: _frame(9, b"x" * 100),
    "pongs": lambda: _frame(10, b""),
    "fragments": lambda: _frame(0, b"", fin=False),
}


@pytest.mark.e2e
@pytest.mark.parametrize("kind", FLOODS)
async def test_a_peer_that_floods_takes_no_turn_of_others_with_any_kind_of_frame(kind: str) -> None:
    """However much it sends: what is handled in one turn of the loop is bounded, and what waits is, too."""
    async with connected() as (stream, peer):
        our = stream.socket
        assert our is not None
        most_in_a_turn = most_waiting = handled = 0
        count = our._count

        def counted() -> None:
            nonlocal handled
            handled += 1
            count()

        our._count = counted  # type: ignore[method-assign]
        start = _frame(1, b"x", fin=False) if kind == "fragments" else b""
        flood = start + FLOODS[kind]() * 500_000
        sending = socket.socket(fileno=os.dup(peer.transport.get_extra_info("socket").fileno()))
        sending.settimeout(5)
        thread = threading.Thread(target=_send_until_it_ends, args=(sending, flood))
        thread.start()
        try:
            async with asyncio.timeout(10):
                while handled < 10_000 and not stream.ended:
                    before = handled
                    await asyncio.sleep(0)
                    most_in_a_turn = max(most_in_a_turn, handled - before)
                    most_waiting = max(most_waiting, len(our._backlog))
        finally:
            with contextlib.suppress(OSError):
                # What the system holds of it is not to be read to its end.
                sending.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sending.shutdown(socket.SHUT_RDWR)
            peer.transport.abort()
            await asyncio.to_thread(thread.join)
            sending.close()
        assert handled > direct_socket._AT_ONCE, "there was no flood"
        assert most_in_a_turn <= our.most_at_once + 1
        assert most_waiting <= our.most_at_once


def _send_until_it_ends(connection: socket.socket, data: bytes) -> None:
    """In a thread, so that there is always more to read."""
    with contextlib.suppress(OSError):
        connection.sendall(data)


async def test_of_a_peer_that_floods_little_is_read_at_a_time() -> None:
    """picows reads on to the end of what has come, so that such a peer is let go: see below."""
    if Stream.library is picows_socket:
        return
    async with connected() as (stream, peer):
        peer.transport.write(_frame(10, b"") * 20_000 + _frame(1, b"late"))
        await stream.has("late")


async def test_of_the_handshake_nothing_is_kept_as_long_as_the_socket() -> None:
    if Stream.library is not picows_socket:
        return
    async with connected() as (stream, _):
        transport = cast(picows_socket.PicowsSocket, stream.socket)._transport
        assert [*transport.request.headers, *transport.response.headers] == []


async def test_a_peer_that_sends_too_many_frames_at_once_is_let_go_and_the_rest_is_thrown_away() -> None:
    if Stream.library is not picows_socket:
        return
    async with connected() as (stream, peer):
        peer.transport.write(_frame(10, b"") * 100_000 + _frame(1, b"late"))
        async with asyncio.timeout(5):
            await stream.over.wait()
    assert stream.ended == ["the peer sends too much at once"]
    assert stream.messages == []


async def test_many_pings_at_once_get_an_answer_to_the_last_one() -> None:
    async with connected() as (stream, peer):
        answers: list[bytes] = []
        peer.acknowledge_pings = answers.append  # type: ignore[method-assign, assignment]
        peer.transport.write(b"".join(_frame(9, b"%d" % number) for number in range(500)))
        await until(lambda: answers and answers[-1] == b"499", "the answer to the last", 5)
        assert answers[: direct_socket._AT_ONCE] == [b"%d" % number for number in range(direct_socket._AT_ONCE)]
        assert len(answers) < 400
        await peer.send("and on")
        await stream.has("and on")


async def test_what_came_before_the_peer_left_is_handled_before_its_end() -> None:
    async with connected() as (stream, peer):
        peer.transport.write(b"".join(_frame(1, b"%d" % number) for number in range(200)) + _frame(8, b"\x03\xe8"))
        await stream.over.wait()
        assert len(stream.messages) == 200
        assert stream.ended == [CLOSED]


async def test_fragments_are_one_message_and_binary_ones_stay_bytes() -> None:
    async with connected() as (stream, peer):
        await peer.send(["one ", "two ", "thr\u00e9\u00e9"])
        await peer.send([b"\x00", b"\xff"])
        await stream.has("one two thr\u00e9\u00e9", b"\x00\xff")


def _frame(kind: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    """A masked frame, as a client sends it (RFC 6455, section 5.2)."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)
    if size > 0xFFFF:
        length = b"\xff" + struct.pack(">Q", size)
    return bytes([(0x80 if fin else 0) | rsv << 4 | kind]) + length + b"\0\0\0\0" + payload


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (_frame(1, b"\xff\xfe"), 1007),
        (_frame(1, b"a", fin=False) + _frame(0, b"\xff"), 1007),
        (_frame(0, b"a"), 1002),
        (_frame(1, b"a", fin=False) + _frame(1, b"b"), 1002),
        (_frame(1, b"a", rsv=4), 1002),
        (_frame(1, b"a", rsv=2), 1002),
        (b"".join(_frame(0 if part else 1, bytes(60_000), fin=False) for part in range(10)), 1009),
    ],
    ids=[
        "not UTF-8",
        "not UTF-8 in pieces",
        "no beginning",
        "a second beginning",
        "compressed",
        "reserved",
        "too large",
    ],
)
async def test_what_breaks_the_protocol_ends_the_socket_with_its_code(sent: bytes, code: int) -> None:
    async with connected() as (stream, peer):
        peer.transport.write(sent)
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(5):
                await peer.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
    assert stream.ended == [CLOSED]
    assert stream.messages == []


async def test_what_breaks_the_protocol_before_it_has_begun_ends_it_all_the_same() -> None:
    async with connected(starts=False) as (stream, peer):
        peer.transport.write(_frame(1, b"a") + _frame(1, b"\xff\xfe"))
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(5):
                await peer.recv()
        stream.start()
        await stream.over.wait()
    assert (stream.messages, stream.ended) == (["a"], [CLOSED])


async def test_a_frame_that_is_too_large_ends_its_socket() -> None:
    async with connected() as (stream, peer):
        with contextlib.suppress(ConnectionClosed):
            await peer.send("x" * (MOST_MESSAGE + 1))
        await stream.over.wait()
    assert stream.messages == []


async def test_closing_tells_the_peer_why_and_takes_nothing_any_more() -> None:
    async with connected() as (stream, peer):
        assert stream.socket is not None
        stream.socket.put("last words")
        await stream.socket.close(1000, "the call is over")
        stream.socket.put("too late")
        await peer.send("too late, too")
        assert await peer.recv() == "last words"
        with pytest.raises(ConnectionClosed) as closed:
            await peer.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "the call is over")
    assert stream.messages == []


async def test_a_peer_that_answers_no_close_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_socket, "CLOSE_SECONDS", 0.05)
    async with connected() as (stream, peer):
        peer.transport.pause_reading()
        assert stream.socket is not None
        await stream.socket.close(1000, "")
        async with asyncio.timeout(2):
            await stream.over.wait()
        peer.transport.abort()


@pytest.mark.parametrize("patient", [True, False])
async def test_a_peer_that_does_not_read_ends_its_own_socket(patient: bool) -> None:
    """In time, if it is sent no more; at once, if too much waits for it."""
    async with connected(write_seconds=0.1) as (stream, peer):
        peer.transport.pause_reading()
        our = stream.socket
        assert our is not None
        while not (stream.ended or (patient and our._timers.is_running("write"))):
            our.put("x" * 1000)
        async with asyncio.timeout(2):
            await stream.over.wait()
        assert stream.ended == ["one write took longer than 0.1 s" if patient else "the peer does not read"]
        peer.transport.abort()


async def test_a_ping_beside_a_mark_goes_to_a_peer_that_is_known_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_socket, "FIRST_PING_SECONDS", 0.01)
    pongs: list[str] = []
    async with connected(ping_seconds=60) as (stream, peer):
        our = stream.socket
        assert our is not None
        assert not our.ping(lambda: pongs.append("too soon")), "nobody knows yet whether the peer answers"
        await until(lambda: our._pings.peer_answers, "the answer to the first ping", 2)
        assert our.ping(lambda: pongs.append("one"))
        for unasked in (b"", b"x"):
            our._other(direct_socket._PONG, True, unasked)
        assert pongs == [], "a pong that answers another ping, or none, counts as the answer"
        assert not our.ping(lambda: pongs.append("two")), "the last one has no answer yet"
        await until(lambda: bool(pongs), "the pong", 2)
        await peer.pong(b"nobody asked")
        await peer.send("behind it")
        await stream.has("behind it")
        assert our.ping(lambda: pongs.append("three"))
        await until(lambda: len(pongs) > 1, "the next pong", 2)
        await our.finish(1000, "over")
        assert not our.ping(lambda: pongs.append("closed"))
    assert pongs == ["one", "three"]


async def test_a_pong_that_nobody_asked_for_does_not_show_that_the_peer_answers() -> None:
    async with connected() as (stream, peer):
        await peer.pong(b"")
        await peer.send("behind it")
        await stream.has("behind it")
        assert stream.socket is not None
        assert not stream.socket._pings.peer_answers


async def test_a_peer_is_pinged_as_long_as_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_socket, "FIRST_PING_SECONDS", 0.01)
    async with connected(ping_seconds=0.02) as (stream, _):
        assert stream.socket is not None
        await until(lambda: stream.socket is not None and stream.socket._pings.peer_answers, "the answer", 2)
