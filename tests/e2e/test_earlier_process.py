"""What the process before has left behind: whom the carrier is asked about, and what is believed of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from callflow.history.query import Query
from callflow.journal.journal import ENDED, JournalEntry
from tests.e2e.product import product, run
from tests.history.test_journal_writer import began, journal


@pytest.mark.one_node("the addresses of a node name it")
@pytest.mark.parametrize(
    ("told", "believed"),
    [
        ("https://phone.example", True),
        ("http://127.0.0.1:5999", False),  # its own port, and it is gone
        ("http://localhost:5999", False),
        ("", False),
    ],
)
def test_the_address_of_the_process_before_is_believed_unless_it_was_its_own(
    told: str, believed: bool, tmp_path: Path
) -> None:
    async def left_behind() -> None:
        first = began(at=time.time())
        async with journal(f"sqlite:///{tmp_path}/callflow.db") as (one, _):
            one.note(replace(first, event={**first.event, "address": told}))
            await one.flushed()

    async def main() -> None:
        async with product(data_dir=str(tmp_path)) as the:
            port = the.app.public_at[1]
            assert the.app.address() == (told if believed else f"http://127.0.0.1:{port}")
            await the.quiet()

    asyncio.run(left_behind())
    run(main())


def test_calls_are_kept_for_as_many_days_as_the_settings_say(tmp_path: Path) -> None:
    async def left_behind() -> None:
        async with journal(f"sqlite:///{tmp_path}/callflow.db") as (one, _):
            for number, days in enumerate((0.1, 1.9, 2.1, 30.0)):
                call, at = f"00000000-0000-4000-8000-{number:012}", time.time() - days * 86_400
                one.note(began(call, at))
                one.note(JournalEntry(call, 0, at + 1, {"event": ENDED, "cause": "normal_clearing"}))
            await one.flushed()

    async def main() -> None:
        async with product(data_dir=str(tmp_path), retention_days=2) as the:
            store, left = the.app.history.store, list[str]()
            async with asyncio.timeout(5):
                while len(left := [row["call_id"][-1] for row in await store.find(Query())]) > 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert left == ["0", "1"]

    asyncio.run(left_behind())
    run(main())
