"""Parts of a work that go on beside each other: a fault of one is its own."""

from __future__ import annotations

import asyncio

import pytest

from callflow.switchboard.keep_running import keep_all_running, keep_running
from tests.call.offline import until


QUICK = (0.0,)


async def test_one_part_that_fails_ends_no_other_and_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    begun, again = {"prices": 0, "campaigns": 0, "events": 0}, asyncio.Event()

    async def prices() -> None:
        begun["prices"] += 1
        if begun["prices"] < 3:
            raise KeyError("a field that the carrier left out")
        again.set()
        await asyncio.Event().wait()

    async def campaigns() -> None:
        begun["campaigns"] += 1
        await asyncio.Event().wait()

    async def events() -> None:
        begun["events"] += 1
        if begun["events"] == 1:
            raise asyncio.CancelledError  # of what it waited for
        await asyncio.Event().wait()

    parts = {"prices": prices, "campaigns": campaigns, "events": events}
    work = asyncio.create_task(keep_all_running(parts, pauses=QUICK))
    async with asyncio.timeout(5):
        await again.wait()
        await until(lambda: begun["events"] == 2)
    assert begun == {"prices": 3, "campaigns": 1, "events": 2}
    assert not work.done()
    told = [record for record in caplog.records if "PRICES FAILED" in record.getMessage()]
    assert len(told) == 2
    assert told[0].exc_info
    work.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait([work])
    assert work.cancelled()


async def test_a_part_that_fails_again_and_again_waits_longer_and_not_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = 0

    async def part() -> None:
        nonlocal begun
        begun += 1
        if begun < 5:
            raise ValueError

    async with asyncio.timeout(5):
        await keep_running("prices", part, pauses=(0.001, 0.002, 0.005))
    waited = [record.args[1] for record in caplog.records if isinstance(record.args, tuple)]
    assert waited == [0.001, 0.002, 0.005, 0.005]


async def test_a_part_that_has_nothing_to_do_is_not_begun_again() -> None:
    begun = 0

    async def retention() -> None:
        nonlocal begun
        begun += 1

    async with asyncio.timeout(5):
        await keep_all_running({"retention": retention})
    assert begun == 1


async def test_a_part_whose_clean_up_fails_is_not_begun_again_when_all_end(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing ended it any more: who had cancelled it waited for ever."""
    begun = 0

    async def prices() -> None:
        nonlocal begun
        begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            if begun == 1:
                raise ValueError("the connection is closed already")

    work = asyncio.create_task(keep_all_running({"prices": prices}, pauses=QUICK))
    async with asyncio.timeout(5):
        await until(lambda: begun)
    work.cancel()
    await asyncio.wait([work], timeout=1)
    assert (work.done(), begun) == (True, 1)
    assert "PRICES FAILED" in caplog.text
