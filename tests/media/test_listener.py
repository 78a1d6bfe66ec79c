"""Who serves a connection is decided by its first request, which is left unread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picows.picows import _parse_http_request, _validate_upgrade_request  # type: ignore[attr-defined]
from websockets.http11 import Request
from websockets.server import ServerProtocol

from callflow import runtime
from callflow.media import listener as module
from callflow.media.listener import Handshake, Passing, SplitListener, Waits, parse


PATHS = ("/media-stream/", "/call/")
HANDSHAKE = (
    b"GET /media-stream/token?x=1 HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
WEBHOOK = b"POST /webhooks HTTP/1.1\r\nHost: example.org\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Served:
    """What was given to the media server and to the HTTP server, with the bytes that are still to be read."""

    port: int = 0
    media: list[tuple[Handshake, bytes]] = field(default_factory=list)
    http: list[bytes] = field(default_factory=list)


@contextlib.asynccontextmanager
async def listening(passing: Passing | None = None) -> AsyncIterator[Served]:
    served = Served()

    async def read(connection: socket.socket) -> bytes:
        with connection:
            return await asyncio.get_running_loop().sock_recv(connection, 1 << 16)

    async def media(connection: socket.socket, handshake: Handshake) -> None:
        served.media.append((handshake, await read(connection)))

    async def http(connection: socket.socket, waits: Waits) -> None:
        served.http.append(await read(connection))

    bound = runtime.bind("127.0.0.1", 0)
    served.port = bound.getsockname()[1]
    listener = SplitListener(bound, paths=PATHS, media=media, http=http, passing=passing)
    listener.open(100)
    try:
        yield served
    finally:
        await listener.close(1)


async def said(served: Served, *pieces: bytes) -> None:
    """Send these pieces, each when the one before has arrived, and wait until the connection is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(ConnectionError):  # what is closed with unread bytes is reset
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_a_handshake_goes_to_the_media_server_unread_and_everything_else_to_http() -> None:
    async with listening() as served:
        await said(served, HANDSHAKE)
        await said(served, WEBHOOK)
        await said(served, HANDSHAKE.replace(b"/media-stream/", b"/elsewhere/"))
    ((handshake, unread),) = served.media
    assert (handshake.target, unread) == (b"/media-stream/token?x=1", HANDSHAKE)
    assert dict(handshake.headers)[b"sec-websocket-version"] == b"13"
    assert served.http == [WEBHOOK, HANDSHAKE.replace(b"/media-stream/", b"/elsewhere/")]


async def test_a_handshake_that_comes_byte_by_byte_is_waited_for() -> None:
    async with listening() as served:
        await said(served, *(HANDSHAKE[i : i + 1] for i in range(len(HANDSHAKE))))
        await said(served, b"G", b"ET /", b"media-stranger HTTP/1.1\r\n\r\n")
    assert [unread for _, unread in served.media] == [HANDSHAKE]
    assert len(served.http) == 1


@pytest.mark.parametrize("start", [b"", b"http://a", b"HTTPS://[::1]:8080", b"http://calls.example.org:80"])
async def test_a_request_that_names_a_worker_is_passed_on_in_whichever_form_it_names_it(start: bytes) -> None:
    passed: list[str] = []

    def passing(connection: socket.socket, name: str) -> bool:
        passed.append(name)
        connection.close()
        return True

    async with listening(passing) as served:
        request = b"POST " + start + b"/nodes/w1/webhooks HTTP/1.1\r\n\r\n"
        await said(served, request)
        await said(served, *(request[i : i + 1] for i in range(len(request))))
        assert passed == ["w1", "w1"]
        elsewhere = [b"/webhooks", b"?/nodes/w1/", b"/x/nodes/w1/", b"/nodes/W1/"]
        for other in (start + each for each in elsewhere if start or each[:1] == b"/"):
            await said(served, b"GET " + other + b" HTTP/1.1\r\n\r\n")
        await said(served, b"GET http://user@a/nodes/w1/ HTTP/1.1\r\n\r\n")
        await said(served, b"GET ftp://a/nodes/w1/ HTTP/1.1\r\n\r\n")
    assert passed == ["w1", "w1"]


async def test_who_says_nothing_or_never_ends_a_handshake_is_let_go_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HEAD_SECONDS", 0.1)
    async with listening() as served:
        await said(served)
        await said(served, HANDSHAKE[:-2])
    assert (served.media, served.http) == ([], [])


@pytest.mark.parametrize("is_back", [True, False])
async def test_a_connection_waits_for_a_worker_that_takes_none_at_the_moment(
    monkeypatch: pytest.MonkeyPatch, is_back: bool
) -> None:
    """Its media socket would be refused anywhere else."""
    monkeypatch.setattr(module, "_BUSY_SECONDS", 0.05)
    tried = list[str]()

    def passing(connection: socket.socket, name: str) -> bool:
        tried.append(name)
        if not is_back or len(tried) < 3:
            raise BlockingIOError
        connection.close()
        return True

    async with listening(passing) as served:
        await said(served, WEBHOOK.replace(b"/webhooks", b"/nodes/w2/webhooks"))
    assert set(tried) == {"w2"}
    assert len(tried) == 3 if is_back else len(tried) > 3
    assert len(served.http) == (not is_back), "it is served where it came in once it has waited long enough"


@pytest.mark.e2e
async def test_an_unfinished_handshake_is_looked_at_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HEAD_SECONDS", 0.5)
    looked, peeked = 0, module._peeked

    async def counting(connection: socket.socket) -> bytes:
        nonlocal looked
        looked += 1
        return await peeked(connection)

    monkeypatch.setattr(module, "_peeked", counting)
    async with listening() as served:
        await said(served, b"GET /media-stream/token HTTP/1.1\r\n")
    assert 2 <= looked <= 9, "many such strangers would keep the loop from the calls"


@pytest.mark.parametrize("beginning", [b"", HANDSHAKE[:-2]], ids=["nothing", "an unfinished handshake"])
async def test_of_too_many_that_have_not_asked_the_oldest_goes_and_a_new_one_is_served(
    monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    """New ones were closed: whoever opened a thousand connections in five seconds kept the carriers out."""
    monkeypatch.setattr(module, "_MOST_UNFINISHED", 2)
    async with listening() as served:
        waiting = []
        for _ in range(3):
            waiting.append(await asyncio.open_connection("127.0.0.1", served.port))
            waiting[-1][1].write(beginning)
        with contextlib.suppress(ConnectionError):  # what is closed with unread bytes is reset
            assert await asyncio.wait_for(waiting[0][0].read(), 2) == b""
        waiting[0][1].close()
        await said(served, WEBHOOK)  # the oldest of the two goes
        waiting[2][1].write(HANDSHAKE[len(beginning) :])
        await waiting[2][0].read()
        for _, writer in waiting[1:]:
            writer.close()
    assert served.http == [WEBHOOK]
    assert [unread for _, unread in served.media] == [HANDSHAKE]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"GET /media", b"POST /media"),
        (b"HTTP/1.1\r\n", b"HTTP/1.0\r\n"),
        (b"HTTP/1.1\r\n", b"HTTP/1.1 \r\n"),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (b"Upgrade: websocket\r\n", b""),
        (b"Connection: Upgrade", b"Connection: close"),
        (b"Connection: Upgrade", b"Connection: keep-alive, Upgrade"),
        (b"Connection: Upgrade", b"Connection: keep-alive\r\nConnection: Upgrade"),
        (b"ZQ==", b"ZQ="),
        (b"ZQ==", b"ZR=="),
        (b"Host: example.org\r\n", b""),
        (b"Host: example.org\r\n", b"Host: example.org\r\nHost: example.com\r\n"),
        (b"Version: 13", b"Version: 8"),
        (b"Host:", b"Content-Length: 0\r\nHost:"),
        (b"Host:", b"Transfer-Encoding: chunked\r\nHost:"),
        (b"Host:", b"Expect: 100-continue\r\nHost:"),
        (b"Host:", b" folded\r\nHost:"),
        (b"Host:", b"no header\r\nHost:"),
        (b"Host:", b"a b: c\r\nHost:"),
        (b"Host:", b"x: \0\r\nHost:"),
        (b"Host:", b"x: \x7f\r\nHost:"),
        (b"Host:", b"x: y\r\n" * 101 + b"Host:"),
        (b"Host:", b"x: " + b"y" * 9000 + b"\r\nHost:"),
    ],
)
async def test_a_handshake_that_is_no_plain_one_is_for_the_http_server_to_judge(old: bytes, new: bytes) -> None:
    odd = HANDSHAKE.replace(old, new, 1)
    assert odd != HANDSHAKE
    async with listening() as served:
        await said(served, odd)
    assert (served.media, len(served.http)) == ([], 1)


def test_a_head_is_looked_at_in_a_time_that_grows_with_its_length_alone() -> None:
    def seconds(blanks: int) -> float:
        head = b"GET /media-stream/x HTTP/1.1\r\nA:" + b" " * blanks + b"\0"
        began = time.process_time()
        for _ in range(20):
            assert parse(head) is None
        return time.process_time() - began

    assert min(seconds(8000) for _ in range(3)) < 100 * min(seconds(200) for _ in range(3)) + 0.01


PIECES = st.sampled_from(
    [
        b"",
        b" ",
        b"\t",
        b"\n",
        b"\r\n",
        b":",
        b"\0",
        b"x: y\r\n",
        b"\xff",
        b"GET",
        b"host: b\r\n",
        b"%00",
        b"\x7f",
        b"=",
        b",",
        b"Connection: keep-alive\r\n",
    ]
)


@given(st.lists(st.tuples(st.integers(0, len(HANDSHAKE) - 5), PIECES, st.integers(0, 3)), max_size=3))
def test_what_is_taken_as_a_handshake_is_one_for_a_full_parser_too(changes: list[tuple[int, bytes, int]]) -> None:
    head = HANDSHAKE.removesuffix(b"\r\n\r\n")
    for at, piece, dropped in changes:
        head = head[:at] + piece + head[at + dropped :]
    head = head.partition(b"\r\n\r\n")[0]
    found = parse(head)
    if found is None:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head + b"\r\n\r\n")
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    assert (request.method, request.target) == (b"GET", found.target)
    assert list(request.headers) == found.headers
    # The libraries of media sockets take it, too: the call is claimed before they are asked.
    _validate_upgrade_request(_parse_http_request(head))
    core = ServerProtocol()
    core.receive_data(head + b"\r\n\r\n")
    (theirs,) = core.events_received()
    assert isinstance(theirs, Request)
    assert core.accept(theirs).status_code == 101
