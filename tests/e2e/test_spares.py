"""Connections to the model that are opened ahead, in whole calls over a model that is far away."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.openai_realtime.emulator import PATH
from tests.e2e import tcp_front
from tests.e2e.product import Product, product, until
from tests.e2e.talk import FAST


CARRIERS = ("telnyx",)
_FAR_SECONDS = 0.1
"""How long bytes are on their way to the model, and as long on the way back."""


@contextlib.asynccontextmanager
async def far_away(realtime: Realtime) -> AsyncIterator[str]:
    """A relay of bytes in front of the emulated model, which holds each up for a while; gives its address."""
    async with tcp_front.front(lambda: realtime.url, _carry) as port:
        yield f"ws://127.0.0.1:{port}{PATH}"


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            loop.call_later(_FAR_SECONDS, _write, writer, data)
    loop.call_later(_FAR_SECONDS, writer.close)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)


def model() -> Realtime:
    return Realtime(script=Script.tone(0.2), pace=Pace.instant())


def spares(the: Product) -> int:
    return int(the.app.account.describe()["spares"])


async def first_word(realtime: Realtime, spare: int) -> float:
    """How long three callers waited for the first word: the median, in ms from the answer."""
    async with (
        far_away(realtime) as url,
        product(realtime=realtime, engine_spare=spare, openai_realtime_url=url, **FAST) as the,
    ):
        for _ in range(3):
            await until(lambda: spares(the) == spare, "the connections")
            await (await calls(the)).hang_up()
            await the.quiet()
        found: list[float] = [note["ms"] for note in the.happened("first_word")]
        return statistics.median(found)


@pytest.mark.one_node("both nodes have it")
async def test_a_caller_does_not_wait_for_the_connection_to_a_model_that_is_far_away() -> None:
    """Opening one takes a way there and back, and so do the configuration and the first answer: a third is saved."""
    own, ahead = model(), model()
    without, with_one = await first_word(own, 0), await first_word(ahead, 1)
    assert with_one < 0.8 * without, (with_one, without)
    assert len(own.sessions) == 3
    assert len(ahead.sessions) == 4, "one of them for the next caller"
    assert all(session.closed for session in ahead.sessions)


async def test_a_connection_that_has_broken_costs_the_next_caller_nothing() -> None:
    """The faults of the server are none of the callers': each hears the greeting, in one session."""
    async with product(realtime=model(), engine_spare=2, **FAST) as the:
        for _ in range(3):
            await until(lambda: spares(the) == 2, "the connections", 15)
            for session in the.realtime.sessions:
                session.drop()
            one = await calls(the)
            await one.hang_up()
            await the.quiet()
        assert the.happened("engine_lost") == []


async def calls(the: Product) -> Any:
    call = await the.carrier.ring()
    await call.wait_streaming()
    await call.phone.hears(0.1)
    return call


@pytest.mark.one_node("both nodes have it")
async def test_at_the_end_no_connection_is_left_and_there_were_never_too_many() -> None:
    realtime = model()
    async with product(realtime=realtime, engine_spare=3, **FAST) as the:
        await until(lambda: spares(the) == 3, "the connections")
        for one in await asyncio.gather(*(calls(the) for _ in range(6))):
            assert sum(not session.closed for session in realtime.sessions) <= 6 + 3
            await one.hang_up()
        await the.quiet()
        await until(lambda: spares(the) == 3, "the connections")
        await the.app.leave()
        assert spares(the) == 0
        await until(lambda: all(session.closed for session in realtime.sessions), "the end of all sessions")
    assert len(realtime.sessions) <= 6 + 3 + 3
