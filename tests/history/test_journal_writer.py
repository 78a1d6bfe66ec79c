"""The durable journal: everything in order, in few commits, and a live call never waits for a database in trouble."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from callflow.contracts.errors import JournalError
from callflow.history.database import Database, url_of
from callflow.history.journal_writer import DurableJournal
from callflow.history.query import Query
from callflow.history.store import Store
from callflow.journal.journal import BEGAN, ENDED, JournalEntry
from callflow.journal.notes import Began, Ended, NumberId
from tests.e2e.product import until
from tests.history import new_database


CALL = "00000000-0000-4000-8000-000000000001"


def began(call: str = CALL, at: float = 1_700_000_000.0) -> JournalEntry:
    event = {
        "event": BEGAN, "carrier": "telnyx", "control": "v3:x", "leg": "leg", "session": "s", "number": "",
        "from": "+15550100001", "to": "+15550100002", "direction": "inbound", "profile": "",
        "engine_tries": 3, "stream_tries": 3,
    }  # fmt: skip
    return JournalEntry(call, 0, at, event)


def step(number: int, call: str = CALL) -> JournalEntry:
    return JournalEntry(
        call, number, 1_700_000_000.0 + number, {"event": "engine_ready"}, "streaming", "streaming", True, []
    )


@asynccontextmanager
async def journal(url: str) -> AsyncIterator[tuple[DurableJournal, Store]]:
    if url.startswith("sqlite:///"):
        await new_database.put_into(Path(url.removeprefix("sqlite:///")).parent)
    database = Database(url_of(url, "data"))
    await database.migrate()
    one = DurableJournal()
    one.open(database)
    try:
        yield one, Store(database)
    finally:
        await one.close()
        await database.close()


async def test_those_who_count_are_told_of_each_entry_although_it_cannot_be_written() -> None:
    one = DurableJournal(most_waiting=1)
    told: list[JournalEntry] = []
    one.on_entry = told.append
    entries = [began(), step(1), step(2)]
    one.note(entries[0])
    one.trouble = "the disk is full"
    for each in entries[1:]:
        with pytest.raises(JournalError):
            await one.append(each)
    assert told == entries
    one.add(JournalEntry.of(NumberId(number="PN1"), call=CALL, at=1.0))
    assert told == entries, "what is added to a call that may be over is told to nobody"
    await one.close()


async def test_a_step_that_was_appended_is_on_record_and_its_call_with_it(database_url: str) -> None:
    async with journal(database_url) as (one, store):
        one.note(began())
        await one.append(step(1))
        assert [record.step for record in await store.journal(CALL)] == [0, 1]
        assert [record.event for record in await store.journal(CALL)] == [kept.event for kept in one.read(CALL)]
        assert await store.unfinished() == [CALL]
        one.note(JournalEntry(CALL, 1, 1_700_000_090.9, {"event": ENDED, "cause": "normal_clearing"}))
        await one.flushed()
        row = await store.conversation(CALL)
        assert row is not None
        assert (row["duration_seconds"], row["hangup_cause"], row["ended_at"]) == (
            90, "normal_clearing", "2023-11-14T22:14:50.900Z",
        )  # fmt: skip
        assert await store.unfinished() == []


async def test_the_id_of_the_number_is_on_record_whether_the_webhook_brings_it_or_it_comes_later(
    database_url: str,
) -> None:
    async with journal(database_url) as (one, store):
        brought, later = began(CALL), began(CALL[:-1] + "2")
        one.note(replace(brought, event={**brought.event, "number": "PN1"}))
        one.note(later)
        one.note(JournalEntry(later.call, 0, later.at + 1, {"event": NumberId.kind, "number": "PN2"}))
        one.note(JournalEntry(CALL, 0, later.at + 1, {"event": NumberId.kind, "number": "PN3"}))
        await one.flushed()
        rows = [await store.conversation(call) for call in (CALL, later.call)]
        assert [row and row["phone_number_sid"] for row in rows] == ["PN1", "PN2"], "what is there stays"
        assert [row["call_id"] for row in await store.find(Query(called_id="PN2"))] == [later.call]


async def test_when_a_call_is_over_nothing_of_it_goes_on(database_url: str) -> None:
    """A sentence that was being said, a tool that was running, a stream that was open."""
    async with journal(database_url) as (one, store):
        one.note(began())
        for event in (
            {"event": "media_started", "stream": "MZ1"},
            {"event": "heard", "item": "said", "ms": 100, "of_ms": 900, "done": False, "so_far": "Good"},
            {"event": "tool_called", "id": "ran", "tool": "look", "arguments": "{}"},
        ):
            one.note(JournalEntry(CALL, 0, 1_700_000_001.0, event))
        await one.flushed()
        row = await store.conversation(CALL)
        assert row is not None
        assert {item["status"] for item in await store.items(row["id"])} == {"in_progress", "running"}
        assert [each["ended_at"] for each in (await store.details(row["id"]))["streams"]] == [None]
        one.note(JournalEntry(CALL, 0, 1_700_000_002.0, {"event": ENDED, "cause": "normal_clearing"}))
        await one.flushed()
        assert {item["status"] for item in await store.items(row["id"])} == {"incomplete"}
        (stream,) = (await store.details(row["id"]))["streams"]
        assert (stream["ended_at"], stream["reason"]) == ("2023-11-14T22:13:22.000Z", "the call is over")


async def test_what_comes_while_one_commit_runs_is_the_next_commit(database_url: str) -> None:
    async with journal(database_url) as (one, store):
        one.note(began())
        await asyncio.gather(*(one.append(step(number)) for number in range(1, 301)))
        assert one.counts["written"] == 301
        assert one.counts["batches"] <= 5
        assert [record.step for record in await store.journal(CALL)] == list(range(301))


@pytest.mark.e2e
async def test_whoever_waits_until_all_so_far_is_written_does_not_wait_for_what_comes_meanwhile(
    database_url: str,
) -> None:
    """On a busy server there is never a moment in which nothing waits."""
    async with journal(database_url) as (one, store):
        one.note(began())
        commit = one._commit

        async def commits_while_more_comes(database: Database, batch: Sequence[Any]) -> None:
            if one.waiting < 100:
                one.note(JournalEntry.of(NumberId(number="PN1"), call=CALL, at=1.0))
            await commit(database, batch)

        one._commit = commits_while_more_comes  # type: ignore[method-assign]
        async with asyncio.timeout(5):
            await one.flushed()
        assert one.waiting
        assert next(iter(await store.journal(CALL))).name == BEGAN
        one._commit = commit  # type: ignore[method-assign]
        await one.flushed()
        assert not one.waiting


@pytest.mark.e2e
def test_a_locked_database_holds_up_no_step_and_loses_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        url = f"sqlite:///{tmp_path}/callflow.db"
        async with journal(url) as (one, store):
            one.note(began())
            await one.append(step(1))
            locker = sqlite3.connect(tmp_path / "callflow.db", isolation_level=None)
            locker.execute("BEGIN EXCLUSIVE")
            with pytest.raises(JournalError):
                await one.append(step(2))
            started = time.monotonic()
            with pytest.raises(JournalError):
                await one.append(step(3))
            assert time.monotonic() - started < 0.1, "a step waited for a database that is known to be in trouble"
            assert one.trouble
            locker.execute("ROLLBACK")
            locker.close()
            await until(lambda: not one.waiting, "the records to be written after all", 10)
            assert not one.trouble
            assert [record.step for record in await store.journal(CALL)] == [0, 1, 2, 3]
            assert one.counts["lost"] == 0

    asyncio.run(main())
    assert "THE JOURNAL CANNOT BE WRITTEN" in caplog.text


async def test_a_database_that_is_away_for_a_while_is_waited_for_whatever_the_driver_says(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timeout has no words at all."""
    async with journal(database_url) as (one, store):
        one.note(began())
        await one.append(step(1))
        database = store.database

        async def away(_: object) -> None:
            raise TimeoutError

        with monkeypatch.context() as patch:
            patch.setattr(database, "write", away)
            with pytest.raises(JournalError, match="TimeoutError"):
                await one.append(step(2))
        await until(lambda: not one.waiting, "the journal to go on", 5)
        assert [record.step for record in await store.journal(CALL)] == [0, 1, 2]


@pytest.mark.e2e
async def test_a_commit_of_which_nobody_is_told_is_not_made_twice(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks when it has succeeded, and before anybody hears of it."""
    async with journal(database_url) as (one, store):
        one.note(began())
        await one.append(step(1))
        database, write, tries = store.database, store.database.write, []

        async def committed(work: Callable[[Connection], None]) -> None:
            await write(work)
            tries.append(work)
            if len(tries) == 1:
                raise TimeoutError

        with monkeypatch.context() as patch:
            patch.setattr(database, "write", committed)
            with pytest.raises(JournalError, match="TimeoutError"):
                await one.append(step(2))
            one.note(step(3))
            await until(lambda: not one.waiting, "the journal to go on", 5)
        assert [record.step for record in await store.journal(CALL)] == [0, 1, 2, 3]
        assert (one.counts["unwritable"], one.counts["lost"]) == (0, 0)


async def test_what_one_call_notes_leaves_room_for_the_others() -> None:
    one = DurableJournal(most_waiting=6_000)  # nothing takes them off: no database is open
    for _ in range(20_000):
        one.note(JournalEntry(CALL, 1, 1.0, {"event": "heard"}))
    one.note(step(2))
    one.note(JournalEntry("another", 1, 1.0, {"event": "heard"}))
    assert (one.waiting, one.counts["dropped"], one.counts["lost"]) == (5_002, 15_000, 0)
    one.note(JournalEntry.of(Ended(cause="completed"), call=CALL, at=2.0))
    assert one.waiting == 5_003, "without its end it would be live for ever"
    for number in range(2_000):
        one.note(JournalEntry(f"call {number}", 1, 1.0, {"event": "heard"}))
    assert (one.waiting, one.counts["lost"]) == (6_000, 1_003)
    for number in range(10_000):
        one.note(JournalEntry.of(Began(carrier="telnyx"), call=f"new {number}", at=3.0))
    assert one.waiting == 12_000, "and that has a bound, too"
    for number in range(20_000):
        one.forget(f"call {number}")
    assert len(one._forgotten) == 10_000


@pytest.mark.e2e
def test_a_full_disk_is_loud_and_what_is_lost_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        database = Database(url_of(f"sqlite:///{tmp_path}/callflow.db", "data"))
        await database.migrate()
        one = DurableJournal(most_waiting=50)
        await database.write(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count=1").close())
        one.open(database)
        big = {"event": "turn", "who": "caller", "item": "i", "text": "x" * 200_000}
        for number in range(200):
            one.note(JournalEntry(CALL, number, 1.0, big))
        await until(lambda: one.trouble, "the trouble to be known", 5)
        assert "full" in one.trouble
        assert one.counts["lost"] == 150
        with pytest.raises(JournalError):
            await one.append(step(1))
        await one.close()
        await database.close()

    asyncio.run(main())
    assert "THE JOURNAL CANNOT BE WRITTEN" in caplog.text


def test_a_record_that_no_database_takes_is_left_out_alone(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with journal(database_url) as (one, store):
            one.note(began())
            one.note(
                JournalEntry(CALL, 0, 2.0, {"event": "turn", "who": "caller", "item": "i", "text": "a\x00b \ud800 c"})
            )
            one.note(JournalEntry("x" * 10, 1 << 80, 3.0, {"event": "nonsense"}))
            await one.append(step(1))
            assert [record.step for record in await store.journal(CALL)] == [0, 0, 1]
            assert (one.counts["unwritable"], one.counts["lost"]) == (1, 0)
            (item,) = await store.items((await store.conversation(CALL) or {})["id"])
            assert item["text"] == "ab ? c"

    asyncio.run(main())
    assert "and is left out" in caplog.text


async def test_what_was_deleted_does_not_come_back(database_url: str) -> None:
    async with journal(database_url) as (one, store):
        one.note(began())
        await one.append(step(1))
        row = await store.conversation(CALL)
        assert row is not None
        calls, _ = await store.delete([row["id"]], 1_700_000_100.0)
        for call in calls:
            one.forget(call)
        await one.append(step(2))
        assert await store.journal(CALL) == []
        assert await store.conversation(CALL) is None


def test_while_the_record_is_being_opened_no_step_waits_and_none_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        database = Database(url_of(f"sqlite:///{tmp_path}/callflow.db", "data"))
        one = DurableJournal()
        one.note(began())
        for number in range(1, 51):
            async with asyncio.timeout(0.05):
                await one.append(step(number))
        assert not one.trouble
        await database.migrate()
        one.open(database)
        await one.append(step(51))
        assert [record.step for record in await Store(database).journal(CALL)] == list(range(52))
        await one.close()
        await database.close()

    asyncio.run(main())
    assert caplog.text.count("the history is not open yet") == 1
    assert "ERROR" not in caplog.text
