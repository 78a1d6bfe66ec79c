"""A record that cannot be written, for whatever reason of its own, is left out: all others are on record."""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
import stat
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callflow.call.restore import restore_call
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.history import side_file
from callflow.history.database import Database, url_of
from callflow.history.journal_writer import DurableJournal
from callflow.history.side_file import SideFile
from callflow.history.store import Store
from callflow.journal.journal import ENDED, JournalEntry
from tests.e2e.product import until
from tests.history import postgres
from tests.history.sql import execute
from tests.history.test_journal_writer import CALL, began, step


OTHER = "00000000-0000-4000-8000-000000000002"


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("not even that")


def nested(depth: int) -> Any:
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


def note(kind: str, **data: Any) -> JournalEntry:
    return JournalEntry(CALL, 0, 1_700_000_001.0, {"event": kind, **data})


POISON: dict[str, JournalEntry] = {
    "a tool call without an id": note("tool_called", tool="t", arguments="{}"),
    "a tool's answer without an id": note("tool_finished", tool="t", output="{}"),
    "an interruption without cuts": note("interrupted", by_caller=True),
    "cuts that are none": note("interrupted", by_caller=True, cuts=[7]),
    "a turn of nobody": note("turn", text="hello"),
    "words that are none": note("turn", who="caller", item="i", text=["a"]),
    "a time that is none": JournalEntry(
        CALL, 0, math.nan, {"event": "turn", "who": "caller", "item": "i", "text": "a"}
    ),
    "a time beyond all calendars": JournalEntry(CALL, 0, 1e300, {"event": "told", "text": "a"}),
    "a number beyond 64 bits": note("heard", item="i", ms=1 << 70, of_ms=1, done=True),
    "a value that JSON has not": note("usage", total={"used": object()}),
    "a set of such": note("usage", total={"used": {1.5, Unprintable()}}),
    "a nest too deep": note("session_changed", changes=nested(100_000)),
    "a list where a column is": note("first_word", ms=[1]),
    "an object where a column is": note("recording", file={"a": 1}),
    "a step beyond 64 bits": JournalEntry(CALL, 1 << 80, 1_700_000_001.0, {"event": "nonsense"}),
    "a name that is none": JournalEntry(CALL, 0, 1_700_000_001.0, {"event": ["turn"]}),
}


@asynccontextmanager
async def journal(url: str, side: Path) -> AsyncIterator[tuple[DurableJournal, Store]]:
    database = Database(url_of(url, "data"))
    await database.migrate()
    one = DurableJournal(side_file=SideFile(side))
    one.open(database)
    try:
        yield one, Store(database)
    finally:
        await one.close()
        await database.close()


@pytest.mark.proof
@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
async def test_poison_is_left_out_and_all_others_are_on_record(
    database_url: str, tmp_path: Path, poison: JournalEntry
) -> None:
    side = tmp_path / "private" / "left-out.jsonl"
    async with journal(database_url, side) as (one, store):
        one.note(began())
        one.note(began(OTHER))
        one.note(poison)
        await asyncio.gather(*(one.append(step(number)) for number in range(1, 4)))
        await asyncio.gather(*(one.append(step(number, OTHER)) for number in range(1, 4)))
        for call in (CALL, OTHER):
            one.note(JournalEntry(call, 3, 1_700_000_090.0, {"event": ENDED, "cause": "normal_clearing"}))
        await one.flushed()
        for call in (CALL, OTHER):
            assert [record.step for record in await store.journal(call)] == [0, 1, 2, 3, 3]
            assert (await store.conversation(call) or {})["hangup_cause"] == "normal_clearing"
        assert (one.counts["unwritable"], one.counts["lost"], one.trouble) == (1, 0, "")
    (kept,) = [msgspec.json.decode(line) for line in side.read_bytes().splitlines()]
    assert (kept["call"], bool(kept["because"]), bool(kept["entry"])) == (CALL, True, True)
    assert stat.S_IMODE(side.stat().st_mode) == 0o600


async def test_poison_alone_in_its_batch_is_no_trouble(database_url: str, tmp_path: Path) -> None:
    async with journal(database_url, tmp_path / "side.jsonl") as (one, _):
        one.note(note("tool_called", tool="t"))
        await one.flushed()
        assert (one.counts["unwritable"], one.counts["failures"], one.trouble) == (1, 0, "")


async def test_an_error_that_names_nobody_is_the_records_own_once_another_can_be_written(
    database_url: str, tmp_path: Path
) -> None:
    """A trigger that somebody has added raises what a missing table or an odd statement would."""
    async with journal(database_url, tmp_path / "side.jsonl") as (one, store):
        await execute(store.database, *_refusing_trigger(store.database.is_sqlite))
        one.note(began())
        one.note(note("turn", who="caller", item="odd", text="odd"))
        await one.append(step(1))
        await until(lambda: not one.waiting, "the others to be written", 10)
        assert [record.step for record in await store.journal(CALL)] == [0, 1]
        assert one.counts["unwritable"] == 1


_SQLITE_TRIGGER = """
    CREATE TRIGGER refuse BEFORE INSERT ON conversation_items WHEN new.item_id = 'odd' BEGIN SELECT json('{'); END
"""
"""Fails with the code SQLITE_ERROR."""
_POSTGRESQL_TRIGGER = """
    CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN
        IF new.item_id = 'odd' THEN RAISE EXCEPTION 'no' USING ERRCODE = '0A000'; END IF;
        RETURN new;
    END $$ LANGUAGE plpgsql;
    CREATE TRIGGER refuse BEFORE INSERT ON conversation_items FOR EACH ROW EXECUTE FUNCTION refuse()
"""


def _refusing_trigger(is_sqlite: bool) -> list[str]:
    return [_SQLITE_TRIGGER] if is_sqlite else _POSTGRESQL_TRIGGER.rsplit(";\n", 1)


async def test_a_text_that_is_too_long_to_be_searched_is_its_own_records(postgresql: str, tmp_path: Path) -> None:
    """PostgreSQL: the words of one text may take 1 MiB in the index."""
    postgres.create(postgresql, "too_long")
    async with journal(postgresql.format(name="too_long"), tmp_path / "side.jsonl") as (one, store):
        one.note(began())
        words = " ".join(f"w{number:06}" for number in range(200_000))
        one.note(note("turn", who="caller", item="long", text=words))
        await one.append(step(1))
        await until(lambda: not one.waiting, "the others to be written", 10)
        assert [record.step for record in await store.journal(CALL)] == [0, 1]


async def test_one_call_that_notes_without_end_leaves_room_for_the_others(tmp_path: Path) -> None:
    one = DurableJournal(most_waiting=10_000)  # not opened: nothing is written yet
    for _ in range(20_000):
        one.note(note("noise"))
    one.note(began(OTHER))
    assert (one.counts["dropped"], one.counts["lost"]) == (15_000, 0)
    assert one.waiting == 5_001


def test_many_of_a_kind_are_summed_up(database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with journal(database_url, tmp_path / "side.jsonl") as (one, _):
            told = one._left_out_warnings = RepeatedWarnings(one._left_out_warnings._log, seconds=3600.0)
            one.note(began())
            for _ in range(300):
                one.note(note("tool_called", tool="t"))
            await one.append(step(1))
            await until(lambda: one.counts["unwritable"] == 300, "all to be left out", 60)
            for kind in list(told._kinds):
                told._sum_up(kind)  # which its timer does after that hour
            assert "more like it" in caplog.text
            assert one.counts["unwritable"] == 300

    asyncio.run(main())
    assert caplog.text.count("and is left out") == 2


def test_what_is_deleted_or_too_old_is_not_kept_in_the_side_file(tmp_path: Path) -> None:
    side = SideFile(tmp_path / "left-out.jsonl")
    for call in ("a", "b", "a"):
        side.add(JournalEntry(call, 0, 1.0, {"event": "turn", "text": f"words of {call}"}), KeyError("who"))
    side.forget(["a"])
    assert b"words of a" not in side.path.read_bytes()
    assert side.path.read_bytes().count(b"words of b") == 1
    assert stat.S_IMODE(side.path.stat().st_mode) == 0o600
    assert side.expire(before=4e9) == 1
    assert not side.path.exists()


def test_processes_that_take_out_and_add_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """One of them wrote the file anew without what the other had added meanwhile."""
    entry = JournalEntry("b", 0, 1.0, {"event": "turn"})
    sides = [SideFile(tmp_path / "left-out.jsonl") for _ in range(2)]  # each with a lock of its own, as of a process

    def work(number: int) -> None:
        for _ in range(100):
            sides[number].add(JournalEntry("a", 0, 1.0, {"event": "turn"}), KeyError("who"))
            sides[number].add(entry, KeyError("who"))
            sides[number].forget(["a"])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    assert len(sides[0].path.read_bytes().splitlines()) == 200


def test_a_process_that_stands_still_with_the_side_file_keeps_no_other_one_waiting_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer of the other one's journal waited for it, and so did all that it had to write."""
    monkeypatch.setattr(side_file, "_ALONE_SECONDS", 0.05, raising=False)
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    ours = SideFile(tmp_path / "left-out.jsonl")
    with ThreadPoolExecutor(1) as pool:
        adding = pool.submit(ours.add, began(), ValueError("poison"))
        done, _ = wait([adding], timeout=5)
        os.close(folder)
    assert done
    assert isinstance(adding.exception(), BlockingIOError)
    ours.add(began(), ValueError("poison"))
    assert ours.path.read_bytes().count(b"\n") == 1


def test_the_side_file_has_a_bound(tmp_path: Path) -> None:
    side = SideFile(tmp_path / "left-out.jsonl")
    for _ in range(40):
        side.add(JournalEntry("a", 0, 1.0, {"event": "turn", "text": "x" * 900_000}), KeyError("who"))
    assert 10 << 20 < side.path.stat().st_size <= 16 << 20


async def test_what_cannot_be_read_any_more_keeps_its_place_among_the_others(database_url: str, tmp_path: Path) -> None:
    async with journal(database_url, tmp_path / "side.jsonl") as (one, store):
        one.note(began())
        await one.append(step(1))
        await one.append(step(2))
        await execute(
            store.database,
            "UPDATE steps SET event = '{broken' WHERE step = 1",
            "UPDATE steps SET commands = '7' WHERE step = 2",
        )
        assert [record.event["event"] for record in await store.journal(CALL)] == [
            "began", "unreadable", "unreadable",
        ]  # fmt: skip
        rebuilt = restore_call(await store.journal(CALL))
        assert rebuilt is not None
        assert rebuilt.ids.control == "v3:x"


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_a_record_that_makes_no_sense_does_not_stop_its_call_from_being_recovered(poison: JournalEntry) -> None:
    rebuilt = restore_call([began(), step(1), poison, step(2)])
    assert rebuilt is not None
    assert rebuilt.steps >= 2
