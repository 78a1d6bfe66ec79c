"""Streams of events: frames that one line cannot leave, how many viewers there are, and those that read nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.web.console.live import sse
from callflow.web.console.live.sse import Seats, Signal, event_stream, frame, news
from tests.web.asgi import scope
from tests.web.console.bare import bare_app, request


@given(st.text(st.sampled_from("a\r\n\x00\x85\u2028:\ud800é"), max_size=12), st.none() | st.integers(0, 2**53))
def test_a_frame_is_one_event_whatever_it_holds(text: str, number: int | None) -> None:
    """A line ends at CR, LF or both, and an event at an empty line."""
    encoded = frame("entry", {"text": text}, number)
    assert encoded.endswith(b"\n\n")
    assert b"\r" not in encoded
    lines = encoded[:-2].split(b"\n")
    assert lines[:-1] == [*([f"id: {number}".encode()] if number is not None else []), b"event: entry"]
    assert json.loads(lines[-1].removeprefix(b"data: "))["text"] == text


async def pieces(*given_: bytes, closed: list[str] | None = None) -> AsyncGenerator[bytes, None]:
    try:
        for each in given_:
            yield each
    finally:
        if closed is not None:
            closed.append("closed")


# Seats


def test_there_are_so_many_seats_and_each_is_given_back() -> None:
    seats = Seats(2)
    with seats.seat() as one, seats.seat() as two:
        assert (one, two, seats.taken) == (True, True, 2)
        with seats.seat() as three:
            assert (three, seats.taken) == (False, 2)
        assert seats.taken == 2, "who had none gives none back"
    assert seats.taken == 0
    with contextlib.suppress(ZeroDivisionError), seats.seat():
        raise ZeroDivisionError
    assert seats.taken == 0


def test_who_finds_no_seat_is_told_when_to_come_back() -> None:
    async def main() -> None:
        async with bare_app().app_context():
            seats = Seats(1)
            assert seats.refusal() is None
            with seats.seat():
                full = seats.refusal()
                assert full is not None
                assert (full.status_code, full.headers["Retry-After"]) == (503, "10")
            assert seats.refusal() is None
            seats.is_closed = True
            stopping = seats.refusal()
            assert stopping is not None
            assert (stopping.status_code, stopping.headers["Retry-After"]) == (503, "1")
            with seats.seat() as is_let_in:
                assert not is_let_in

    asyncio.run(main())


# Streams


def streamed(seats: Seats, made: AsyncGenerator[bytes, None]) -> Any:
    app = bare_app()

    @app.get("/x")
    async def route() -> Any:
        return event_stream(made, seats)

    return asyncio.run(request(app, "GET", "/x"))


def test_a_stream_begins_with_when_to_come_back_and_ends_with_its_pieces() -> None:
    seats, closed = Seats(), list[str]()
    answer = streamed(seats, pieces(b"one", b"two", closed=closed))
    assert answer.body == b"retry: 1000\n\nonetwo"
    assert (answer.headers["content-type"], answer.headers["x-accel-buffering"]) == ("text/event-stream", "no")
    assert answer.headers["cache-control"] == "no-store"
    assert (seats.taken, closed) == (0, ["closed"])


def test_who_comes_when_the_last_seat_has_just_been_taken_gets_an_empty_stream() -> None:
    seats = Seats(0)
    answer = streamed(seats, pieces(b"one"))
    assert (answer.status, answer.body, seats.taken) == (200, b"", 0)


def test_a_stream_that_fails_gives_its_seat_back() -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        yield b"one"
        raise ZeroDivisionError

    seats = Seats()
    with contextlib.suppress(ZeroDivisionError):
        streamed(seats, broken())
    assert seats.taken == 0


def test_a_viewer_who_reads_nothing_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_SEND_SECONDS", 0.0)

    async def main() -> None:
        app, seats, closed = bare_app(), Seats(), list[str]()

        @app.get("/x")
        async def route() -> Any:
            return event_stream(pieces(b"one", b"two", closed=closed), seats)

        async def receive() -> Any:
            if receive.asked:  # type: ignore[attr-defined]
                await asyncio.Event().wait()
            receive.asked = True  # type: ignore[attr-defined]
            return {"type": "http.request", "body": b"", "more_body": False}

        receive.asked = False  # type: ignore[attr-defined]

        async def send(message: Any) -> None:
            if b"one" in message.get("body", b""):
                await asyncio.Event().wait()

        async with asyncio.timeout(5):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.create_task(cast(Any, app)(scope("GET", "/x", [("host", "h")]), receive, send))
        assert (seats.taken, closed) == (0, ["closed"])

    asyncio.run(main())


# News


def test_a_signal_wakes_all_who_wait_and_what_is_taken_before_a_look_misses_nothing() -> None:
    async def main() -> None:
        signal = Signal()
        first = signal.waiting()
        assert signal.waiting() is first
        signal.set()
        assert await news(first), "it came between the look and the wait"
        later = signal.waiting()
        assert later is not first
        waiting = [asyncio.create_task(news(later)) for _ in range(3)]
        await asyncio.sleep(0)
        signal.set()
        assert await asyncio.gather(*waiting) == [True] * 3

    asyncio.run(main())


def test_without_news_a_heartbeat_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.0)
    assert asyncio.run(news(asyncio.Event())) is False
    assert sse.HEARTBEAT.startswith(b":"), "browsers leave out a line that begins so"
