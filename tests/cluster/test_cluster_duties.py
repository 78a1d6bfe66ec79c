"""What a node does with calls that are given to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from callflow.cluster import node_store
from callflow.cluster.carrier_keys import CarrierKeys
from callflow.cluster.ownership import Ownership
from callflow.switchboard.cluster_duties import ClusterDuties
from callflow.web.console.nodes import describe
from tests.cluster.test_membership import CALL, machine
from tests.e2e.product import until
from tests.in_loop import in_loop
from tests.switchboard.test_switchboard import stage


async def nothing() -> None:
    pass


@in_loop
async def test_calls_go_on_although_the_node_that_gave_them_has_gone_meanwhile(tmp_path: Path) -> None:
    reading, may_go_on, back = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def bring_back(calls: Sequence[str], given: bool) -> Sequence[str]:
        reading.set()
        await may_go_on.wait()
        assert (list(calls), given) == ([CALL], True)
        back.set()
        return ()

    async with machine(tmp_path) as the, stage() as board:
        a, b = await the.node("w1"), await the.node("w2")
        await the.began(0)
        takeover = ClusterDuties(
            b, board.board, Ownership(the.histories[1].database),
            bring_back=bring_back, lead=nothing, opened=(opened := asyncio.Event()),
        )  # fmt: skip
        running = asyncio.create_task(takeover.run())
        await opened.wait()
        await a.give(CALL, "w2")
        request = asyncio.create_task(takeover.take_given([CALL]))
        await reading.wait()
        request.cancel()  # as the web server does when the connection ends
        await asyncio.wait([request])
        may_go_on.set()
        async with asyncio.timeout(5):
            await back.wait()
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.e2e
@pytest.mark.parametrize("leads", [True, False], ids=["it leads", "it leads no more"])
@in_loop
async def test_calls_of_a_process_that_served_alone_are_taken_although_the_database_fails_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leads: bool
) -> None:
    """Nobody took them over after one error, and never more than 500 of them."""
    disown, may_work = node_store.disown_unclaimed, asyncio.Event()

    def disown_later(connection: Any) -> int:
        if not may_work.is_set():
            raise OperationalError("UPDATE", {}, ConnectionResetError("reset"))
        return disown(connection)

    monkeypatch.setattr(node_store, "disown_unclaimed", disown_later)
    monkeypatch.setattr(node_store, "_MANY", 2)
    back: list[str] = []

    async with machine(tmp_path) as the, stage() as board:
        node = await the.node("w1")
        calls = [f"{number}{CALL[1:]}" for number in range(1, 6)]
        await began_alone(the, calls)
        async with on_duty(the, 0, board, back) as duties:
            await until(lambda: duties._has_ownership, "it to be known that nobody serves alone")
            if not leads:
                other = await the.node("w2")
                await node.set_state("w1", "draining")
                await until(lambda: other.leads and not node.leads, "another one to lead")
                await node.set_state("w1", "up")
                await until(lambda: not node.is_draining, "w1 to take calls again")
            may_work.set()
            await until(lambda: sorted(back) == calls, "all of them to be taken", 8)


@pytest.mark.e2e
@pytest.mark.parametrize("leader", [["telnyx"], ["twilio"]], ids=["it has the keys", "it has not"])
@in_loop
async def test_calls_of_a_process_that_served_alone_are_shared_by_those_that_have_the_keys(
    tmp_path: Path, leader: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The leader claimed all of them for itself; without the keys of their carrier, callers heard nothing for ever."""
    async with machine(tmp_path) as the, stage() as board:
        nodes = [await the.node(name) for name in ("w1", "w2")]
        for node, mine, beside, theirs in ((nodes[0], leader, "w2", ["telnyx"]), (nodes[1], ["telnyx"], "w1", leader)):
            node.keys = CarrierKeys(mine)
            node.keys.told(beside, theirs)
        nodes[0].announce = nodes[1].look_again  # as its request to the others does
        calls = [f"{number}{CALL[1:]}" for number in range(1, 9)]
        await began_alone(the, calls)
        back: list[list[str]] = [[], []]
        async with on_duty(the, 1, board, back[1]), on_duty(the, 0, board, back[0]):
            await until(lambda: sorted(back[0] + back[1]) == calls, "all of them to be taken", 4)
        assert bool(back[0]) is (leader == ["telnyx"])
        assert back[1], "one node has all"
    assert "NOBODY'S" not in caplog.text


@pytest.mark.e2e
@in_loop
async def test_calls_that_no_living_node_has_the_keys_of_are_said_once_until_one_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They were forgotten in silence, and so were their callers."""
    async with machine(tmp_path) as the, stage() as board:
        first = await the.node("w1")
        first.keys = CarrierKeys(["twilio"])
        await began_alone(the, [CALL])
        back: list[list[str]] = [[], []]
        async with on_duty(the, 0, board, back[0]):
            await until(lambda: first.unserved == {"telnyx": 1}, "w1 to know that it waits", 5)
            first.changed.set()
            await until(lambda: not first.changed.is_set(), "another look")
            assert describe(first)["waiting"] == {"telnyx": 1}
            second = await the.node("w2")
            second.keys = CarrierKeys(["telnyx"])
            first.keys.told("w2", ["telnyx"])
            async with on_duty(the, 1, board, back[1]):
                await until(lambda: back[1] == [CALL], "the one that has the keys to take it", 5)
                await until(lambda: not first.unserved, "w1 to know that none waits", 7)
        assert back[0] == []
    assert caplog.text.count("1 CALLS OF TELNYX ARE NOBODY'S") == 1
    assert caplog.text.count("no call of telnyx waits any more") == 1


async def began_alone(the: Any, calls: Sequence[str]) -> None:
    """Let calls begin as in a process that serves alone."""
    journal = the.histories[0].journal
    fence, journal.fence = journal.fence, None
    for call in calls:
        await the.began(0, call)
    journal.fence = fence


@contextlib.asynccontextmanager
async def on_duty(the: Any, number: int, board: Any, back: list[str]) -> AsyncIterator[ClusterDuties]:
    """Let a node do its duties. `back`: gets the calls that it brings back."""

    async def bring_back(calls: Sequence[str], given: bool) -> Sequence[str]:
        back.extend(calls)
        return ()

    ownership = Ownership(the.histories[number].database)
    duties = ClusterDuties(
        the.nodes[number], board.board, ownership, bring_back=bring_back, lead=nothing, opened=asyncio.Event()
    )
    running = asyncio.create_task(duties.run())
    try:
        yield duties
    finally:
        running.cancel()
        await asyncio.wait([running])
        await ownership.release()


@pytest.mark.e2e
@in_loop
async def test_the_work_for_all_begins_again_after_a_fault_that_nobody_has_foreseen(tmp_path: Path) -> None:
    begun, again = 0, asyncio.Event()

    async def lead() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise KeyError("a field that the carrier left out")
        again.set()
        await asyncio.Event().wait()

    async def bring_back(calls: Sequence[str], given: bool) -> Sequence[str]:
        return ()

    async with machine(tmp_path) as the, stage() as board:
        a = await the.node("w1")
        duties = ClusterDuties(
            a, board.board, Ownership(the.histories[0].database),
            bring_back=bring_back, lead=lead, opened=asyncio.Event(),
        )  # fmt: skip
        running = asyncio.create_task(duties.run())
        async with asyncio.timeout(10):
            await again.wait()
        running.cancel()
        await asyncio.wait([running])
