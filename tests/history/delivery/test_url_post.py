"""Posting to an address: what of its answers counts, and that no error holds the address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from callflow.contracts.control import MOST_BYTES
from callflow.contracts.errors import ControlFailed
from callflow.history.delivery.url_post import UrlPost


URL = "https://control.example/key-in-the-path?token=secret"
Handler = Callable[[httpx.Request], httpx.Response]


class Whole(httpx.AsyncByteStream):
    """A body in pieces."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> Any:
        for each in self._pieces:
            if isinstance(each, Exception):
                raise each
            yield each


def post(handler: Handler) -> bytes:
    async def main() -> bytes:
        made = UrlPost(URL, 5.0, most_bytes=MOST_BYTES, failed=ControlFailed)
        headers = made._client.headers
        await made._client.aclose()
        client = made._client = httpx.AsyncClient(transport=httpx.MockTransport(handler), headers=headers)
        try:
            return await made(b'{"type": "turn"}', {"x-webhook-secret": "s"})
        finally:
            await made.close()
            assert client.is_closed

    return asyncio.run(main())


def raises(error: Exception) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    return handler


def test_what_is_posted_is_json_with_the_headers_that_were_given() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, stream=Whole(b'{"ev', b'ents": []}'))

    assert post(handler) == b'{"events": []}'
    (request,) = seen
    assert (request.method, str(request.url), request.content) == ("POST", URL, b'{"type": "turn"}')
    assert request.headers["x-webhook-secret"] == "s"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity", "an answer that unpacks to gigabytes is none"


@pytest.mark.parametrize("status", [301, 307, 400, 401, 429, 500])
def test_any_other_status_is_a_failure_and_no_redirect_is_followed(status: int) -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(status, headers={"location": "https://elsewhere.example/"}, stream=Whole(b""))

    with pytest.raises(ControlFailed) as failed:
        post(handler)
    assert str(failed.value) == f"HTTP {status}"
    assert asked == [URL]


@pytest.mark.parametrize("status", [200, 204, 299])
def test_every_success_counts(status: int) -> None:
    assert post(lambda _: httpx.Response(status, stream=Whole(b""))) == b""


def test_a_long_answer_is_not_read_to_its_end() -> None:
    piece = b"x" * (MOST_BYTES // 2)
    assert len(post(lambda _: httpx.Response(200, stream=Whole(piece, piece)))) == MOST_BYTES
    endless = Whole(piece, piece, b"x", AssertionError("read on"))
    with pytest.raises(ControlFailed, match="more than 256 kB"):
        post(lambda _: httpx.Response(200, stream=endless))


@pytest.mark.parametrize("error", [httpx.ConnectError(URL), httpx.ReadError(URL), httpx.RemoteProtocolError(URL)])
def test_no_error_holds_the_address(error: Exception) -> None:
    with pytest.raises(ControlFailed) as failed:
        post(raises(error))
    assert str(failed.value) == f"no answer ({type(error).__name__})"
    assert failed.value.__cause__ is None


@pytest.mark.parametrize("error", [httpx.ConnectTimeout(""), httpx.ReadTimeout(""), httpx.PoolTimeout("")])
def test_what_takes_too_long_is_late(error: Exception) -> None:
    with pytest.raises(TimeoutError):
        post(raises(error))


def test_an_answer_that_breaks_off_is_a_failure() -> None:
    with pytest.raises(ControlFailed, match="no answer"):
        post(lambda _: httpx.Response(200, stream=Whole(b"x", httpx.ReadError(URL))))
