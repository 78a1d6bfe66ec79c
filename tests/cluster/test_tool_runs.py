"""Whether a tool runs whose step is not written: not where another node may come to have the call, and run it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from callflow.cluster import tool_runs
from callflow.cluster.membership import Membership
from callflow.cluster.nodes import LEASE_SECONDS
from callflow.cluster.tool_runs import may_run
from callflow.history.history import History
from callflow.journal.journal import JournalEntry
from tests.cluster.test_membership import CALL, OTHER, Machine, machine
from tests.e2e.product import until
from tests.in_loop import in_loop


STEP = JournalEntry(CALL, 1, 2.0, {"event": "tool_called", "id": "t1"}, "streaming", "streaming", True, [])


class CutOff:
    """A node with a call, whose link to the database can be cut."""

    def __init__(self, node: Membership, history: History) -> None:
        self.node, self.history, self._write = node, history, history.database.write

    async def cut(self, *, lease: bool) -> None:
        """`lease`: also that of what renews the lease, which does not hold for long then."""

        async def unreachable(work: Callable[..., Any]) -> Any:
            raise OSError("no route to host")

        self.history.database.write = unreachable  # type: ignore[method-assign]
        if lease:
            await self.node._heartbeat.close()
            self.node._renewed = time.monotonic()
            self.node.trouble = "no route to host"
        self.history.journal.note(STEP)
        await until(lambda: self.history.journal.trouble, "the trouble")

    def mend(self) -> None:
        self.history.database.write = self._write  # type: ignore[method-assign]


async def cut_off(the: Machine, *, lease: bool = True) -> CutOff:
    node = await the.node("w1", calls=1)
    await the.began(0)
    found = CutOff(node, the.histories[0])
    await found.cut(lease=lease)
    assert await node.may_act(CALL), "its lease holds, so the call goes on"
    return found


async def _true() -> bool:
    return True


@pytest.mark.e2e
@in_loop
async def test_a_node_that_is_cut_off_alone_runs_no_tool_that_the_others_know_nothing_of(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        one = await cut_off(the)
        one.node.others_take_over = _true
        assert not await may_run(one.node, one.history.journal, CALL)
        one.mend()


@pytest.mark.e2e
@in_loop
async def test_where_the_database_is_away_for_all_tools_run(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        one = await cut_off(the)
        assert await may_run(one.node, one.history.journal, CALL)
        one.mend()


@in_loop
async def test_a_tool_runs_as_soon_as_its_step_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_runs, "_FAILING_SECONDS", 60.0)
    async with machine(tmp_path) as the:
        one = await cut_off(the, lease=False)
        running = asyncio.create_task(may_run(one.node, one.history.journal, CALL))
        await asyncio.sleep(0)
        assert not running.done()
        one.mend()
        assert await asyncio.wait_for(running, 30)
        assert STEP in await one.history.store.journal(CALL, hidden=True)


@in_loop
async def test_where_only_the_journal_fails_no_tool_waits_for_as_long_as_a_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them did, although the lease was renewed."""
    monkeypatch.setattr(tool_runs, "LEASE_SECONDS", 60.0)
    async with machine(tmp_path) as the:
        one = await cut_off(the, lease=False)
        for _ in range(2):
            assert await asyncio.wait_for(may_run(one.node, one.history.journal, CALL), 5)
        one.mend()


@in_loop
async def test_a_journal_that_is_only_slow_holds_a_tool_up_for_as_long_as_a_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_runs, "LEASE_SECONDS", 0.05)
    monkeypatch.setattr(tool_runs, "_FAILING_SECONDS", 60.0)
    async with machine(tmp_path) as the:
        one = await cut_off(the, lease=False)
        one.history.journal.trouble = ""
        monkeypatch.setattr(one.history.journal, "flushed", asyncio.Event().wait)
        assert await asyncio.wait_for(may_run(one.node, one.history.journal, CALL), 5)
        one.mend()


@in_loop
async def test_a_call_that_no_other_node_can_read_waits_for_nothing(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        one = await cut_off(the)
        one.node.claims.begin(OTHER)
        began = time.monotonic()
        assert await may_run(one.node, one.history.journal, OTHER)
        assert time.monotonic() - began < LEASE_SECONDS / 2
        one.mend()


@in_loop
async def test_a_call_that_turns_out_to_be_anothers_runs_none_although_the_lease_holds(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        node = await the.node("w1", calls=1)
        await the.began(0)
        node.claims.drop([CALL])
        assert not await may_run(node, the.histories[0].journal, CALL)
