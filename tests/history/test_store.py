"""What is on record, found again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from callflow.contracts.errors import BadQuery
from callflow.history.database import Database, url_of
from callflow.history.query import Query
from callflow.history.store import Store, remove_files
from callflow.history.tables import SEARCH
from callflow.journal.journal import ENDED, JournalEntry
from callflow.journal.notes import Cut, Interrupted
from tests.history.test_journal_writer import began, journal, step


AT = 1_764_630_000.0
"""2025-12-01 23:00:00 in UTC."""
DAY = 86_400.0


def name(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def kept(url: str, check: Callable[[Store], Awaitable[None]]) -> None:
    """Three calls, a day apart: of the second one 23:00 on 2025-12-02 is the beginning."""

    async def main() -> None:
        async with journal(url) as (one, store):
            for number, words in enumerate(
                (
                    "the bakery opens at seven",
                    "rye bread, and a seven grain loaf",
                    "goodbye, I am a.b-smith@example.co.uk: $12.50, 555-0100/http://x.org/y_w?q=1",
                )
            ):
                at, call = AT + number * DAY, name(number)
                one.note(began(call, at))
                turn = {"event": "turn", "who": "caller", "item": f"item_{number}", "text": words, "ago_ms": 0}
                one.note(JournalEntry(call, 0, at + 1, turn))
                if number < 2:
                    one.note(JournalEntry(call, 0, at + 2, {"event": ENDED, "cause": "agent"}))
            await one.flushed()
            await check(store)

    asyncio.run(main())


async def found(store: Store, **query: Any) -> list[str]:
    rows = await store.find(Query(**query))
    return [row["call_id"][-1] for row in rows]


def test_newest_first_and_page_by_page(database_url: str) -> None:
    async def check(store: Store) -> None:
        assert await found(store) == ["2", "1", "0"]
        (first,) = await store.find(Query(limit=1))
        assert await found(store, limit=1, before=first["id"]) == ["1"]
        assert await found(store, limit=1, offset=1) == ["1"]
        assert await found(store, limit=5, offset=2, words="bakery") == []
        assert [len(page) async for page in store.pages(Query())] == [3]
        assert await found(store, live=True) == ["2"]
        assert await found(store, live=False) == ["1", "0"]
        second = next(row["id"] for row in await store.find(Query()) if row["call_id"] == name(1))
        await store.delete([second], AT)
        assert await found(store, limit=5, before=second) == ["0"], "the last call of a page was deleted since"

    kept(database_url, check)


def test_a_list_of_calls_tells_when_each_was_answered_and_hung_up(database_url: str) -> None:
    def moved(at: float, before: str, after: str) -> JournalEntry:
        return JournalEntry(name(2), 1, at, {"event": "media_started"}, before, after, taken=True)

    async def check(store: Store) -> None:
        assert [row["answered_at"] for row in await store.newest_calls(50)] == ["2025-12-03T23:00:02.000Z", None, None]
        (newest,) = await store.newest_calls(1)
        assert (newest["call_id"], newest["hung_up_at"]) == (name(2), "2025-12-03T23:00:04.000Z")
        for known in (name(2), newest["carrier_call_id"]):
            assert await store.listed_call(known) == newest
        for unknown in ("nobody", "x" * 2000, "a\0b"):
            assert await store.listed_call(unknown) is None

    async def main() -> None:
        async with journal(database_url) as (one, store):
            for number in range(3):
                one.note(began(name(number), AT + number * DAY))
            at = AT + 2 * DAY
            for seconds, before, after in (
                (1, "ringing", "ringing"), (2, "ringing", "answered"), (3, "answered", "streaming"),
                (4, "streaming", "hangup"),
            ):  # fmt: skip
                one.note(moved(at + seconds, before, after))
            await one.flushed()
            await check(store)

    asyncio.run(main())


@pytest.mark.parametrize("field", ["number", "caller", "called"])
def test_a_number_that_was_taken_for_one_of_ours_is_told(field: str) -> None:
    store = Store(Database(url_of("sqlite:///never-opened.db", "data")), country="US")
    asked: dict[str, Any] = {field: "030 901820"}
    assert store.assumed(Query(**asked)).startswith("030 901820 has no country code, and was looked for as a number of")
    asked = {field: "+4930901820"}
    assert store.assumed(Query(**asked)) == ""


@pytest.mark.parametrize("asked", ["a\x00b", "\x00", "\ud800", "a\udfffb", "x" * 1001, "9" * 5000])
def test_what_no_record_can_hold_is_found_by_nobody(database_url: str, asked: str) -> None:
    async def check(store: Store) -> None:
        assert await store.conversation(asked) is None
        assert await store.journal(asked) == []
        for name in ("number", "caller", "called", "called_id", "words"):
            with pytest.raises(BadQuery):
                await found(store, **{name: asked})

    kept(database_url, check)


def test_what_an_earlier_version_wrote_is_found_by_its_parts_too(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has always found them")

    async def check(store: Store) -> None:
        def as_before(connection: Connection) -> None:
            connection.exec_driver_sql(f"UPDATE {SEARCH} SET words = 'anna@example.com, 12.50'")
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0022'")

        await store.database.write(as_before)
        assert await found(store, words="example") == []
        assert await store.database.migrate()
        assert await found(store, words="example") == await found(store, words="12.50") == ["1", "0"], "these are over"

    kept(database_url, check)


def test_words_that_nobody_heard_are_not_found(database_url: str) -> None:
    """Neither where an answer was cut off, nor where its words were there before and nothing of it was heard."""

    async def main() -> None:
        async with journal(database_url) as (one, store):
            one.note(began(name(0), AT))
            whole = {"event": "heard", "item": "i0", "ms": 0, "of_ms": 900, "so_far": "aardvarks"}
            one.note(JournalEntry(name(0), 0, AT + 1, whole))
            await one.flushed()
            assert await found(store, words="aardvarks") == ["0"]
            cuts = [
                Cut(item="i0", heard_ms=0, received_ms=900),
                Cut(item="i1", heard_ms=700, received_ms=3000, heard_text="Your order", unheard_text="costs zebras"),
            ]
            for number, each in enumerate(cuts, start=2):
                one.note(JournalEntry.of(Interrupted(cuts=(each,)), call=name(0), at=AT + number))
                await one.flushed()
                assert await found(store, words="aardvarks") == []
            one.note(JournalEntry(name(0), 0, AT + 9, {"event": ENDED, "cause": "agent"}))
            await one.flushed()

            async def check() -> None:
                assert await found(store, words="order") == ["0"]
                assert await found(store, words="zebras") == await found(store, words="aardvarks") == []

            def as_before(connection: Connection) -> None:
                connection.exec_driver_sql(f"UPDATE {SEARCH} SET words = 'aardvarks Your order costs zebras'")
                connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0023'")

            await check()
            await store.database.write(as_before)
            assert await found(store, words="zebras") == ["0"]
            assert await store.database.migrate()
            await check()

    asyncio.run(main())


def test_a_deleted_call_leaves_nothing(database_url: str) -> None:
    async def check(store: Store) -> None:
        rows = await store.find(Query(words="bakery"))
        await store.delete([row["id"] for row in rows], AT)
        assert await found(store) == ["2", "1"]
        assert await found(store, words="bakery") == []
        assert await store.items(rows[0]["id"]) == []
        assert await store.journal(rows[0]["call_id"]) == []
        wanted = text(f"SELECT words FROM {SEARCH}")
        words = await store.database.read(lambda connection: connection.execute(wanted).scalars().all())
        assert len(words) == 2
        assert not [each for each in words if "bakery" in each], "what was said in it can still be read"

    kept(database_url, check)


def test_old_calls_are_found_for_deletion_but_for_those_that_go_on(database_url: str) -> None:
    async def check(store: Store) -> None:
        assert len(await store.older_than(AT + 10 * DAY)) == 2
        assert len(await store.older_than(AT + DAY / 2)) == 1

    kept(database_url, check)


def test_entries_of_no_conversation_do_not_outlive_the_others(database_url: str) -> None:
    async def main() -> None:
        async with journal(database_url) as (one, store):
            one.note(began(name(1)))
            for call in (name(1), name(2), name(3)):  # the first entry of two was lost
                one.note(step(1, call))
            await one.flushed()
            now = time.time()
            assert await store.delete_strays(now - DAY) == 0, "they are not old yet"
            assert await store.delete_strays(-62_135_596_800.0) == 0, "the year 1, which no row's id goes back to"
            assert await store.delete_strays(now + DAY, most=1) == 1
            assert await store.delete_strays(253_402_300_799.0) == 1, "the year 9999, which no row's id reaches"
            assert await store.delete_strays(now + DAY) == 0
            assert [len(await store.journal(name(number))) for number in (1, 2, 3)] == [2, 0, 0]

    asyncio.run(main())


def test_recordings_are_deleted_in_their_folder_and_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for path in (folder / "a.wav", folder / "b.wav", tmp_path / "c.wav"):
        path.touch()
    remove_files(["a.wav,gone.wav", "../c.wav"], folder)
    assert sorted(path.name for path in tmp_path.rglob("*.wav")) == ["b.wav", "c.wav"]


def test_a_recording_that_cannot_be_deleted_keeps_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.wav").mkdir()  # which `unlink` refuses
    for file in ("b.wav", "c.wav"):
        (tmp_path / file).touch()
    remove_files(["a.wav,b.wav", "c.wav", "../other.wav"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    assert "THE RECORDING a.wav" in caplog.text
