"""What a node does with calls that are given to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from callflow.cluster import node_store
from callflow.cluster.ownership import Ownership
from callflow.switchboard.cluster_duties import ClusterDuties
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
async def test_calls_of_a_process_that_served_alone_are_adopted_although_the_database_fails_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leads: bool
) -> None:
    """Nobody took them over after one error, and never more than 500 of them."""
    adopt, may_work = node_store.adopt, asyncio.Event()

    def adopt_later(*given: Any) -> list[str]:
        if not may_work.is_set():
            raise OperationalError("SELECT", {}, ConnectionResetError("reset"))
        return adopt(*given)

    monkeypatch.setattr(node_store, "adopt", adopt_later)
    monkeypatch.setattr(node_store, "_MANY", 2)
    back: list[str] = []

    async def bring_back(calls: Sequence[str], given: bool) -> Sequence[str]:
        back.extend(calls)
        return ()

    async with machine(tmp_path) as the, stage() as board:
        node = await the.node("w1")
        journal = the.histories[0].journal
        fence, journal.fence = journal.fence, None
        calls = [f"{number}{CALL[1:]}" for number in range(1, 6)]
        for call in calls:
            await the.began(0, call)
        journal.fence = fence
        ownership = Ownership(the.histories[0].database)
        duties = ClusterDuties(
            node, board.board, ownership, bring_back=bring_back, lead=nothing, opened=asyncio.Event()
        )
        running = asyncio.create_task(duties.run())
        await until(lambda: duties._has_ownership, "it to be known that nobody serves alone")
        if not leads:
            other = await the.node("w2")
            await node.set_state("w1", "draining")
            await until(lambda: other.leads and not node.leads, "another one to lead")
        may_work.set()
        await until(lambda: sorted(back) == calls, "all of them to be taken", 5)
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
