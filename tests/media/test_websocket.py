"""A media socket under an ASGI server: what it receives, sends, and how often it says goodbye."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callflow.media.websocket import CLOSED, AsgiWire
from tests.in_loop import in_loop, settle


class Server:
    """An ASGI server with one connection."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[Any] = []
        self.messages: list[str | bytes] = []
        self.ended: list[str] = []
        self.wire = AsgiWire(self.incoming.get, self._send)

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    async def open(self) -> None:
        await self.wire.accept()
        self.wire.start(self.messages.append, self.ended.append, write_seconds=5.0)

    async def receive(self, *events: dict[str, Any]) -> None:
        for event in events:
            self.incoming.put_nowait(event)
        await settle()

    async def gone(self) -> None:
        await self.receive({"type": "websocket.disconnect", "code": 1006})

    def take(self) -> list[Any]:
        sent, self.sent = self.sent, []
        return sent


@in_loop
async def test_text_and_bytes_arrive_as_such_and_in_order() -> None:
    one = Server()
    await one.open()
    await one.receive(
        {"type": "websocket.receive", "text": "a", "bytes": None},
        {"type": "websocket.receive", "bytes": b"b"},
        {"type": "websocket.receive", "text": ""},
        {"type": "websocket.receive"},
        {"type": "websocket.receive", "text": "c"},
    )
    assert one.messages == ["a", b"b", "", b"", "c"]
    await one.gone()
    assert one.ended == [CLOSED]


@in_loop
async def test_what_is_put_is_sent_in_order_once_the_handshake_is_over() -> None:
    one = Server()
    one.wire.put("too early")
    await one.open()
    one.wire.put("a")
    one.wire.put("b", 160)
    await settle()
    assert one.take() == [
        {"type": "websocket.accept"},
        {"type": "websocket.send", "text": "a"},
        {"type": "websocket.send", "text": "b"},
    ]
    await one.gone()


@in_loop
async def test_a_handshake_that_is_refused_is_closed_before_it_was_accepted() -> None:
    one = Server()
    await one.wire.refuse()
    await one.wire.close(1000, "never opened")
    assert one.take() == [{"type": "websocket.close", "code": 1008, "reason": ""}]


@in_loop
async def test_it_is_closed_once_and_takes_nothing_any_more() -> None:
    one = Server()
    await one.open()
    one.take()
    await one.wire.close(1000, "the call is over")
    await one.wire.close(1001, "again")
    one.wire.put("too late")
    await one.receive({"type": "websocket.receive", "text": "too late"})
    assert one.take() == [{"type": "websocket.close", "code": 1000, "reason": "the call is over"}]
    assert (one.messages, one.ended) == ([], [])
    await one.gone()
    assert one.ended == [], "who closes it knows"


@in_loop
async def test_one_that_is_finished_takes_what_was_on_its_way_and_says_goodbye_once() -> None:
    one = Server()
    await one.wire.finish(1000, "never opened")
    await one.open()
    one.take()
    await one.wire.finish(1000, "elsewhere")
    one.wire.put("too late")
    await one.receive({"type": "websocket.receive", "text": "on its way"})
    await one.gone()
    await one.wire.close(1000, "again")
    assert one.take() == [{"type": "websocket.close", "code": 1000, "reason": "elsewhere"}]
    assert (one.messages, one.ended) == (["on its way"], [CLOSED])


@in_loop
async def test_frames_that_come_after_our_close_are_read_until_the_peer_is_gone() -> None:
    """A server whose queue is full of unread frames does not notice the peer's end."""
    one = Server()
    await one.open()
    await one.wire.close(1000, "")
    await one.receive(*({"type": "websocket.receive", "text": "x"} for _ in range(15)))
    assert one.incoming.empty()
    await one.gone()
    assert one.incoming.empty()


@in_loop
async def test_nothing_is_sent_to_a_peer_that_has_closed() -> None:
    one = Server()
    await one.open()
    one.take()
    await one.gone()
    await one.wire.close(1000, "")
    assert one.take() == []


@pytest.mark.parametrize("letter", ["x", "\u00fc", "\u4f60", "\U0001f600"])
@in_loop
async def test_the_reason_of_a_close_fits_its_frame_in_any_script(letter: str) -> None:
    """A close frame has room for 123 bytes of it (RFC 6455, section 5.5): a longer one is an error of the server."""
    one = Server()
    await one.open()
    await one.wire.close(1000, letter * 500)
    reason = one.take()[-1]["reason"]
    assert len(reason.encode()) <= 123
    assert reason == letter * len(reason) != ""
    await one.gone()
