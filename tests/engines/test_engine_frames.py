"""The frames of the WebSocket to the model: whatever is read, in whatever pieces, is what `websockets` alone reads."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from websockets.utils import accept_key

from callflow.engines.common import engine_socket
from callflow.engines.common.engine_socket import EngineSocket, text_frame


MOST = 70_000


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Reading:
    """What one socket makes of what is read."""

    def __init__(self, *, by_websockets: bool) -> None:
        self.protocol = ClientProtocol(parse_uri("ws://model.example/"), max_size=MOST)
        self.socket = EngineSocket(self.protocol, ping_interval=None)
        self.transport = Transport()
        self.socket.transport = self.transport  # type: ignore[assignment]
        if by_websockets:
            self.socket._head = None
        self.messages: list[bytes] = []
        self.ended: list[str] = []
        self.socket.start(self.messages.append, self.ended.append, write_seconds=0, most_waiting=1 << 20)
        request = self.protocol.connect()
        self.protocol.send_request(request)
        self.protocol.data_to_send()
        key = accept_key(request.headers["Sec-WebSocket-Key"])
        self.answer = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {key}\r\n\r\n"
        ).encode()

    async def rest(self) -> None:
        """Wait until all that was read is handled."""
        for _ in range(3):
            await asyncio.sleep(0)
        while self.socket._has_turn:  # noqa: ASYNC110 - the socket has no event for us
            await asyncio.sleep(0)

    async def read(self, frames: bytes, cuts: list[int]) -> dict[str, Any]:
        data = self.answer + frames
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
        for begin, end in pairwise(places):
            self.socket.data_received(data[begin:end])
        await self.rest()
        server = ServerProtocol(state=State.OPEN)
        server.receive_data(self.transport.written)
        answers = [event for event in server.events_received() if isinstance(event, Frame)]
        return {
            "messages": self.messages,
            "answers": [(frame.opcode, bytes(frame.data)) for frame in answers],
            "state": self.protocol.state,
            "close": (self.protocol.close_sent, self.protocol.close_rcvd),
        }


sizes = st.one_of(st.integers(0, 300), st.sampled_from([125, 126, 127, 65535, 65536, MOST, MOST + 1]))
odd = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"\x03\x01",
            b"\x81\xff" + b"\xff" * 8,
            b"\x81\x80abcd",
            b"\x81\x84abcdefgh",
            b"\xc1\x01x",
            b"\x83\x00",
            b"\x81\x7e",
        ]
    ),
)


@st.composite
def frame(draw: st.DrawFn) -> bytes:
    kind = draw(
        st.sampled_from([Opcode.TEXT] * 6 + [Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.PONG, Opcode.CLOSE])
    )
    if kind in (Opcode.PING, Opcode.PONG):
        return Frame(kind, draw(st.binary(max_size=125))).serialize(mask=False)
    if kind is Opcode.CLOSE:
        return Frame(kind, b"\x03\xe8bye").serialize(mask=False)
    fin = draw(st.integers(0, 4)) > 0
    return Frame(kind, b"x" * draw(sizes), fin=fin).serialize(mask=False)


@given(st.lists(frame(), max_size=8), st.one_of(st.just(b""), odd), st.lists(st.integers(0, 200_000), max_size=12))
@example([Frame(Opcode.TEXT, b"x" * MOST, fin=False).serialize(mask=False)], b"\x00\x01", []).via("a fragment too many")
def test_frames_are_told_apart_as_websockets_does(frames: list[bytes], rest: bytes, cuts: list[int]) -> None:
    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        data = b"".join(frames) + rest
        ours, theirs = Reading(by_websockets=False), Reading(by_websockets=True)
        return await ours.read(data, cuts), await theirs.read(data, cuts)

    ours, theirs = asyncio.run(both())
    assert ours == theirs


class Clock:
    """A loop whose time goes on by a twentieth of a turn with each look at it."""

    def __init__(self) -> None:
        self.loop, self.now = asyncio.get_running_loop(), 0.0

    def time(self) -> float:
        self.now += engine_socket._TURN_SECONDS / 20
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)


PING, PONG, EMPTY, PART, LAST = b"\x89\x00", b"\x8a\x00", b"\x81\x00", b"\x00\x01x", b"\x80\x00"


@pytest.mark.parametrize(
    ("frames", "messages", "answers"),
    [
        (PING * 1000, [], 1000),
        (PONG * 1000, [], 0),
        (EMPTY * 1000, [b""] * 1000, 0),
        (b"\x01\x00" + PART * 1000 + LAST, [b"x" * 1000], 0),
        ((b"\x81\x01a" + PING) * 500, [b"a"] * 500, 500),
    ],
    ids=["pings", "pongs", "texts", "fragments", "both"],
)
async def test_however_many_frames_come_in_one_read_a_turn_ends_in_time_and_nothing_is_lost(
    frames: bytes, messages: list[bytes], answers: int
) -> None:
    reading = Reading(by_websockets=False)
    await reading.read(b"", [])
    reading.socket.loop = Clock()  # type: ignore[assignment]
    reading.socket.data_received(frames)
    reading.socket.data_received(b"\x81\x03end")  # what comes nevertheless comes behind it
    left, turns = len(reading.socket._unread), 0
    assert left > len(frames) - 200, "one turn went on and on"
    while reading.socket._has_turn:
        await asyncio.sleep(0)
        turns += 1
        assert left - len(reading.socket._unread) < 200, "one turn went on and on"
        assert len(reading.socket._backlog) <= engine_socket._MOST_BACKLOG
        left = len(reading.socket._unread)
    assert reading.messages == [*messages, b"end"]
    written = reading.transport.written  # each pong: two bytes, and four of a random mask
    assert [written[at : at + 2] for at in range(0, len(written), 6)] == [b"\x8a\x80"] * answers
    assert turns > 20


async def test_while_the_connection_is_closed_a_turn_ends_in_time_too() -> None:
    """Between our close frame and the server's, `websockets` handles what comes."""
    reading = Reading(by_websockets=False)
    await reading.read(b"", [])
    reading.protocol.send_close(1000)
    reading.socket.send_data()
    reading.socket.loop = Clock()  # type: ignore[assignment]
    reading.socket.data_received(PONG * 20_000)
    reading.socket.data_received(b"\x88\x02\x03\xe8")
    left = len(reading.socket._unread)
    assert left > 30_000, "one turn went on and on"
    await reading.rest()
    assert reading.protocol.close_rcvd is not None
    assert reading.protocol.close_rcvd.code == 1000
    assert reading.ended == []


async def test_more_fragments_than_a_message_may_have_end_the_connection() -> None:
    reading = Reading(by_websockets=False)
    await reading.read(b"\x01\x00" + PART * engine_socket._MOST_PARTS + EMPTY, [])
    assert reading.ended == [f"the engine sent a message in more than {engine_socket._MOST_PARTS} fragments"]
    assert reading.messages == []


async def test_whole_texts_do_not_pass_through_websockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this module is for."""
    reading = Reading(by_websockets=False)
    await reading.read(b"", [])
    monkeypatch.setattr(reading.protocol, "receive_data", None)
    reading.socket.data_received(Frame(Opcode.TEXT, b"one").serialize(mask=False) * 2)
    assert reading.messages == [b"one", b"one"]


@given(st.one_of(st.binary(max_size=300), sizes.map(lambda size: b"y" * size)))
def test_a_text_that_is_sent_is_one_masked_frame(data: bytes) -> None:
    server = ServerProtocol(state=State.OPEN)
    server.receive_data(text_frame(data))
    (event,) = server.events_received()
    assert isinstance(event, Frame)
    assert (event.opcode, event.fin, bytes(event.data)) == (Opcode.TEXT, True, data)


def test_no_two_masks_are_alike() -> None:
    assert len({text_frame(b"")[2:6] for _ in range(100)}) > 90
