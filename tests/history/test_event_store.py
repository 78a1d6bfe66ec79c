"""The events in the database: which may be sent now, and what became of the others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from callflow.history.database import Database, url_of
from callflow.history.event_store import EventStore
from tests.history import new_database, sql


NOW = 1_700_000_000.0


class Stage:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.events = EventStore(database)

    async def add(self, call: str, name: str, **more: Any) -> None:
        row = {
            "id": name, "call": call, "type": "call.started", "at": NOW, "body": json.dumps({"id": name}), "tries": 0,
            "state": "waiting", "since": NOW, "next_at": NOW, "settled_at": None, **more,
        }  # fmt: skip
        names = ", ".join(row)
        await sql.execute(
            self.database,
            f"INSERT INTO events_out ({names}) VALUES ({', '.join(f':{each}' for each in row)})",
            row=row,
        )

    async def due(self, now: float = NOW, most: int = 10) -> list[str]:
        return [each.id for each in (await self.events.due(now, most))[0]]


@asynccontextmanager
async def stage(url: str) -> AsyncIterator[Stage]:
    if url.startswith("sqlite:///"):
        await new_database.put_into(Path(url.removeprefix("sqlite:///")).parent)
    database = Database(url_of(url, "data"))
    await database.migrate()
    try:
        yield Stage(database)
    finally:
        await database.close()


async def test_of_each_call_the_first_that_waits_may_be_sent(database_url: str) -> None:
    async with stage(database_url) as the:
        for call, name in (("a", "a1"), ("b", "b1"), ("a", "a2"), ("b", "b2"), ("c", "c1")):
            await the.add(call, name)
        assert await the.due() == ["a1", "b1", "c1"]
        assert await the.due(most=2) == ["a1", "b1"]
        await the.events.delivered("a1", NOW)
        await the.events.dead("b1", NOW, "HTTP 410")
        assert await the.due() == ["a2", "b2", "c1"]
        assert await the.events.counts() == (3, 1)


async def test_after_a_failure_all_events_of_the_call_wait_and_no_others(database_url: str) -> None:
    async with stage(database_url) as the:
        for call, name in (("a", "a1"), ("a", "a2"), ("b", "b1")):
            await the.add(call, name)
        (first, _), later = await the.events.due(NOW, 10)
        assert later is None
        await the.events.failed(first, NOW + 8, "HTTP 503")
        found, later = await the.events.due(NOW, 10)
        assert ([each.id for each in found], later) == (["b1"], NOW + 8)
        (again, _), _ = await the.events.due(NOW + 8, 10)
        assert (again.id, again.tries, json.loads(again.body)) == ("b1", 0, {"id": "b1"})
        assert await the.due(NOW + 8) == ["b1", "a1"]


async def test_what_was_settled_is_not_settled_anew(database_url: str) -> None:
    """A note that comes late, from a sender that was thought to be gone."""
    async with stage(database_url) as the:
        await the.add("a", "a1")
        ((event,), _) = await the.events.due(NOW, 10)
        await the.events.delivered("a1", NOW)
        await the.events.dead("a1", NOW, "HTTP 410")
        await the.events.failed(event, NOW, "HTTP 500")
        assert await the.events.state("a1") == "delivered"
        assert not await the.events.again("a1", NOW)
        assert await the.events.state("nothing") == ""


async def test_old_rows_are_deleted_by_their_state(database_url: str) -> None:
    async with stage(database_url) as the:
        for name, state, at in (
            ("a1", "delivered", 1.0),
            ("a2", "dead", 1.0),
            ("a3", "dead", 3.0),
            ("a4", "waiting", None),
        ):
            await the.add("a", name, state=state, settled_at=at)
        assert await the.events.expire("delivered", 2.0) == 1
        assert await the.events.expire("delivered", 2.0) == 0
        assert await the.events.expire("dead", 2.0) == 1
        assert [one["id"] for one in await the.events.dead_letters(10, 0)] == ["a3"]
        assert await the.events.counts() == (1, 1)
