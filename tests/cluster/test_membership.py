"""Nodes of one machine as they see each other: leases, evidence, claims that change hands. In one process."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from callflow.cluster import membership as module
from callflow.cluster import node_store
from callflow.cluster.heartbeat import Renewal
from callflow.cluster.membership import Membership
from callflow.cluster.node_lock import NodeLock
from callflow.cluster.nodes import View
from callflow.cluster.peers import NodeConfig
from callflow.contracts.errors import Overloaded
from callflow.history.database import url_of
from callflow.history.history import History
from callflow.history.node_tables import nodes
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began
from tests.e2e.product import until
from tests.in_loop import in_loop


CALL = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


class Machine:
    """A folder that nodes share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.histories: list[History] = []
        self.nodes: list[Membership] = []

    def made(self, name: str, calls: int = 0) -> tuple[Membership, History]:
        """A node whose history is not open yet, and which has not joined."""
        url = url_of("", str(self.folder))
        history = History(url, recordings=self.folder / "recordings", retention_days=0, country="US")
        config = NodeConfig(
            name=name, address=f"unix:{self.folder}/{name}.sock", folder=self.folder / "cluster", capacity=10,
            secret=b"s" * 32,
        )  # fmt: skip
        return Membership(config, history, calls=lambda: calls, lag=lambda: 1.0), history

    async def node(self, name: str, calls: int = 0) -> Membership:
        node, history = self.made(name, calls)
        await history.open()
        await node.join()
        self.histories.append(history)
        self.nodes.append(node)
        for each in self.nodes:
            each._heartbeat.renew_now()
        await until(lambda: all(len(each.living()) == len(self.nodes) - 1 for each in self.nodes), "all to be known")
        return node

    async def began(self, index: int, call: str = CALL) -> None:
        journal = self.histories[index].journal
        journal.note(JournalEntry.of(Began(carrier="telnyx", direction="inbound"), call=call, at=1.0))
        await journal.flushed()


@asynccontextmanager
async def machine(folder: Path) -> AsyncIterator[Machine]:
    the = Machine(folder)
    try:
        yield the
    finally:
        await asyncio.gather(*(node.close() for node in the.nodes))
        for history in the.histories:
            await history.journal.close()
            await history.close()


@in_loop
async def test_nodes_find_each_other_and_the_first_one_leads(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        a, b = await the.node("w1", calls=4), await the.node("w2")
        assert (a.leads, b.leads) == (True, False)
        assert [peer.name for peer in a.living()] == ["w2"]
        peer = b.peer("w1")
        assert peer is not None
        assert peer.address == f"unix:{tmp_path}/w1.sock"
        assert a.peer("w1") is None
        assert a.peer("w3") is None
        assert (a.place(), b.place(), a.place_elsewhere()) == ("w2", "w2", "w2")
        a.keys.told("w2", ["twilio"])
        assert [(a.place(each), a.place_elsewhere(each)) for each in ("telnyx", "twilio")] == [("w1", ""), ("w2", "w2")]
        assert a.has_room_beside
        assert await a.may_act()


@in_loop
async def test_a_node_that_leaves_is_gone_at_once_and_its_calls_are_taken(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        a, b = await the.node("w1"), await the.node("w2")
        await the.began(0)
        assert (await a.owner(CALL), await b.owner(CALL), await b.owner(OTHER)) == ("w1", "w1", "")
        assert (await b.allotment()).most == 0
        await a.close()
        await until(lambda: not b.living(), "the end of w1", 5)
        assert (await b.allotment()).most == 1
        assert await b.take_orphans(1) == [CALL]
        assert await b.owner(CALL) == "w2"
        await until(lambda: b.leads, "the other to lead", 2)


@in_loop
async def test_a_refused_connection_is_evidence_and_the_node_that_lives_after_all_joins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with machine(tmp_path) as the:
        a, b = await the.node("w1"), await the.node("w2")
        await the.began(0)
        b.suspect("w1")
        await b.look_again()
        assert b.peer("w1") is not None, "it has just joined, and may not listen yet"
        monkeypatch.setattr(module, "_YOUNG_SECONDS", 0.0)
        fenced: list[int] = []
        a.on_fenced = lambda: fenced.append(a.epoch)
        before = a.epoch
        a.announce = b.look_again  # as its request to the others does
        b.suspect("w1")
        await until(lambda: fenced, "w1 to learn that it was declared dead", 5)
        await until(lambda: a.epoch > before, "w1 to be back", 5)
        await a.known()
        assert b.peer("w1") is not None
        assert await b.take_orphans(1) == [CALL]


@in_loop
async def test_the_owner_of_a_call_is_known_although_it_has_just_joined(tmp_path: Path) -> None:
    """What is about its calls would find nobody until the next renewal."""
    async with machine(tmp_path) as the:
        a, b = await the.node("w1"), await the.node("w2")
        await the.began(1)
        a.view = View(tuple(node for node in a.view.nodes if node.name != "w2"), a.view.now)
        assert await a.owner(CALL) == "w2"
        assert a.peer("w2") is not None
        assert b.peer("w1") is not None


@in_loop
async def test_a_call_is_given_to_another_node(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        a, b = await the.node("w1"), await the.node("w2")
        await the.began(0)
        assert await b.take_given(None) == []
        await a.give(CALL, "w2")
        assert await b.take_given([OTHER]) == []
        assert await b.take_given([CALL, OTHER]) == [CALL]
        assert await b.take_given(None) == []
        assert await a.owner(CALL) == "w2"


@asynccontextmanager
async def elsewhere(the: Machine, name: str, folder: Path) -> AsyncIterator[Membership]:
    """A node of another machine with the same database, which has not joined yet. `folder`: of that machine."""
    history = History(url_of("", str(the.folder)), recordings=folder / "recordings", retention_days=0, country="US")
    await history.open()
    config = NodeConfig(
        name=name, address="http://10.0.0.12:6010", folder=folder / "cluster", capacity=10, secret=b"s" * 32
    )
    node = Membership(config, history, calls=lambda: 0, lag=lambda: 1.0)
    joining = asyncio.create_task(node.join())
    try:
        yield node
    finally:
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        await node.close()
        await history.journal.close()
        await history.close()


@in_loop
async def test_a_call_is_not_given_to_a_node_that_leaves_although_that_is_not_known_here_yet(tmp_path: Path) -> None:
    """The claim was one of a living node then, which served nobody."""
    async with machine(tmp_path) as the:
        a, b = await the.node("w1"), await the.node("w2")
        await the.began(0)
        before = a.view
        await b.begin_to_leave()
        a.view = before  # as between two beats
        with pytest.raises(Overloaded):
            await a.give(CALL, "w2")
        assert (a.claims.has(CALL), await a.owner(CALL)) == (True, "w1")


@in_loop
async def test_what_a_node_was_given_just_before_it_left_is_served_there_or_by_others(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        a, b, c = await the.node("w1"), await the.node("w2"), await the.node("w3")
        for call in (CALL, OTHER):
            await the.began(0, call)
        keys = {call: await a.give(call, "w2") for call in (CALL, OTHER)}
        await b.begin_to_leave()
        assert await b.take_given([CALL]) == [CALL], "it can still move it"
        b.takes_given = False
        assert await b.take_given([OTHER]) == []
        assert await a.give(OTHER, "w3", keys[OTHER]) == ("w3", c.epoch), "whoever was told so gives it to another"
        assert await c.take_given([OTHER]) == [OTHER]
        assert await a.give(OTHER, "w1", keys[OTHER]) is None, "one that was taken is not taken back"
        await b.give(CALL, "w3")
        assert await a.give(CALL, "w1", ("w3", c.epoch)) == ("w1", a.epoch), "or goes on with it"
        assert (a.claims.has(CALL), b.claims.has(CALL), await b.owner(CALL)) == (True, False, "w1")


@in_loop
async def test_a_claim_that_a_leaving_node_finds_too_late_is_left_to_the_others(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        a, b, c = await the.node("w1"), await the.node("w2"), await the.node("w3")
        await the.began(0)
        await a.give(CALL, "w2")
        await b.begin_to_leave()
        b.takes_given = False
        assert await b.take_given(None) == []
        assert (await c.allotment()).most == 1
        assert await c.take_orphans(1) == [CALL]
        assert await a.owner(CALL) == "w3"


@in_loop
async def test_a_node_that_drains_and_is_declared_dead_for_a_moment_is_back_as_one_that_drains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others moved their calls to it, and it began to take new ones."""
    monkeypatch.setattr(module, "_YOUNG_SECONDS", 0.0)
    async with machine(tmp_path) as the:
        a, b = await the.node("w1"), await the.node("w2")

        async def dies_for_a_moment(order: str = "") -> None:
            before = a.epoch

            def dead(connection: Connection) -> None:
                if order:  # while it does not renew its lease
                    assert node_store.set_state(connection, "w1", order)
                victim = node_store.view(connection).named("w1")
                assert victim is not None
                node_store.fence(connection, [victim], expired=False)

            await b._database.write(dead)
            await until(lambda: a.epoch > before, "w1 to be back", 5)
            await a.known()
            await b.look_again()

        def state() -> str:
            node = b.view.named("w1")
            assert node is not None
            return node.state

        await dies_for_a_moment()
        assert (state(), a.draining.is_set()) == ("up", False)
        await dies_for_a_moment("draining")
        assert (state(), a.draining.is_set()) == ("draining", True)
        await dies_for_a_moment()
        assert (state(), a.draining.is_set()) == ("draining", True)
        assert b.place_elsewhere() == ""
        a._heartbeat.rejoin()  # as one does that was alone without the database
        before = a.epoch
        await until(lambda: a.epoch > before, "w1 to be back", 5)
        await b.look_again()
        assert state() == "draining"
        await b.set_state("w1", "up")
        await dies_for_a_moment()
        assert (state(), a.draining.is_set()) == ("up", False)
        a.is_leaving = True
        a._heartbeat.leave_soon()  # and its word did not come through
        await dies_for_a_moment()
        assert state() == "draining"


@pytest.mark.parametrize("is_copied", [False, True])
@in_loop
async def test_two_machines_with_a_node_of_one_name_do_not_fence_each_other(tmp_path: Path, is_copied: bool) -> None:
    """The second one serves nothing, and says what to do: also when its data folder is a copy of the first one's."""
    async with machine(tmp_path) as the:
        one = await the.node("a")
        fenced: list[str] = []
        one.on_fenced = lambda: fenced.append("one")
        if is_copied:
            await until(lambda: one._heartbeat._lock.epoch == one.epoch, "its epoch to be kept")
            shutil.copytree(tmp_path / "cluster", tmp_path / "other machine" / "cluster")
        async with elsewhere(the, "a", tmp_path / "other machine") as second:
            await until(lambda: second.trouble or second.epoch, "it to say so", 5)
            assert "set another NODE here" in second.trouble
            assert (fenced, second.epoch, one.lease_holds) == ([], 0, True)
            await second.begin_to_leave()  # as it is told to: the first one has no part in that
            await one.look_again()
            assert not one.is_draining, "the node whose name it had drains instead of it"
            await one.close()  # and then its name is free
            await until(lambda: second.epoch, "it to join", 5)


@in_loop
async def test_a_copy_of_a_data_folder_does_not_fence_the_living_nodes_of_the_machine_it_was_copied_from(
    tmp_path: Path,
) -> None:
    async with machine(tmp_path) as the:
        one = await the.node("a-w1")
        fenced: list[int] = []
        one.on_fenced = lambda: fenced.append(one.epoch)
        await until(lambda: one._heartbeat._lock.epoch == one.epoch, "its epoch to be kept")
        shutil.copytree(tmp_path / "cluster", tmp_path / "other machine" / "cluster")
        async with elsewhere(the, "b-w1", tmp_path / "other machine") as other:
            await until(lambda: other.epoch, "the other machine's node to join")
            for _ in range(3):
                await other.look_again()
            before = one._renewed
            await until(lambda: one._renewed > before, "a renewal")
            assert (fenced, [peer.name for peer in other.living()]) == ([], ["a-w1"])


@in_loop
async def test_a_node_that_died_is_back_under_its_name_at_once_on_its_machine_and_soon_on_another(
    tmp_path: Path,
) -> None:
    async with machine(tmp_path) as the:
        one = await the.node("a")

        def died(connection: Connection) -> None:  # its row is left, with a lease
            row = {"name": "b", "epoch": 77, "address": "x", "capacity": 1, "calls": 0, "lag_ms": 0.0, "state": "up"}
            connection.execute(insert(nodes).values(**row, started_at=0.0, lease_until=time.time() + 3))

        lock = NodeLock(tmp_path / "cluster", "b")
        lock.take()
        lock.remember(77)
        lock.release()
        for moment in ("here", "elsewhere"):
            await one._database.write(died)
            began = time.monotonic()
            b = await the.node("b")
            assert (time.monotonic() - began < 0.5) is (moment == "here")
            await b.close()
            the.nodes.remove(b)
            (tmp_path / "cluster" / "b.lock").unlink()


@in_loop
async def test_what_is_given_away_while_one_looks_for_what_was_given_is_not_taken_back(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        a, b = await the.node("w1"), await the.node("w2")
        await the.began(0)
        read, has_read, go_on = a._database.read, asyncio.Event(), asyncio.Event()

        async def slowly(work: Any) -> Any:
            found = await read(work)
            has_read.set()
            await go_on.wait()
            return found

        a._database.read = slowly  # type: ignore[method-assign]
        look = asyncio.create_task(a.take_given(None))
        await has_read.wait()
        await a.give(CALL, "w2")
        assert await b.take_given([CALL]) == [CALL]
        go_on.set()
        assert await look == []
        assert (a.claims.has(CALL), b.claims.has(CALL)) == (False, True)
        assert not the.histories[0].journal.is_whole(CALL), "it goes on elsewhere"


@in_loop
async def test_a_node_drains_and_takes_calls_again(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        a, b = await the.node("w1"), await the.node("w2")
        assert await b.set_state("w1", "draining")
        await until(lambda: a.is_draining and b.view.named("w1") is not None, "w1 to know", 3)
        assert not await b.set_state("w9", "draining")
        await until(lambda: b.leads, "another to lead", 3)
        assert a.place() == "w2"
        assert await a.set_state("w1", "up")
        await a.begin_to_leave()
        assert ((await a.allotment()).most, await a.take_given(None)) == (0, [])


@in_loop
async def test_calls_of_nobody_are_taken_over_or_claimed_once(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        a, b = await the.node("w1"), await the.node("w2")
        fence, the.histories[0].journal.fence = the.histories[0].journal.fence, None
        await the.began(0)
        the.histories[0].journal.fence = fence
        await b.disown_unclaimed()
        assert await a.take_orphans(1) == [CALL]
        assert not await b.claim(CALL)
        assert await a.claim(OTHER)


@in_loop
async def test_a_lost_lease_ends_calls_only_where_others_reach_the_database(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        node = await the.node("w1", calls=1)
        let_go: list[bool] = []
        node.on_fenced = lambda: let_go.append(True)
        await node._heartbeat.close()
        node.trouble, node._renewed = "no route to host", -100.0
        assert not node.lease_holds
        assert await node.may_act()  # nobody else has it either

        async def others() -> bool:
            return True

        node.others_take_over = others
        assert not await node.may_act()
        assert let_go == [True]


@in_loop
async def test_of_a_call_whose_first_commit_was_not_answered_a_node_lets_go_with_the_others(tmp_path: Path) -> None:
    """Another node reads it from the database and goes on with it."""
    async with machine(tmp_path) as the:
        node = await the.node("w1", calls=1)
        write, database = node._database.write, the.histories[0].database

        async def without_answer(work: Any) -> Any:
            await write(work)
            raise OSError("the link is cut")

        database.write = without_answer  # type: ignore[method-assign]
        journal = the.histories[0].journal
        journal.note(JournalEntry.of(Began(carrier="telnyx", direction="inbound"), call=CALL, at=1.0))
        await until(lambda: journal.trouble, "the trouble")
        await node._heartbeat.close()
        node.trouble, node._renewed = "no route to host", -100.0

        async def others() -> bool:
            return True

        node.others_take_over = others
        assert not await node.may_act(CALL)
        database.write = write  # type: ignore[method-assign]


@in_loop
async def test_a_database_that_hangs_keeps_callers_waiting_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AWAY_SECONDS", 0.0)
    async with machine(tmp_path) as the:
        node = await the.node("w1")
        await node._heartbeat.close()
        given: list[float] = []

        async def soon(reading: Any, seconds: float) -> Any:
            given.append(seconds)
            reading.close()
            raise TimeoutError

        answers, node._database.soon = node._database.soon, soon  # type: ignore[method-assign]
        assert await node.owner(CALL) is None
        assert await node.owner(CALL) is None
        assert given == [0.5, 0.0]
        node._database.soon = answers  # type: ignore[method-assign]
        node._keeps_waiting = False
        assert await node.owner(CALL) == ""


@in_loop
async def test_whoever_asks_gets_what_the_database_says_after_all(tmp_path: Path) -> None:
    async with machine(tmp_path) as the:
        node = await the.node("w1")

        async def answer(seconds: float) -> str:
            await asyncio.sleep(seconds)
            return "found"

        with pytest.raises(TimeoutError):
            await node.ask(answer(60), 0.01)
        assert await node.ask(answer(0)) == "found"
        assert not node._database._left_behind


@in_loop
async def test_who_is_back_after_an_outage_does_not_say_that_it_takes_over(tmp_path: Path) -> None:
    """The outage may have been one for all, and each node goes on with its calls until it is back itself."""
    async with machine(tmp_path) as the:
        node = await the.node("w1")
        await until(lambda: node.takes_over, "a renewal")
        await node._heartbeat.close()
        beat = Renewal(node.epoch, node.view, time.monotonic(), judges=True)
        node._on_beat(replace(beat, began=beat.began - 10))
        assert not node.takes_over, "it cannot renew its lease"
        node._on_beat(replace(beat, judges=False))
        assert node.reaches_database
        assert not node.takes_over, "it declares nobody dead yet"
        node._on_beat(beat)
        assert node.takes_over


@in_loop
async def test_a_full_disk_does_not_end_the_renewals_of_a_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their thread ended when the epoch of a node that had joined anew could not be written to its lock."""

    def is_full(*given: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with machine(tmp_path) as the:
        node = await the.node("w1")
        before, other = node.epoch, NodeLock(tmp_path / "cluster", "w2")
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", is_full)
            node._heartbeat.rejoin()
            await until(lambda: node.epoch > before, "w1 to join anew", 5)
            assert not other.is_here("w1", node.epoch)
        await until(lambda: other.is_here("w1", node.epoch), "the epoch to be written after all", 5)
