"""The telephone of the page: one socket is one call, which rings, is spoken in, and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart import Quart

from callflow.web.console.phone import add_phone
from tests.in_loop import in_loop, settle
from tests.web.console.bare import bare_app, request, socket


class FakeCall:
    """A call that is answered at once, and in which is heard what is put into `sounds`; None: it is over."""

    number, to_number = "+15550100001", "+15550100002"
    is_answered = True

    def __init__(self) -> None:
        self.sounds: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.done: list[Any] = []
        self.ended_by = ""

    def speak(self, ulaw: bytes) -> None:
        self.done.append(len(ulaw))

    async def press(self, digit: str) -> None:
        if digit == "#":
            raise ValueError("the carrier has lost the call")
        self.done.append(digit)

    async def hang_up(self) -> None:
        self.ended_by = self.ended_by or "phone"
        self.sounds.put_nowait(None)

    async def heard(self) -> AsyncIterator[bytes]:
        while (frame := await self.sounds.get()) is not None:
            yield frame


class FakeLine:
    """`opens`: rings only then."""

    mount = None

    def __init__(self) -> None:
        self.about = {"carrier": "phone"}
        self.calls: list[FakeCall] = []
        self.rung: list[tuple[str, str]] = []
        self.opens = asyncio.Event()
        self.opens.set()
        self.error: OSError | None = None

    async def ring(self, to_number: str = "", from_number: str = "") -> FakeCall:
        await self.opens.wait()
        if self.error is not None:
            raise self.error
        self.rung.append((to_number, from_number))
        self.calls.append(FakeCall())
        return self.calls[-1]


def app_with(line: FakeLine | None) -> Quart:
    app = bare_app()
    add_phone(app, lambda: line, needs_token=True)
    return app


@in_loop
async def test_a_call_rings_is_answered_takes_voice_and_keys_and_ends() -> None:
    line = FakeLine()
    async with socket(app_with(line), "/api/phone?to=%2B15550100009&from=15550100008") as page:
        assert await page.told() == {"type": "ringing", "to": "+15550100002", "from": "+15550100001"}
        assert line.rung == [("+15550100009", "15550100008")]
        (call,) = line.calls
        call.sounds.put_nowait(b"frame")
        assert [await page.told(), await page.told()] == [{"type": "answered"}, b"frame"]
        odd = ["", "{", "[]", "7", {"type": "press", "digit": "12"}, {"type": "press", "digit": "x"}, {"type": "press"}]
        for message in (b"a" * 9000, {"type": "press", "digit": "7"}, *odd, b"", {"type": "press", "digit": "*"}):
            page.send(message)
        page.send({"type": "hangup"})
        assert await page.told() == {"type": "over", "by": "phone"}
        assert call.done == [8000, "7", 0, "*"], "what makes no sense is passed over, and what comes after is not"
        assert (await page.closed())[0] == 1000


@pytest.mark.parametrize("query", ["?to=12", "?to=call+me", "?from=%2B1234567890123456", "?to=%D9%A1%D9%A2%D9%A3"])
@in_loop
async def test_what_is_no_number_is_not_rung(query: str) -> None:
    line = FakeLine()
    async with socket(app_with(line), f"/api/phone{query}") as page:
        code, reason = await page.closed()
    assert (code, line.calls) == (1008, [])
    assert "3 to 15 digits" in reason


@in_loop
async def test_no_more_than_eight_ring_although_all_come_while_the_line_is_being_opened() -> None:
    line = FakeLine()
    line.opens.clear()
    app = app_with(line)

    async def one() -> tuple[int, str]:
        async with socket(app, "/api/phone") as page:
            return await page.closed()

    asking = [asyncio.create_task(one()) for _ in range(12)]
    await settle()
    line.opens.set()
    await settle()
    assert len(line.calls) == 8
    for call in line.calls:
        await call.hang_up()
    codes = [code for code, _ in await asyncio.gather(*asking)]
    assert sorted(codes) == [1000] * 8 + [1013] * 4
    async with socket(app, "/api/phone") as page:
        assert (await page.told())["type"] == "ringing", "their places are free again"


@in_loop
async def test_a_line_that_cannot_be_opened_is_told_and_keeps_no_place() -> None:
    line = FakeLine()
    line.error = OSError("no port is free")
    app = app_with(line)
    for _ in range(9):
        async with socket(app, "/api/phone") as page:
            code, reason = await page.closed()
            assert (code, "cannot ring now" in reason) == (1013, True)


@in_loop
async def test_who_leaves_hangs_up() -> None:
    line = FakeLine()
    async with socket(app_with(line), "/api/phone") as page:
        await page.told()
    assert line.calls[0].ended_by == "phone"


@in_loop
async def test_a_telephone_whose_keys_fail_does_not_stay_open_deaf() -> None:
    """The microphone's task had ended, and the page went on."""
    line = FakeLine()
    async with socket(app_with(line), "/api/phone") as page:
        await page.told()
        page.send({"type": "press", "digit": "#"})
        assert (await page.closed())[0] == 1011
    assert line.calls[0].ended_by == "phone"


@in_loop
async def test_where_there_is_no_telephone_that_is_told() -> None:
    app = app_with(None)
    assert (await request(app, "GET", "/api/phone")).json() == {"available": False}
    async with socket(app, "/api/phone") as page:
        assert (await page.closed())[0] == 1008
    told = (await request(app_with(FakeLine()), "GET", "/api/phone")).json()
    assert told == {"available": True, "carrier": "phone", "needs_token": True}
