"""A database server that takes connections and answers nothing: callers are answered all the same, and what was said is
on record when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import httpx
import pytest

from callflow.cluster.nodes import LEASE_SECONDS
from tests.e2e.database_link import DatabaseLink
from tests.e2e.product import product, until
from tests.e2e.several_nodes import cluster, member
from tests.history import postgres


CARRIERS = ("telnyx", "twilio")
SAMPLED = True


@contextlib.asynccontextmanager
async def database(server: str) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    await asyncio.to_thread(postgres.create, server, name)
    yield server.format(name=name)


async def test_callers_are_answered_while_it_hangs_and_are_on_record_afterwards(postgresql: str, carrier: str) -> None:
    link = DatabaseLink()
    async with database(postgresql) as behind, link.to(behind) as address, cluster() as the:
        await the.begin_two(address)
        first, usual = await the.answered()
        link.hang()
        seconds = [(await the.answered())[1] for _ in range(4)]
        print(f"{carrier}: heard after {usual:.2f} s; while the database hangs:", *(f"{each:.2f}" for each in seconds))
        await until(lambda: all(member(each).trouble for each in the.nodes), "both nodes to know")
        _, late = await the.answered()
        assert first.ended_at is None
        entry, other = the.nodes
        theirs = other.switchboard.calls[0]
        async with httpx.AsyncClient(base_url="http://{}:{}".format(*entry.console_at), trust_env=False) as client:
            entry.journal.trouble = ""  # as in the first seconds
            listed = (await client.get("/api/calls/live", timeout=20)).json()["live"]
            assert {call["id"] for call in listed} >= {call.id for call in entry.switchboard.calls}
            answer = await client.post(f"/api/calls/{theirs.id}/hangup", timeout=20)
        assert answer.status_code in (200, 202), answer.text
        await until(lambda: not other.switchboard.is_live(theirs.id), "the call that an operator has ended")
        link.go_on()
        await until(lambda: not the.unwritten(), "the journal", 20)
        assert max(seconds) < usual + 4, seconds
        assert late < usual + 2, "it is known to hang, and they wait for it again"
        assert the.moved() == 0, "it was an outage for all, and nobody had to take over from anybody"
        await the.hang_up()
        assert await the.on_record() == len(the.carrier.calls)


@pytest.mark.carrier("telnyx")
async def test_a_node_that_begins_meanwhile_answers_calls_and_joins_when_it_is_back(postgresql: str) -> None:
    link = DatabaseLink()
    async with database(postgresql) as behind, link.to(behind) as address, cluster() as the:
        link.hang()
        node = await the.begin(address)
        assert any("THE HISTORY CANNOT BE OPENED" in line or "NOT KNOWN" in line.upper() for line in node.warnings)
        for _ in range(2):
            await the.answered()
        assert not member(node).epoch
        link.go_on()
        await until(lambda: member(node).epoch and not the.unwritten(), "the node to join", 20)
        await the.answered()
        for call in node.switchboard.calls:
            assert member(node).claims.has(call.id)
        await the.hang_up()
        assert await the.on_record() == 3


@pytest.mark.carrier("telnyx")
async def test_where_it_hangs_for_one_node_the_other_has_its_calls(postgresql: str) -> None:
    link = DatabaseLink()
    async with database(postgresql) as behind, link.to(behind) as address, cluster() as the:
        hangs = await the.begin(address)
        call, _ = await the.answered()
        other = await the.begin(behind)
        await the.meet()
        link.hang()
        await until(lambda: other.switchboard.calls and not hangs.switchboard.calls, "the takeover", 15)
        await until(lambda: len(call.streams) == 2, "its new media stream", 10)
        name = other.switchboard.calls[0].id
        assert member(hangs).claims.has_let_go(name)
        assert await member(hangs).owner(name) is None
        await the.answered()
        link.go_on()
        await until(lambda: not member(hangs).trouble and not the.unwritten(), "the node to be back", 20)
        assert call.ended_at is None
        await the.hang_up()
        assert await the.on_record() == 2


@pytest.mark.carrier("telnyx")
async def test_a_node_that_is_told_to_end_meanwhile_says_goodbye(postgresql: str) -> None:
    """No other node could take its calls over."""
    link = DatabaseLink()
    async with (
        database(postgresql) as behind,
        link.to(behind) as address,
        cluster(drain="handover", drain_seconds=0.5) as the,
    ):
        await the.begin_two(address)
        calls = [(await the.answered())[0] for _ in range(2)]
        entry, leaving = the.nodes
        link.hang()
        await leaving.leave()
        assert not leaving.switchboard.calls
        assert [call.ended_at is None for call in calls].count(False) == 1, "its caller is left in silence"
        assert [len(call.streams) for call in calls] == [1, 1]
        assert len(entry.switchboard.calls) == 1
        link.go_on()
        await the.hang_up()


@pytest.mark.carrier("telnyx")
@pytest.mark.one_node("it has nodes of its own")
async def test_so_does_a_process_that_serves_alone(postgresql: str) -> None:
    """The next one could not take its calls back."""
    link = DatabaseLink()
    async with (
        database(postgresql) as behind,
        link.to(behind) as address,
        product(database_url=address, drain="handover", drain_seconds=0.5) as the,
    ):
        call = await the.carrier.ring()
        await call.phone.hears(0.3)
        link.hang()
        await the.app.leave()
        assert call.ended_at is not None, "its caller is left in silence"
        link.go_on()


@pytest.mark.carrier("telnyx")
@pytest.mark.one_node("it has nodes of its own")
async def test_while_a_file_is_locked_calls_are_answered_and_none_is_moved_afterwards() -> None:
    """For longer than a lease; the node that is back first must not take the other's calls."""
    async with cluster() as the:
        await the.begin_two()
        for _ in range(2):
            await the.answered()
        began = monotonic()
        with contextlib.closing(
            sqlite3.connect(Path(the.settings["data_dir"], "callflow.db"), isolation_level=None)
        ) as locker:
            locker.execute("BEGIN IMMEDIATE")
            for _ in range(4):
                await the.answered()
            await until(lambda: all(member(each).trouble for each in the.nodes), "both nodes to know")
            await asyncio.sleep(max(LEASE_SECONDS + 1 - (monotonic() - began), 0))
            assert not any(member(each).lease_holds for each in the.nodes)
            locker.execute("ROLLBACK")
        await until(lambda: not any(member(each).trouble for each in the.nodes), "both nodes to be back")
        await until(lambda: not the.unwritten(), "the journal", 20)
        assert the.moved() == 0
        await the.hang_up()
        assert await the.on_record() == 6
