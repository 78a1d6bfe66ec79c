"""The do-not-call list, in both databases."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from callflow.history.database import url_of
from callflow.history.history import History
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Ended
from tests.history.sql import execute
from tests.history.test_journal_writer import began


NUMBER, OTHER = "+15550100001", "+15550100002"
AT = 1_764_630_000.0


@contextlib.asynccontextmanager
async def history(url: str, folder: Path) -> AsyncIterator[History]:
    one = History(url_of(url, ""), recordings=folder / "recordings", retention_days=1, country="US", now=lambda: AT)
    await one.open()
    try:
        yield one
    finally:
        await one.journal.close()
        await one.close()


async def test_a_number_is_added_once_and_keeps_what_was_said_first(database_url: str, tmp_path: Path) -> None:
    async with history(database_url, tmp_path) as one:
        entries = one.do_not_call
        assert await entries.find(NUMBER) is None
        entry, is_new = await entries.add(NUMBER, reason="asked us", added_by="operator")
        assert is_new
        assert {name: entry[name] for name in ("number", "business", "reason", "added_by")} == {
            "number": NUMBER, "business": "", "reason": "asked us", "added_by": "operator",
        }  # fmt: skip
        assert len(entry["added_at"]) == len("2026-01-31T12:00:00.000Z")
        assert await entries.add(NUMBER, reason="again", added_by="command line") == (entry, False)
        assert await entries.find(NUMBER) == entry
        for another in (OTHER, NUMBER[1:], f"{NUMBER} ", "", "'; DROP TABLE do_not_call; --"):
            assert await entries.find(another) is None
        assert await entries.page(limit=9) == [entry]


async def test_it_is_still_there_after_a_restart_until_it_is_removed(database_url: str, tmp_path: Path) -> None:
    async with history(database_url, tmp_path) as one:
        await one.do_not_call.add(NUMBER)
        await one.do_not_call.add(OTHER)
    async with history(database_url, tmp_path) as one:
        assert await one.do_not_call.remove(NUMBER)
        assert not await one.do_not_call.remove(NUMBER)
        assert await one.do_not_call.find(NUMBER) is None
        assert await one.do_not_call.find(OTHER) is not None
        assert (await one.do_not_call.add(NUMBER))[1]


async def test_an_entry_of_one_business_holds_for_that_one_only(database_url: str, tmp_path: Path) -> None:
    async with history(database_url, tmp_path) as one:
        entries = one.do_not_call
        await entries.add(NUMBER, business="bakery")
        assert await entries.find(NUMBER) is None
        assert await entries.find(NUMBER, "garage") is None
        assert (await entries.find(NUMBER, "bakery") or {})["business"] == "bakery"
        assert (await entries.add(NUMBER))[1]
        for business in ("", "garage", "bakery"):
            assert (await entries.find(NUMBER, business) or {})["business"] == ""
        assert await entries.remove(NUMBER)
        assert not await entries.remove(NUMBER, "garage")
        assert (await entries.find(NUMBER, "bakery") or {})["business"] == "bakery"


async def test_it_is_read_a_page_at_a_time(database_url: str, tmp_path: Path) -> None:
    async with history(database_url, tmp_path) as one:
        numbers = [f"+1555010{number:04}" for number in range(7)]
        for number in numbers:
            await one.do_not_call.add(number)
        found, before = [], 0
        while page := await one.do_not_call.page(limit=3, before=before):
            assert len(page) <= 3
            found += [entry["number"] for entry in page]
            before = page[-1]["id"]
        assert found == numbers[::-1]


async def test_many_at_once_make_one_entry(database_url: str, tmp_path: Path) -> None:
    async with history(database_url, tmp_path) as one:
        made = await asyncio.gather(*(one.do_not_call.add(NUMBER, reason=str(each)) for each in range(20)))
        (entry,) = await one.do_not_call.page(limit=9)
        assert {found["id"] for found, _ in made} == {entry["id"]}
        assert {found["reason"] for found, _ in made} == {entry["reason"]}


async def test_neither_retention_nor_deleting_all_calls_shortens_it(database_url: str, tmp_path: Path) -> None:
    async with history(database_url, tmp_path) as one:
        await one.do_not_call.add(NUMBER)
        await execute(one.database, "UPDATE do_not_call SET added_at = '2001-01-01T00:00:00.000Z'")
        call = "00000000-0000-4000-8000-000000000001"
        one.journal.note(began(call, AT - 9 * 86400))
        one.journal.note(JournalEntry.of(Ended(cause="hangup"), call=call, at=AT - 8 * 86400))
        await one.journal.flushed()
        assert await one.expire(AT + 1) == 1
        assert await one.do_not_call.find(NUMBER) is not None
        assert await one.store.conversation(call) is None
