"""The start of a process: when its history is open, and new calls are better sent elsewhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from callflow.contracts.events import LegIds
from callflow.history.history import History
from callflow.switchboard.recovery import Recovery


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
