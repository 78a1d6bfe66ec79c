"""A media socket that `websockets` reads: from bytes to messages, however they come, and what it writes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.media.direct_socket import PROTOCOL_ERROR, TOO_LARGE
from callflow.media.websocket import CLOSED, MOST_MESSAGE
from callflow.media.websockets_socket import WebsocketsSocket
from tests.in_loop import in_loop, settle
from tests.media.wires import Stream, Wire, frame


REQUEST = (
    b"GET /call/x HTTP/1.1\r\nHost: phone.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The answer to that key (RFC 6455, section 1.3)."""


class Peer:
    """A connection with its handshake done, unless it is not wanted."""

    def __init__(self, *, handshake: bool = True, starts: bool = True) -> None:
        self.socket, self.wire = WebsocketsSocket(ping_seconds=0), Wire()
        self.socket.connection_made(self.wire.as_transport())
        self.stream = Stream(self.socket)
        if handshake:
            self.send(REQUEST)
            self.answer = self.wire.take()
        if starts:
            self.stream.start()

    def send(self, data: bytes) -> None:
        """Let the loop read these bytes, as many at once as there is room for."""
        room = self.socket.get_buffer(-1)
        for at in range(0, len(data), len(room)):
            piece = data[at : at + len(room)]
            room[: len(piece)] = piece
            self.socket.buffer_updated(len(piece))


@in_loop
async def test_a_handshake_is_answered_whole_or_in_single_bytes() -> None:
    one, other = Peer(), Peer(handshake=False)
    assert one.answer.startswith(b"HTTP/1.1 101 ")
    assert ACCEPT in one.answer
    assert one.socket.connected.done()
    for at in range(len(REQUEST)):
        assert not other.socket.connected.done()
        other.send(REQUEST[at : at + 1])
    assert ACCEPT in other.wire.take()
    assert other.socket.connected.done()


@pytest.mark.parametrize(
    "request_",
    [REQUEST.replace(b"Upgrade: websocket\r\n", b""), REQUEST.replace(b"Version: 13", b"Version: 8"),
     REQUEST.replace(b"GET", b"POST"), b"\x16\x03\x01\x00\xff" * 20 + b"\r\n", b"\r\n\r\n"],
    ids=["no upgrade", "another version", "another method", "TLS", "nothing"],
)  # fmt: skip
@in_loop
async def test_what_is_no_handshake_opens_nothing(request_: bytes) -> None:
    one = Peer(handshake=False, starts=False)
    one.send(request_)
    one.socket.put("too early")
    assert not one.socket.connected.done()
    assert b"101" not in one.wire.take().partition(b"\r\n")[0]
    assert one.wire.told[-1] in ("close", "eof")
    one.socket.connection_lost(None)
    assert isinstance(one.socket.connected.exception(), ConnectionError)


@in_loop
async def test_what_is_put_is_one_text_frame() -> None:
    one = Peer()
    for text in ("hello", "", "\u00fcber", "x" * 200, "x" * 70_000):
        one.socket.put(text)
        assert one.wire.take() == frame(1, text.encode(), mask=None)


@in_loop
async def test_a_ping_is_answered_with_what_it_holds_once() -> None:
    one = Peer()
    one.send(frame(9, b"are you there") + frame(1, b"a"))
    assert one.wire.take() == frame(10, b"are you there", mask=None)
    assert one.stream.messages == ["a"]


@in_loop
async def test_a_close_is_answered_with_its_code_and_ends_the_connection() -> None:
    one = Peer()
    one.send(frame(8, b"\x03\xe9bye") + frame(1, b"too late"))
    assert one.wire.take()[:4] == b"\x88\x05\x03\xe9"
    assert one.wire.told[-1] == "close"
    one.socket.put("too late")
    assert one.wire.take() == b""
    one.socket.connection_lost(None)
    one.socket.connection_lost(None)
    assert (one.stream.messages, one.stream.ended) == ([], [CLOSED])


@in_loop
async def test_our_close_is_sent_once_and_nothing_is_taken_after_it() -> None:
    one = Peer()
    await one.socket.close(1000, "\u00fc" * 100)
    await one.socket.close(1000, "again")
    written = one.wire.take()
    assert written[:1] == b"\x88"
    assert len(written) <= 4 + 123, "a close frame has at most 125 bytes (RFC 6455, section 5.5)"
    assert written[4:].decode() == "\u00fc" * 50
    one.send(frame(1, b"late"))
    assert one.stream.messages == []
    one.socket.connection_lost(None)
    assert one.stream.ended == [CLOSED]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(1, b"a", mask=None), PROTOCOL_ERROR),
        (frame(3, b"a"), PROTOCOL_ERROR),
        (frame(9, b"x" * 126), PROTOCOL_ERROR),
        (frame(9, b"x", fin=False), PROTOCOL_ERROR),
        (frame(0, b"a"), PROTOCOL_ERROR),
        (frame(1, b"a", fin=False) + frame(1, b"b"), PROTOCOL_ERROR),
        (frame(1, b"\xff"), 1007),
        (frame(1, b"\xc3", fin=False) + frame(0, b"\x28"), 1007),
        (b"\x81\xff" + b"\x7f" * 8 + b"mask", TOO_LARGE),
    ],
    ids=["unmasked", "no such kind", "a ping too large", "half a ping", "out of place", "one in another", "no UTF-8",
         "no UTF-8 in pieces", "too large"],
)  # fmt: skip
@in_loop
async def test_what_breaks_the_protocol_is_told_to_the_peer_and_ends_the_stream_once(sent: bytes, code: int) -> None:
    one = Peer()
    one.send(sent)
    one.send(frame(1, b"and on"))
    one.socket.connection_lost(None)
    assert one.wire.take()[2:4] == code.to_bytes(2)
    assert (one.stream.messages, one.stream.ended) == ([], [CLOSED])


@in_loop
async def test_the_pieces_of_a_message_are_bounded_together() -> None:
    one = Peer()
    piece = bytes(MOST_MESSAGE // 2 + 1)
    one.send(frame(2, piece, fin=False, mask=bytes(4)))
    one.send(frame(0, piece, fin=False, mask=bytes(4)))
    assert one.wire.take()[2:4] == TOO_LARGE.to_bytes(2)
    assert one.stream.ended == [CLOSED]


@in_loop
async def test_a_peer_that_does_not_read_is_let_go_when_too_much_waits() -> None:
    one = Peer()
    one.wire.waiting = 2 << 20
    one.socket.put("it may only be slow to begin")
    assert one.stream.ended == []
    one.socket.pause_writing()
    one.socket.put("x")
    assert (one.stream.ended, one.wire.told[-1]) == (["the peer does not read"], "abort")


@in_loop
async def test_an_end_before_anybody_takes_messages_is_told_then() -> None:
    one = Peer(starts=False)
    one.send(frame(1, b"a"))
    one.socket.connection_lost(None)
    one.stream.start()
    await settle()
    assert (one.stream.messages, one.stream.ended) == (["a"], [CLOSED])


def test_messages_are_the_same_however_their_bytes_come() -> None:
    asyncio.run(_however_they_come())


async def _however_they_come() -> None:
    texts = st.text(max_size=20)

    @settings(max_examples=20)
    @given(st.lists(st.tuples(texts, st.integers(1, 3)), max_size=6), st.integers(1, 60))
    def check(messages: list[tuple[str, int]], size: int) -> None:
        one, data = Peer(), b""
        for text, parts in messages:
            whole = text.encode()
            step = len(whole) // parts + 1
            pieces = [whole[at : at + step] for at in range(0, max(len(whole), 1), step)]
            data += b"".join(frame(0 if at else 1, piece, fin=at == len(pieces) - 1) for at, piece in enumerate(pieces))
        for at in range(0, len(data), size):
            one.send(data[at : at + size])
        while one.socket._has_turn:
            one.socket._next_turn()
        assert one.stream.messages == [text for text, _ in messages]
        assert one.stream.ended == []

    check()
