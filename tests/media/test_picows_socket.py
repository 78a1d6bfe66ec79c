"""A media socket that picows serves: what becomes of its frames, without a connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest
from picows import WSCloseCode, WSMsgType

from callflow.media.direct_socket import INVALID_TEXT, PROTOCOL_ERROR, TOO_LARGE
from callflow.media.picows_socket import PicowsSocket
from callflow.media.websocket import CLOSED, MOST_MESSAGE
from tests.in_loop import in_loop, settle
from tests.media.wires import Stream, Wire


@dataclass
class Frame:
    """A frame as picows hands it over."""

    payload: bytes = b""
    msg_type: WSMsgType = WSMsgType.TEXT
    fin: bool = True
    last_in_buffer: bool = True
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False
    code: WSCloseCode = WSCloseCode.NO_INFO
    size: int | None = None

    @property
    def payload_size(self) -> int:
        return len(self.payload) if self.size is None else self.size

    def get_payload_as_utf8_text(self) -> str:
        return self.payload.decode()

    def get_payload_as_bytes(self) -> bytes:
        return self.payload

    def get_close_code(self) -> WSCloseCode:
        return self.code


class Transport:
    """picows' transport: it writes down what is to be sent."""

    def __init__(self) -> None:
        self.underlying_transport = Wire()
        self.sent: list[tuple[Any, ...]] = []

    def send(self, kind: WSMsgType, data: bytes) -> None:
        self.sent.append(("send", kind, bytes(data)))

    def send_close(self, code: WSCloseCode, reason: bytes = b"") -> None:
        self.sent.append(("close", cast(Any, code).value, reason))

    def send_ping(self, data: bytes) -> None:
        self.sent.append(("ping", data))

    def send_pong(self, data: bytes) -> None:
        self.sent.append(("pong", data))

    def disconnect(self) -> None:
        self.sent.append(("disconnect",))


class Peer:
    def __init__(self, *, starts: bool = True) -> None:
        self.socket, self.transport = PicowsSocket(ping_seconds=0), Transport()
        self.socket.on_ws_connected(cast(Any, self.transport))
        self.stream = Stream(self.socket)
        if starts:
            self.stream.start()

    def send(self, *frames: Frame) -> None:
        for one in frames:
            self.socket.on_ws_frame(cast(Any, self.transport), cast(Any, one))

    def take(self) -> list[tuple[Any, ...]]:
        sent, self.transport.sent = self.transport.sent, []
        return sent


@in_loop
async def test_a_frame_that_comes_alone_is_handed_on_at_once() -> None:
    one = Peer()
    assert one.socket.connected.done()
    one.send(Frame(b"a"), Frame("\u00fc".encode()), Frame(b""))
    assert one.stream.messages == ["a", "\u00fc", ""]
    assert one.socket._run == 0, "it takes nobody's turn"


@in_loop
async def test_frames_that_come_together_keep_their_order_and_take_turns() -> None:
    one = Peer()
    one.send(*(Frame(b"%d" % number, last_in_buffer=number == 99) for number in range(100)))
    assert len(one.stream.messages) < 100
    await settle()
    assert one.stream.messages == [str(number) for number in range(100)]


@in_loop
async def test_what_is_put_is_sent_as_text() -> None:
    one = Peer()
    one.socket.put("\u00fcber")
    assert one.take() == [("send", WSMsgType.TEXT, "\u00fcber".encode())]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ([Frame(b"a", rsv1=True)], PROTOCOL_ERROR),
        ([Frame(b"a", rsv2=True)], PROTOCOL_ERROR),
        ([Frame(b"a", rsv3=True)], PROTOCOL_ERROR),
        ([Frame(b"", WSMsgType.CLOSE, rsv1=True)], PROTOCOL_ERROR),
        ([Frame(b"a", WSMsgType.CONTINUATION)], PROTOCOL_ERROR),
        ([Frame(b"a", fin=False), Frame(b"b")], PROTOCOL_ERROR),
        ([Frame(b"a", size=MOST_MESSAGE + 1)], TOO_LARGE),
        ([Frame(b"a", WSMsgType.PING, size=MOST_MESSAGE + 1)], TOO_LARGE),
        ([Frame(b"\xff")], INVALID_TEXT),
        ([Frame(b"\xff", last_in_buffer=False)], INVALID_TEXT),
        ([Frame(b"\xc3", fin=False), Frame(b"\x28", WSMsgType.CONTINUATION)], INVALID_TEXT),
    ],
)
@in_loop
async def test_what_breaks_the_protocol_is_told_once_and_ends_the_stream(sent: list[Frame], code: int) -> None:
    """What came behind it was handed on all the same, after the end."""
    one = Peer()
    one.send(*sent, Frame(b"and on"), *sent)
    assert [each[:2] for each in one.take()] == [("close", code), ("disconnect",)]
    assert (one.stream.messages, one.stream.ended) == ([], [CLOSED])


@in_loop
async def test_a_message_of_just_the_most_bytes_is_taken() -> None:
    one = Peer()
    one.send(Frame(b"a" * MOST_MESSAGE))
    assert len(one.stream.messages) == 1


@pytest.mark.parametrize(("code", "answer"), [(WSCloseCode.GOING_AWAY, 1001), (WSCloseCode.NO_INFO, 1000)])
@in_loop
async def test_a_close_is_answered_once_and_ends_the_connection(code: WSCloseCode, answer: int) -> None:
    one = Peer()
    one.send(Frame(b"", WSMsgType.CLOSE, code=code), Frame(b"", WSMsgType.CLOSE, code=code), Frame(b"too late"))
    sent = one.take()
    assert [each for each in sent if each[0] == "close"] == [("close", answer, b"")]
    assert sent[1] == ("disconnect",)
    one.socket.on_ws_disconnected(cast(Any, one.transport))
    assert (one.stream.messages, one.stream.ended) == ([], [CLOSED])


@in_loop
async def test_an_answer_to_our_own_close_is_not_answered() -> None:
    one = Peer()
    await one.socket.close(1000, "the call is over")
    one.send(Frame(b"", WSMsgType.CLOSE, code=WSCloseCode.OK))
    assert one.take() == [("close", 1000, b"the call is over"), ("disconnect",)]


@in_loop
async def test_pings_are_answered_and_pongs_are_not() -> None:
    one = Peer()
    one.send(Frame(b"1", WSMsgType.PING), Frame(b"2", WSMsgType.PONG), Frame(b"", WSMsgType.PING))
    assert one.take() == [("pong", b"1"), ("pong", b"")]
    assert one.stream.messages == []


@in_loop
async def test_after_a_flood_the_rest_of_what_was_read_is_thrown_away_unseen() -> None:
    one = Peer()
    for _ in range(one.socket.most_at_once + 5):
        one.send(Frame(b"", WSMsgType.PONG))
    assert one.stream.ended == ["the peer sends too much at once"]
    assert one.transport.underlying_transport.told[-1] == "abort"
    run = one.socket._run
    one.send(Frame(b"late"), Frame(b"", WSMsgType.CLOSE))
    assert (one.socket._run, one.stream.messages) == (run, [])


@in_loop
async def test_messages_before_anybody_takes_them_wait_and_reading_stops_before_there_are_many() -> None:
    one = Peer(starts=False)
    one.send(*(Frame(b"%d" % number) for number in range(64)))
    assert one.transport.underlying_transport.told[-1] == "pause"
    one.stream.start()
    await settle()
    assert len(one.stream.messages) == 64
    assert one.transport.underlying_transport.told[-1] == "resume"
