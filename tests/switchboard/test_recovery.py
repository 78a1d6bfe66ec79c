"""The start of a process: when its history is open, and new calls are better sent elsewhere."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.contracts.events import LegIds
from callflow.history.history import History
from callflow.switchboard.recovery import Recovery
from tests.call.offline import until


IDS = LegIds("control", "leg")
NOW = 1000.0


def made() -> Recovery:
    database = SimpleNamespace(is_sqlite=True)
    return Recovery(
        cast(
            History, SimpleNamespace(is_readable=False, database=database, journal=SimpleNamespace(), now=lambda: NOW)
        ),
        reconcile_seconds=0,
    )


async def test_new_calls_are_better_sent_elsewhere_until_the_history_is_open_and_while_it_cannot_be_written() -> None:
    recovery = made()
    journal = cast(Any, recovery._history.journal)
    journal.trouble = ""
    assert recovery.lacks() == "starting"
    recovery.opened.set()
    assert recovery.lacks() == ""
    journal.trouble = "the disk is full"
    assert recovery.lacks() == "database"
    journal.trouble = ""
    node = SimpleNamespace(is_draining=False, trouble="no connection", has_room_beside=True)
    recovery._membership = cast(Any, node)
    assert recovery.lacks() == "database"
    node.is_draining = True
    assert recovery.lacks() == "draining"
    assert recovery.has_room_beside()


async def test_waiting_for_the_history_is_bounded() -> None:
    recovery = made()
    assert not await recovery.is_open(0.01)
    recovery.opened.set()
    assert await recovery.is_open(0.01)


async def test_a_fault_of_one_part_of_the_work_for_all_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """Campaigns, events, alerts, retention, deletions and prices ended together, and without a word."""
    failed, working = asyncio.Event(), asyncio.Event()

    async def fails() -> None:
        failed.set()
        raise KeyError("a field that the carrier left out")

    async def works() -> None:
        working.set()
        await asyncio.Event().wait()

    recovery = made()
    history = cast(Any, recovery._history)
    history.retention, history.deletions = SimpleNamespace(run=fails), SimpleNamespace(run=works)
    recovery._in_charge = lambda: {"campaigns": works, "prices": fails}
    work = asyncio.create_task(recovery._work_for_all())
    async with asyncio.timeout(5):
        await failed.wait()
        await working.wait()
        await until(lambda: len([one for one in caplog.records if one.exc_info]) == 2)
    assert not work.done()
    work.cancel()
    await asyncio.wait([work])
