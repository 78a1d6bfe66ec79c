"""The telephone of the page: a WebSocket on which one call is made, through an emulated carrier and its signed path.

Opening it rings. Binary messages are µ-law at 8 kHz, both ways. Text is JSON: from the page `{"type": "press",
"digit"}` and `{"type": "hangup"}`; to it `ringing` with the numbers, `answered`, and `over` with who has ended it. The
query may say which number is rung, `to`, and from which one, `from`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Protocol

from quart import Quart, Response, websocket

from callflow.contracts.bounded_json import read
from callflow.contracts.errors import OutOfBounds
from callflow.contracts.printable import to_json
from callflow.web.console.live.sse import Seats
from callflow.web.console.phone_mount import PhoneMount
from callflow.web.responses import json_response, query_parameters


log = logging.getLogger(__name__)

_MOST_CALLS: Final = 8
_MOST_AUDIO: Final = 8000
"""Bytes of a message: a second."""
_MOST_TEXT: Final = 200
_SEND_SECONDS: Final = 5.0
_DIGITS: Final = frozenset("0123456789*#")
_NUMBER: Final = re.compile(r"\+?[0-9]{3,15}")
_TRY_LATER, _NOT_HERE = 1013, 1008


class PhoneCall(Protocol):
    """One call that somebody makes from the page."""

    number: str
    to_number: str

    @property
    def is_answered(self) -> bool: ...

    @property
    def ended_by(self) -> str: ...

    def speak(self, ulaw: bytes) -> None: ...

    async def press(self, digit: str) -> None: ...

    async def hang_up(self) -> None: ...

    def heard(self) -> AsyncIterator[bytes]: ...


class PhoneLine(Protocol):
    """A line on which the page can ring this server."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What the page is told of it: `{"carrier", "to", "model", "numbers"}`."""

    @property
    def mount(self) -> PhoneMount | None: ...

    async def ring(self, to_number: str = "", from_number: str = "") -> PhoneCall: ...


def add_phone(app: Quart, line: Callable[[], PhoneLine | None], *, needs_token: bool = False) -> None:
    """Add the telephone to the app. `line`: returns None where there is none. `needs_token`: its calls cost money, and
    no token is set, without which nobody may ring."""
    seats = Seats(_MOST_CALLS)

    @app.get("/api/phone")
    @query_parameters()
    async def phone() -> Response:
        """Tell whether the page can ring this server, and what is behind the line."""
        found = line()
        about = {**found.about, "needs_token": needs_token} if found is not None else {}
        return json_response({"available": found is not None, **about})

    @app.websocket("/api/phone")
    async def ring() -> None:
        """Make one call."""
        found = line()
        await websocket.accept()
        if found is None:
            await websocket.close(_NOT_HERE, "this server has no telephone: CONSOLE_PHONE is off")
            return
        to_number, from_number = (websocket.args.get(name, "").strip() for name in ("to", "from"))
        if not all(_NUMBER.fullmatch(number) for number in (to_number, from_number) if number):
            await websocket.close(_NOT_HERE, "a telephone number is 3 to 15 digits, with a + in front or without")
            return
        with seats.seat() as is_free:
            if not is_free:
                await websocket.close(_TRY_LATER, f"{_MOST_CALLS} telephones are in use already")
                return
            try:
                call = await found.ring(to_number, from_number)
            except OSError as error:
                log.warning("the telephone of the page cannot ring: %s", error)
                await websocket.close(_TRY_LATER, "the telephone cannot ring now; the server's log says why")
                return
            await _serve(call)


async def _serve(call: PhoneCall) -> None:
    try:
        await _tell(type="ringing", to=call.to_number, **{"from": call.number})
        async with asyncio.TaskGroup() as tasks:
            receiving = tasks.create_task(_receive(call), name="the phone's microphone")
            await _send(call)
            receiving.cancel()
        await _tell(type="over", by=call.ended_by)
        await websocket.close(1000)
    finally:
        await call.hang_up()


async def _send(call: PhoneCall) -> None:
    """Send what is heard until the call ends, or the page is too slow to hear it."""
    was_answered = False
    with contextlib.suppress(TimeoutError):
        async for frame in call.heard():
            async with asyncio.timeout(_SEND_SECONDS):
                if call.is_answered and not was_answered:
                    was_answered = True
                    await _tell(type="answered")
                await websocket.send(frame)


async def _receive(call: PhoneCall) -> None:
    while True:
        message = await websocket.receive()
        if isinstance(message, bytes):
            call.speak(message[:_MOST_AUDIO])
            continue
        match _read(message):
            case {"type": "press", "digit": str(digit)} if digit in _DIGITS:
                await call.press(digit)
            case {"type": "hangup"}:
                await call.hang_up()


def _read(message: str) -> Any:
    try:
        return read(message[:_MOST_TEXT].encode())
    except (OutOfBounds, UnicodeEncodeError):
        return None


async def _tell(**told: str) -> None:
    await websocket.send(to_json(told).decode())
