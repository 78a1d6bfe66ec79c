"""The start of a process: when its history is open, when new calls are better sent elsewhere, and the calls of the
process before, or of a node that has died."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy.exc import OperationalError

from callflow.call.outbound_order import OutboundOrder
from callflow.contracts.events import LegIds
from callflow.history.history import History
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began
from callflow.switchboard.recovery import Recovery
from tests.call.offline import as_carrier, config
from tests.cluster.test_membership import machine
from tests.e2e.product import until
from tests.in_loop import in_loop
from tests.switchboard.test_switchboard import NAME, RINGS, stage


CALLS = [f"{number}1111111-1111-4111-8111-111111111111" for number in range(1, 9)]
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


def fails(history: History, call: str, times: int) -> None:
    """Let the database fail when this call's journal is read, so many times."""
    read, left = history.store.keyed_journal, times

    async def journal(name: str) -> list[tuple[int, JournalEntry]]:
        nonlocal left
        if name == call and left:
            left -= 1
            raise OperationalError("SELECT", {}, ConnectionResetError("reset"))
        return await read(name)

    cast(Any, history.store).keyed_journal = journal


@pytest.mark.e2e
@pytest.mark.parametrize("is_alone", [True, False], ids=["a process that serves alone", "a node"])
@pytest.mark.parametrize("times", [1, 1000], ids=["once", "always"])
@in_loop
async def test_a_call_that_cannot_be_read_leaves_no_other_one_in_silence(
    tmp_path: Path, is_alone: bool, times: int
) -> None:
    """Those that had been read before it were never asked about: neither side ended them, and the process did not end
    either. Those after it waited for it for ever."""
    async with machine(tmp_path) as the, stage(max_calls=50) as board:
        before, written = the.made("w1")
        if is_alone:
            written.journal.fence = None
        await written.open()
        if not is_alone:
            await before.join()
        for call in CALLS:
            began = Began(carrier="fake", direction="inbound", control=call[0], leg=f"l{call[0]}")
            written.journal.note(JournalEntry.of(began, call=call, at=1.0))
        await written.journal.flushed()
        await before.close()
        await written.journal.close()
        await written.close()
        member, history = the.made("w2")
        if is_alone:
            history.journal.fence = None
        recovery = Recovery(history, reconcile_seconds=0, membership=None if is_alone else member)
        fails(history, CALLS[1], times)
        recovery.begin(board.board, [as_carrier(board.carrier)])
        wanted = {call for call in CALLS if times == 1 or call != CALLS[1]}

        def back() -> set[str]:
            return {call.id for call in board.board.calls if not call.awaits_return}

        await until(lambda: back() == wanted, "each that can be read to go on here", 10)
        assert len(board.board.calls) == len(wanted)
        await recovery.close()
        await history.close()


@in_loop
async def test_the_other_side_of_an_outbound_call_is_taken_over_as_that_call_was_ordered(tmp_path: Path) -> None:
    """Where another node had the call that was dialled, the agent of the number went on, under its own instructions."""
    async with machine(tmp_path) as the, stage() as board:
        before, written = the.made("w1")
        await written.open()
        await before.join()
        part = Began(
            carrier="fake", control="rtc_1", session=f"call:{CALLS[0]}", from_number="+15550100002",
            to_number="+15550100001", profile="pears", session_settings={"voice": "ash"},
        )  # fmt: skip
        written.journal.note(JournalEntry.of(part, call=CALLS[1], at=1.0))
        await written.journal.flushed()
        await before.close()
        await written.journal.close()
        await written.close()
        member, history = the.made("w2")
        recovery, conducted = Recovery(history, reconcile_seconds=0, membership=member), config()

        def outbound(order: OutboundOrder, overrides: Mapping[str, Any], began: tuple[str, int]) -> OutboundOrder:
            assert (order.profile, order.session, began) == ("pears", {"voice": "ash"}, ("pears", 0))
            return order.under(conducted)

        recovery.begin(board.board, [as_carrier(board.carrier)], outbound=outbound)
        await until(lambda: board.board.calls, "it to go on here", 10)
        (call,) = board.board.calls
        assert (call.id, call.given_config, call.is_outbound) == (CALLS[1], conducted, False)
        await recovery.close()
        await history.close()


@pytest.mark.parametrize("is_alone", [True, False], ids=["a process that serves alone", "a node"])
@in_loop
async def test_only_a_call_that_no_process_has_is_nobodys(tmp_path: Path, is_alone: bool) -> None:
    """The end of one was never written, as after a long failure of the database; its claim stays then."""
    async with machine(tmp_path) as the, stage() as board, stage() as elsewhere:
        member, history = the.made("w1")
        if is_alone:
            history.journal.fence = None
        recovery = Recovery(history, reconcile_seconds=0, membership=None if is_alone else member)
        recovery.begin(board.board, [as_carrier(board.carrier)])
        if is_alone:
            assert not await history.is_nobodys(CALLS[0]), "the process before may have it"
        assert await recovery.is_open(10)
        history.journal.note(JournalEntry.of(Began(carrier="fake"), call=CALLS[0], at=1.0))
        await history.journal.flushed()
        assert await history.is_nobodys(CALLS[0])
        await board.tell(RINGS)
        assert not await history.is_nobodys(NAME), "it is live"
        if not is_alone:
            other, beside = the.made("w2")
            another = Recovery(beside, reconcile_seconds=0, membership=other)
            another.begin(elsewhere.board, [as_carrier(elsewhere.carrier)])
            assert await another.is_open(10)
            assert not await beside.is_nobodys(CALLS[0]), "it is not known here what w1 has"
            await another.close()
        await recovery.close()


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
        await until(lambda: len([one for one in caplog.records if one.exc_info]) == 2, "both faults in the log")
    assert not work.done()
    work.cancel()
    await asyncio.wait([work])
