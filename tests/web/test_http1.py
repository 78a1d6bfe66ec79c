"""HTTP/1.1 as the listeners speak it, on Hypercorn's protocol without a socket."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

import pytest
from hypercorn.config import Config
from hypercorn.events import RawData
from hypercorn.typing import ConnectionState

from callflow.web.http1 import StrictHttp1


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
