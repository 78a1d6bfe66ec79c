"""Files of recordings: only from hosts that may have them; keys go to the API's own host alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from callflow.contracts.errors import CarrierError
from carriers.common import downloads
from carriers.common.downloads import Downloads


SOUND = bytes(range(256)) * 1000
AUTH = ("AC1", "the-password")


def whole(headers: dict[str, str]) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(SOUND) + SOUND


def redirect(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


@dataclass
class Server:
    """An HTTP server on a loopback address, which notes the headers of each request."""

    answer: Callable[[dict[str, str]], bytes]
    port: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    hangs: bool = False

    @property
    def netloc(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        self.asked.append(headers)
        writer.write(self.answer(headers))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            if self.hangs:
                await reader.read()  # until the other side goes
        writer.close()


@contextlib.asynccontextmanager
async def server(answer: Callable[[dict[str, str]], bytes] = whole, *, hangs: bool = False) -> AsyncIterator[Server]:
    one = Server(answer, hangs=hangs)
    listening = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield one


@contextlib.asynccontextmanager
async def files(api: Server, *hosts: str, seconds: float = 3.0) -> AsyncIterator[Downloads]:
    made = Downloads(f"http://{api.netloc}", hosts, auth=AUTH, seconds=seconds)
    try:
        yield made
    finally:
        await made.close()


async def read(made: Downloads, url: str, byte_range: str = "") -> bytes:
    download = await made.open(url, byte_range)
    try:
        return b"".join([piece async for piece in download.pieces])
    finally:
        await download.pieces.aclose()


async def test_a_file_of_the_apis_own_host_is_asked_for_with_the_keys() -> None:
    async with server() as api, files(api) as made:
        assert await read(made, f"http://{api.netloc}/a.mp3", "bytes=0-9") == SOUND[:10]
        (asked,) = api.asked
        assert asked["authorization"].startswith("Basic ")
        assert asked["range"] == "bytes=0-9"


async def test_a_redirect_to_an_allowed_host_is_followed_without_the_keys() -> None:
    async with (
        server() as store,
        server(lambda _: redirect(f"http://{store.netloc}/x?X-Amz-Signature=s")) as api,
        files(api, store.netloc) as made,
    ):
        assert await read(made, f"http://{api.netloc}/a.mp3", "bytes=5-") == SOUND[5:]
        (asked,) = store.asked
        assert "authorization" not in asked
        assert asked["range"] == "bytes=5-", "the range is lost on the way"


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        ("bytes=0-9", 206, 0, 9), ("bytes=100000-199999", 206, 100000, 199999), ("bytes=-500", 206, 255500, 255999),
        ("bytes=255999-300000", 206, 255999, 255999), ("bytes=256000-", 416, 0, 0), ("bytes=9-5", 416, 0, 0),
        ("bytes=-0", 416, 0, 0), ("bytes=-", 200, 0, 255999), ("", 200, 0, 255999),
    ],
)  # fmt: skip
async def test_the_range_of_a_whole_file_that_comes_anyhow(asked: str, status: int, first: int, last: int) -> None:
    async with server() as api, files(api) as made:
        download = await made.open(f"http://{api.netloc}/a.mp3", asked)
        assert download.status == status
        if status == 206:
            assert download.headers["content-range"] == f"bytes {first}-{last}/{len(SOUND)}"
        if status != 416:
            assert b"".join([piece async for piece in download.pieces]) == SOUND[first : last + 1]
            assert download.headers["content-length"] == str(last + 1 - first)
        await download.pieces.aclose()


async def test_a_file_of_unknown_length_comes_whole() -> None:
    async with server(lambda _: b"HTTP/1.1 200 OK\r\n\r\n" + SOUND) as api, files(api) as made:
        assert await read(made, f"http://{api.netloc}/a.mp3", "bytes=0-9") == SOUND


async def test_another_host_gets_no_request_at_all() -> None:
    async with (
        server() as stranger,
        server(lambda _: redirect(f"http://{stranger.netloc}/x?key=s3cret")) as api,
        files(api, ".example.com") as made,
    ):
        with pytest.raises(CarrierError, match="not allowed") as refused:
            await read(made, f"http://{api.netloc}/a.mp3")
        assert stranger.asked == []
        assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example.com/a", "https://example.com.evil.test/a", "https://evilexample.com/a",
        "https://user:word@files.example.com/a", "https://files.example.com:8443/a", "ftp://files.example.com/a",
        "http://169.254.169.254/a", "http://localhost/a", "http://[::1]/a", "https://[broken/a", "", "/a", "file:///etc",
        "https://x@127.0.0.1/a",
    ],
)  # fmt: skip
async def test_an_address_that_is_not_quite_allowed(url: str) -> None:
    async with server() as api, files(api, ".example.com") as made:
        with pytest.raises(CarrierError):
            await made.open(url)
        assert api.asked == []


async def test_redirects_have_an_end() -> None:
    async with server(lambda _: redirect("/again")) as api, files(api) as made:
        with pytest.raises(CarrierError, match="without end"):
            await made.open(f"http://{api.netloc}/a")
        assert len(api.asked) == 4


@pytest.mark.parametrize(("status", "gone"), [(404, True), (410, True), (403, False), (500, False)])
async def test_a_refusal_says_its_status(status: int, gone: bool) -> None:
    answer = f"HTTP/1.1 {status} No\r\nContent-Length: 6\r\n\r\ns3cret".encode()
    async with server(lambda _: answer) as api, files(api) as made:
        with pytest.raises(CarrierError, match=f"HTTP {status}") as refused:
            await made.open(f"http://{api.netloc}/a")
        assert refused.value.gone == gone
        assert "s3cret" not in str(refused.value)


async def test_a_carrier_that_never_answers_is_given_up() -> None:
    async with server(lambda _: b"", hangs=True) as api, files(api, seconds=0.2) as made:
        with pytest.raises(CarrierError, match="no answer"):
            await made.open(f"http://{api.netloc}/a")


async def test_a_file_that_stops_in_the_middle_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_PIECE_SECONDS", 0.2)
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    async with server(lambda _: half, hangs=True) as api, files(api) as made:
        with pytest.raises(CarrierError, match="too slow"):
            await read(made, f"http://{api.netloc}/a")


async def test_what_nobody_reads_to_its_end_leaves_room_for_others() -> None:
    async with server() as api, files(api) as made:
        for _ in range(30):
            download = await made.open(f"http://{api.netloc}/a")
            await download.pieces.aclose()


async def test_what_one_host_gives_as_a_cookie_goes_to_no_other() -> None:
    def with_cookie(headers: dict[str, str]) -> bytes:
        return redirect(f"http://{store.netloc}/x").replace(b"\r\n\r\n", b"\r\nSet-Cookie: session=s3cret\r\n\r\n")

    async with server() as store, server(with_cookie) as api, files(api, store.netloc) as made:
        for _ in range(2):
            await read(made, f"http://{api.netloc}/a.mp3")
        assert all("cookie" not in asked for asked in [*api.asked, *store.asked])
