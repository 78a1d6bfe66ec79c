"""A process that serves alone on a PostgreSQL server, and a second one that waits beside it: a session that ends, as
when the server is restarted, is not the end of the process that had it."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from callflow.app import Application
from callflow.config.settings import Settings
from tests.e2e.cluster_proof.counting import nothing_twice
from tests.e2e.database_link import DatabaseLink
from tests.e2e.product import until
from tests.e2e.several_nodes import Cluster, cluster
from tests.e2e.test_database_hangs import database


pytestmark = [pytest.mark.carrier("telnyx"), pytest.mark.one_node("they serve alone")]


async def alone(the: Cluster, address: str) -> Application:
    """Open a process that serves alone; the first gets the calls."""
    made = Settings(**the.settings, database_url=address, port=0 if the.nodes else the.port)
    one = await the.stack.enter_async_context(Application(made))
    the.nodes.append(one)
    return one


async def end_sessions(address: str, whose: str = "true") -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            f" AND pid <> pg_backend_pid() AND {whose}"
        )
    finally:
        await connection.close()


@pytest.mark.parametrize("whose", ["pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')", "true"])
async def test_a_second_process_does_not_take_the_calls_of_one_whose_session_has_ended(
    postgresql: str, whose: str
) -> None:
    async with database(postgresql) as address, cluster() as the:
        first, second = await alone(the, address), await alone(the, address)
        await until(first.recovery.opened.is_set, "the first to be in charge")
        await until(second.recovery.opened.is_set, "the second to wait")
        calls = [(await the.answered())[0] for _ in range(2)]
        for _ in range(5):
            await end_sessions(address, whose)
            await asyncio.sleep(0.7)
        assert second.switchboard.calls == [], "it has taken live calls of a process that lives"
        assert len(first.switchboard.calls) == 2
        assert [len(call.streams) for call in calls] == [1, 1]
        nothing_twice(the.carrier)
        await the.hang_up()


async def test_one_that_was_cut_off_for_so_long_lets_go_of_what_the_other_has_taken(postgresql: str) -> None:
    link = DatabaseLink()
    async with database(postgresql) as behind, link.to(behind) as address, cluster() as the:
        first, second = await alone(the, address), await alone(the, behind)
        calls = [(await the.answered())[0] for _ in range(2)]
        link.cut()
        await until(lambda: len(second.switchboard.calls) == 2, "the second to take over", 10)
        link.is_cut = False
        await until(lambda: not first.switchboard.calls, "the first to let go", 10)
        await until(lambda: all(call.streams[-1].options.url for call in calls), "their streams")
        await the.answered()
        assert len(first.switchboard.calls) == 1, "it answers no calls any more"
        assert [call.ended_at for call in calls] == [None, None]
        assert len(second.switchboard.calls) == 2
        await until(lambda: not the.unwritten(), "the journal", 10)
        await the.hang_up()
