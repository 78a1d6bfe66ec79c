"""Streams of events for browsers (`text/event-stream`): their frames, their deadlines, and how many there may be.

A frame is encoded once, whoever sees it: each viewer is a place in frames that all of them share. One that does not
read costs nobody else anything, and is let go of after a while.

Vendor: html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final

from quart import Response

from callflow.contracts.printable import to_json
from callflow.timers import Timers
from callflow.web.responses import error_response


HEARTBEAT_SECONDS: Final = 15.0
HEARTBEAT: Final = b":\n\n"
_AGAIN: Final = b"retry: 1000\n\n"
"""Browsers come back after a second."""
_SEND_SECONDS: Final = 30.0
"""How long a viewer may take for what was sent."""
_MOST_VIEWERS: Final = 250


def frame(event: str, data: Any, number: int | None = None) -> bytes:
    """Encode one event. `number`: its id, to which a browser refers when it comes back; None: it has none."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {event}\ndata: ".encode() + to_json(data) + b"\n\n"


class Seats:
    """How many viewers there are, of all streams together."""

    def __init__(self, most: int = _MOST_VIEWERS) -> None:
        self._most = most
        self.taken = 0
        self.is_closed = False
        """The server stops: no stream begins any more."""

    def refusal(self) -> Response | None:
        """Return the answer where no further viewer is let in; None: there is room."""
        if self.is_closed:
            return error_response(503, "The server is stopping: try again in a moment.", Retry_After="1")
        if self.taken >= self._most:
            text = f"There are {self._most} viewers already, and no more are let in: close one, or try again later."
            return error_response(503, text, Retry_After="10")
        return None

    @contextmanager
    def seat(self) -> Iterator[bool]:
        """Hold a seat for one viewer. False: there is none left."""
        if self.is_closed or self.taken >= self._most:
            yield False
            return
        self.taken += 1
        try:
            yield True
        finally:
            self.taken -= 1


def event_stream(pieces: AsyncGenerator[bytes, None], seats: Seats) -> Response:
    """Make the answer that sends these pieces until they end, or the viewer is gone or reads nothing."""
    response = Response(_sent(pieces, seats), content_type="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"  # nginx, and others that follow it, would collect events
    response.timeout = None
    return response


async def _sent(pieces: AsyncGenerator[bytes, None], seats: Seats) -> AsyncIterator[bytes]:
    task, timers = asyncio.current_task(), Timers()
    assert task is not None
    with seats.seat() as is_let_in:
        if not is_let_in:
            await pieces.aclose()
            return
        try:
            yield _AGAIN
            async for piece in pieces:
                timers.start("send", _SEND_SECONDS, task.cancel)  # it is the task that sends the piece
                try:
                    yield piece
                finally:
                    timers.stop("send")
        finally:
            await pieces.aclose()


class Signal:
    """Wakes everybody who waits for something new."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake everybody who waits."""
        self._event.set()
        self._event = asyncio.Event()

    def waiting(self) -> asyncio.Event:
        """Return what is set with the next news: to be taken before one looks whether there are any."""
        return self._event


async def news(event: asyncio.Event) -> bool:
    """Wait until it is set. False: nothing came for so long that a heartbeat is due."""
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            await event.wait()
    except TimeoutError:
        return False
    return True
