"""What happens again and again is logged once, then counted."""

from __future__ import annotations

import asyncio
import logging

import pytest

from callflow.contracts.repeated_warnings import RepeatedWarnings
from tests.e2e.product import until


log = logging.getLogger(__name__)


async def test_the_first_is_said_at_once_and_the_rest_as_a_count(caplog: pytest.LogCaptureFixture) -> None:
    repeats = RepeatedWarnings(log, seconds=0.05)
    for number in range(1000):
        repeats.say("refused", "refused: %s", number)
    assert [record.getMessage() for record in caplog.records] == ["refused: 0"]
    await until(lambda: len(caplog.records) == 2, "the count", 2)
    assert caplog.records[1].getMessage() == "refused: 999 (and 998 more like it in 0.05 s)"


async def test_each_kind_is_said_and_one_alone_has_no_count(caplog: pytest.LogCaptureFixture) -> None:
    repeats = RepeatedWarnings(log, seconds=0.05)
    repeats.say("a", "one %s", 1)
    repeats.say("b", "two")
    await asyncio.sleep(0)
    told = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.1, told.set_result, None)
    await told
    repeats.say("a", "one %s", 2)
    assert [record.getMessage() for record in caplog.records] == ["one 1", "two", "one 2"]


async def test_whoever_varies_the_kind_takes_no_memory() -> None:
    quiet = logging.getLogger(f"{__name__}.quiet")
    quiet.setLevel(logging.CRITICAL)
    repeats = RepeatedWarnings(quiet)
    for number in range(10_000):
        repeats.say(str(number), "x")
    assert len(repeats._kinds) == 200
