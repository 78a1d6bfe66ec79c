"""HTTP/1.1 as the listeners speak it, on Hypercorn's protocol without a socket."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import Any
from unittest import mock

import h11
import h11._abnf
import h11._readers
import pytest
from hypercorn.config import Config
from hypercorn.events import RawData
from hypercorn.typing import ConnectionState
from hypothesis import given
from hypothesis import strategies as st

from callflow.web.http1 import StrictHttp1, install


def answered(request: bytes) -> tuple[bytes, list[Any]]:
    """What is sent to whoever sends that, and the streams that were opened for it."""
    sent: list[bytes] = []
    opened: list[Any] = []

    async def send(event: Any) -> None:
        if isinstance(event, RawData):
            sent.append(event.data)

    class Protocol(StrictHttp1):
        async def _create_stream(self, request: Any) -> None:
            await super()._create_stream(request)
            opened.append(self.stream)

    async def main() -> None:
        context = mock.Mock(spec_set=["event_class", "mark_request", "terminate", "terminated", "time"])
        context.mark_request = mock.AsyncMock()
        group = mock.Mock(spawn_app=mock.AsyncMock(return_value=mock.AsyncMock()))
        config = Config()
        config.include_server_header = False
        state: Any = ConnectionState({})
        protocol = Protocol(mock.Mock(), config, context, group, state, False, None, None, send)
        handling = asyncio.create_task(protocol.handle(RawData(request)))
        done, _ = await asyncio.wait({handling}, timeout=0.2)
        for task in done:
            task.result()
        handling.cancel()
        await asyncio.gather(handling, return_exceptions=True)

    asyncio.run(main())
    return b"".join(sent), opened


def request(*lines: str, method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} / HTTP/1.1", "Host: localhost", *lines, "", "")).encode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("Content-Length: 1", "Transfer-Encoding: chunked", method="POST"), 400),
        (request(*(f"X-{number}: 1" for number in range(100))), 431),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
    ],
)
def test_what_is_not_one_plain_request_is_refused_in_one_sentence(sent: bytes, status: int) -> None:
    answer, opened = answered(sent)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b'{"error": "' in answer
    assert b"connection: close" in answer.lower()
    assert opened == []


def test_what_is_no_header_is_refused_in_a_time_that_grows_with_its_length_alone() -> None:
    install()

    def seconds(sent: bytes, blanks: int) -> float:
        began = time.process_time()
        for _ in range(20):
            one = h11.Connection(h11.SERVER, max_incomplete_event_size=16384)
            one.receive_data(sent + b" " * blanks + b"\0\n\r\n\r\n")
            with contextlib.suppress(h11.RemoteProtocolError):
                while one.next_event() is not h11.NEED_DATA:
                    pass
            assert one.their_state is h11.ERROR
        return time.process_time() - began

    chunk = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;"
    trailers = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx:"
    for sent in (b"GET / HTTP/1.1\r\nHost: a\r\nx:", b"GET / HTTP/1.1\r\nHost: a\r\nx: y", trailers, chunk):
        assert min(seconds(sent, 12_000) for _ in range(3)) < 30 * min(seconds(sent, 100) for _ in range(3))


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        ("/a?b=c", "/a", b"b=c", b"localhost"),
        ("http://example.org/a?b=c", "/a", b"b=c", b"example.org"),
        ("HTTPS://example.org:8443/a/b", "/a/b", b"", b"example.org:8443"),
        ("http://[::1]:80", "/", b"", b"[::1]:80"),
        ("http://example.org?b=c", "/", b"b=c", b"example.org"),
        ("http://example.org//a", "//a", b"", b"example.org"),
        ("http://user:word@example.org/a", None, b"", b"localhost"),
        ("http:///a", None, b"", b"localhost"),
        ("ftp://example.org/a", None, b"", b"localhost"),
    ],
)
@pytest.mark.parametrize(
    "more",
    [
        (),
        ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {'A' * 22}=="),
    ],
)
def test_a_target_in_the_absolute_form_is_one_in_the_origin_form_of_the_host_that_it_names(
    target: str, path: str | None, query: bytes, host: bytes, more: tuple[str, ...]
) -> None:
    """RFC 9112, section 3.2.2: a server must accept it, and not look at the header."""
    _, (stream,) = answered(request(*more).replace(b" / ", f" {target} ".encode()))
    scope = stream.scope
    assert (scope["path"], scope["query_string"]) == (path or target, query)
    assert scope["raw_path"] == (path or target).encode()
    assert [value for name, value in scope["headers"] if name == b"host"] == [host]
    assert scope["type"] == ("websocket" if more else "http")


PIECES = st.sampled_from([b"a", b" ", b"\t", b":", b"\0", b"\xff", b"-", b"(", b"\x0b"])


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_a_header_is_read_as_h11_reads_it(line: bytes) -> None:
    install()
    theirs = re.compile(h11._abnf.header_field.encode()).fullmatch(line)
    ours = h11._readers.header_field_re.fullmatch(line)
    assert (theirs and theirs.groupdict()) == (ours and ours.groupdict())


@given(st.lists(st.sampled_from([b"5", b"f", b";", b" ", b"\t", b"a=1", b"\0"]), max_size=8).map(b"".join))
def test_the_head_of_a_chunk_is_read_as_h11_reads_it(line: bytes) -> None:
    install()
    theirs = re.compile(h11._abnf.chunk_header.encode()).fullmatch(line + b"\r\n")
    ours = h11._readers.chunk_header_re.fullmatch(line + b"\r\n")
    assert (theirs is None) == (ours is None)
    assert theirs is None or ours is None or theirs["chunk_size"] == ours["chunk_size"]


def test_a_head_is_not_longer_because_it_came_whole() -> None:
    answer, opened = answered(request(*(f"X-{number}: {'y' * 900}" for number in range(60))))
    assert (answer.split(b" ")[1], opened) == (b"431", [])


def test_a_head_is_refused_without_a_body() -> None:
    answer, _ = answered(request("Content-Length: 1", "Transfer-Encoding: chunked", method="HEAD"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\n")


def test_a_plain_request_is_let_through() -> None:
    answer, opened = answered(request())
    assert (answer, len(opened)) == (b"", 1)


def test_websocket_messages_are_not_compressed() -> None:
    _, opened = answered(
        request(
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Extensions: permessage-deflate",
        )
    )
    assert not opened[0].handshake.extensions
