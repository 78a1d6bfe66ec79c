"""The thread that renews the lease of a node: what it tells, whom it declares dead, and whom it never loses sight of.

How nodes see each other is told in test_membership.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from callflow.cluster import heartbeat, node_store
from callflow.cluster.heartbeat import Heartbeat, Renewal
from callflow.cluster.node_lock import NodeLock
from callflow.cluster.nodes import LEASE_SECONDS, Node
from callflow.history.database import Database, url_of
from callflow.timers import Timers
from tests.e2e.product import until
from tests.history import new_database
from tests.in_loop import in_loop


class Stage:
    """One node "a" with its thread, over a database that the test writes to for the others."""

    def __init__(self, folder: Path) -> None:
        self.url = url_of("", str(folder))
        self.database = Database(self.url)
        self.beats: list[Renewal] = []
        self.trouble: list[str] = []
        self.measured: Callable[[], tuple[int, float]] = lambda: (3, 1.5)
        self.heart = Heartbeat(
            self.url, Node(name="a", epoch=0, address="unix:/a", capacity=10), NodeLock(folder / "cluster", "a"),
            measure=lambda: self.measured(), on_beat=self.beats.append, on_trouble=self.trouble.append,
        )  # fmt: skip

    async def run(self, work: Callable[[Connection], Any]) -> Any:
        return await self.database.write(work)

    async def other(self, name: str = "b") -> Node:
        """A node of another machine that has just joined."""
        epoch = await self.run(lambda connection: node_store.join(connection, Node(name=name, epoch=0)))
        return Node(name=name, epoch=epoch)

    def state(self, name: str) -> str:
        """Of a node, as the newest renewal saw it."""
        return next((node.state for node in self.beats[-1].view.nodes if node.name == name), "gone")


@contextlib.asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    await new_database.put_into(folder)
    the = Stage(folder)
    try:
        yield the
    finally:
        await the.heart.close()
        await the.database.close()


async def begun(the: Stage) -> None:
    the.heart.start()
    await until(lambda: the.beats, "the first renewal")


@in_loop
async def test_it_joins_tells_how_it_is_and_leaves(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        await begun(the)
        the.heart.renew_now()
        await until(lambda: len(the.beats) > 1, "another renewal")
        (node,) = the.beats[-1].view.nodes
        assert (node.calls, node.lag_ms, node.address, node.state) == (3, 1.5, "unix:/a", "up")
        assert {beat.epoch for beat in the.beats} == {node.epoch}
        assert not any(beat.was_fenced for beat in the.beats)
        await the.heart.close()
        assert (await the.run(node_store.view)).nodes == ()
        assert the.trouble == []


@in_loop
async def test_no_beat_leaves_a_timer_for_a_garbage_collection(tmp_path: Path) -> None:
    def timers() -> int:
        return sum(type(one) is Timers for one in gc.get_objects())

    async with stage(tmp_path) as the:
        await begun(the)
        gc.collect()
        gc.disable()
        try:
            before = timers()
            for _ in range(3):
                seen = len(the.beats)
                the.heart.renew_now()
                await until(lambda seen=seen: len(the.beats) > seen, "another renewal")  # type: ignore[misc]
            assert timers() == before
        finally:
            gc.enable()


@in_loop
async def test_a_node_that_is_declared_dead_while_a_renewal_is_under_way_is_dead_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was learned then was forgotten with its end, and its lease had to run out."""
    async with stage(tmp_path) as the:
        await begun(the)
        other = await the.other()
        fence, declared = node_store.fence, list[bool]()

        def and_meanwhile(connection: Connection, victims: Any, *, expired: bool) -> list[Node]:
            if not declared:  # whom this renewal declares dead is decided already
                declared.append(True)
                the.heart.declare_dead(other)
            return fence(connection, victims, expired=expired)

        monkeypatch.setattr(node_store, "fence", and_meanwhile)
        the.heart.renew_now()
        await until(lambda: the.state("b") == "dead", "the other to be dead", LEASE_SECONDS - 1)


@in_loop
async def test_who_was_declared_dead_joins_anew_without_calls_and_says_so(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        await begun(the)
        first = the.beats[-1].epoch
        victim = Node(name="a", epoch=first)
        await the.run(lambda connection: node_store.fence(connection, [victim], expired=False))
        the.heart.renew_now()
        await until(lambda: the.beats[-1].was_fenced, "it to join anew")
        assert the.beats[-1].epoch > first
        the.heart.rejoin()
        await until(lambda: sum(beat.was_fenced for beat in the.beats) == 2, "it to join once more, as it was asked to")
        the.heart.renew_now()
        count = len(the.beats)
        await until(lambda: len(the.beats) > count, "a renewal")
        assert not the.beats[-1].was_fenced, "once is enough"


@in_loop
async def test_a_node_that_is_to_leave_drains_also_when_it_joins_anew(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        await begun(the)
        the.heart.leave_soon()
        the.heart.rejoin()
        await until(lambda: the.beats[-1].was_fenced, "it to join anew")
        assert the.state("a") == "draining"


@in_loop
async def test_what_fails_is_told_and_tried_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        fails = [True]

        def measured() -> tuple[int, float]:
            if fails:
                raise OSError("no number of calls")
            return 0, 0.0

        the.measured = measured
        the.heart.start()
        await until(lambda: the.trouble, "the trouble")
        assert the.trouble[0].startswith("OSError: ")
        assert the.beats == []
        fails.clear()
        the.heart.renew_now()
        await until(lambda: the.beats, "a renewal")


@in_loop
async def test_a_lease_is_not_renewed_while_the_loop_of_the_calls_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It was, and nobody took its calls over: their callers heard nothing for as long as it hung."""
    monkeypatch.setattr(heartbeat, "_HANGS_SECONDS", 0.1)
    async with stage(tmp_path) as the:
        await begun(the)

        def lease() -> float:
            with sqlite3.connect(str(the.url.database)) as connection:
                return float(connection.execute("SELECT lease_until FROM nodes").fetchone()[0])

        for _ in range(3):  # as often as a thread may be asked for it
            the.heart.renew_now()
            time.sleep(0.1)  # noqa: ASYNC251 - that is what hangs
        before = lease()
        the.heart.renew_now()
        time.sleep(0.1)  # noqa: ASYNC251 - as above
        assert lease() == before
        await until(lambda: "hung" in caplog.text, "the loop to be asked again", 2)
        await until(lambda: lease() > before, "another renewal", 1)


@in_loop
async def test_a_node_that_joins_long_after_it_was_made_has_not_hung(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its database had been away: nothing was asked of the loop meanwhile."""
    async with stage(tmp_path) as the:
        the.heart._answered -= 60
        await begun(the)
        assert "hung" not in caplog.text


@in_loop
async def test_what_comes_after_its_end_or_without_a_beginning_is_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        await Stage(tmp_path).heart.close()
        await begun(the)
        await the.heart.close()
        the.heart.renew_now()
        the.heart.declare_dead(Node(name="b", epoch=1))
        await asyncio.sleep(0)
        assert not the.heart._thread.is_alive()
