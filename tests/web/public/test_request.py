"""What a carrier's request is: byte for byte as it came, under the address that the carrier used."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callflow.web.public import request
from callflow.web.public.address import PublicAddress
from callflow.web.public.request import error_response, read_request, read_to_the_end, target_of
from tests.web.asgi import scope


def test_headers_are_known_by_lower_case_names_and_the_target_is_left_as_it_came() -> None:
    asked = scope("POST", "/a%20b?x=%2B1&y", [("Host", "phone.example"), ("X-Forwarded-Proto", "https, http")])
    read = read_request(asked, "POST", b"body", PublicAddress("", "http://fallback"))
    assert read.headers["x-forwarded-proto"] == "https, http"
    assert read.url == "https://phone.example/a%20b?x=%2B1&y"
    assert (read.method, read.body, read.query) == ("POST", b"body", "x=%2B1&y")
    assert target_of(scope("GET", "/a")) == "/a"


@pytest.mark.parametrize(
    ("address", "url"), [("https://p.example", "wss://p.example/call/t"), ("http://p", "ws://p/call/t")]
)
def test_a_media_socket_has_a_websocket_address(address: str, url: str) -> None:
    asked = scope("GET", "/call/t", kind="websocket")
    assert read_request(asked, "GET", b"", PublicAddress(address, ""), socket=True).url == url


@pytest.mark.parametrize(("status", "retry"), [(503, "1"), (403, None), (400, None)])
def test_an_error_says_when_to_come_again_where_that_helps(status: int, retry: str | None) -> None:
    async def main() -> bytes:
        response = error_response(status, "x" * 1000)
        assert (response.status_code, response.headers.get("Retry-After")) == (status, retry)
        return bytes(await response.get_data(as_text=False))

    assert asyncio.run(main()) == b'{"success":false,"error":"' + b"x" * 300 + b'"}'


async def test_an_answer_waits_until_the_request_is_read_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "_LINGER_SECONDS", 0.03)
    sent: list[str] = []
    parts = [{"type": "http.request", "more_body": True}, {"type": "http.request", "more_body": False}]

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    receiving, sending = read_to_the_end(receive, send)
    await receiving()
    answering = asyncio.create_task(sending({"type": "http.response.start"}))
    await asyncio.sleep(0.005)
    assert sent == []
    await receiving()
    await answering
    assert sent == ["http.response.start"]

    _, sending = read_to_the_end(receive, send)
    await asyncio.wait_for(sending({"type": "http.response.start"}), 2)
    assert len(sent) == 2, "a sender that never ends loses the answer"
