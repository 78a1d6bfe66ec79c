"""Pictures that were shown to the model, and the runtime settings of the control endpoint, in both databases."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from callflow.history import image_rows
from callflow.history.control_settings import StoredControl
from callflow.history.history import History
from callflow.history.kept_profiles import ProfileStore
from tests.history.sql import execute
from tests.history.test_do_not_call import history
from tests.history.test_journal_writer import began


FIELDS: dict[str, Any] = {"mime": "image/png", "width": 4, "height": 3, "size": 100}


async def shown(one: History, call: str, *, size: int = 100, most: int = 250) -> int | None:
    pictures = {"shown": b"\x00large\xff", "thumbnail": b"\x00small\xff"}
    return await image_rows.add(one.database, call, {**FIELDS, "size": size}, pictures, "desk", most=most)


async def test_pictures_are_counted_bounded_and_deleted_with_their_call(database_url: str, tmp_path: Path) -> None:
    async with history(database_url, tmp_path) as one:
        assert await shown(one, "first") is None, "the call is not on record"
        for call in ("first", "other"):
            one.journal.note(began(call))
        async with asyncio.timeout(10):
            while one.journal.waiting:  # noqa: ASYNC110 - the writer has no event for that
                await asyncio.sleep(0.002)
        assert [await shown(one, "first") for _ in range(3)] == [1, 2, 0]
        assert await shown(one, "first", size=50) == 3
        assert await shown(one, "other") == 1
        row = await one.store.conversation("first")
        assert row is not None
        found = await image_rows.of_conversation(one.database, row["id"])
        assert [(each["number"], each["shown_by"], each["size"]) for each in found] == [
            (1, "desk", 100), (2, "desk", 100), (3, "desk", 50),
        ]  # fmt: skip
        assert await image_rows.thumbnail(one.database, row["id"], 2) == b"\x00small\xff"
        assert await image_rows.thumbnail(one.database, row["id"], 4) is None
        assert await image_rows.newest(one.database, "first", 2) == [("image/png", b"\x00large\xff")] * 2
        assert await image_rows.calls_with(one.database, ["first", "nobody"]) == {"first"}
        await image_rows.remove(one.database, "first", 3)
        assert len(await image_rows.of_conversation(one.database, row["id"])) == 2
        await image_rows.remove(one.database, "first", 1)  # which was taken back while another one was shown
        assert await shown(one, "first", size=50) == 3, "and not the number of another one"
        await execute(one.database, "DELETE FROM conversations WHERE call_id = 'first'")
        assert await image_rows.of_conversation(one.database, row["id"]) == []


async def test_runtime_settings_are_one_row_or_none(database_url: str, tmp_path: Path) -> None:
    async with history(database_url, tmp_path) as one:
        kept = StoredControl(one.database)
        assert await kept.read() is None
        await kept.write({"voice": "ash", "instructions": "Größe „ja“"}, "desk")
        await kept.write({"voice": "cedar"}, "desk")
    async with history(database_url, tmp_path) as one:
        kept = StoredControl(one.database)
        assert await kept.read() == {"voice": "cedar"}
        profiles = ProfileStore(one.database)  # other processes look there whether to read again
        before = await profiles.newest()
        await asyncio.sleep(0.002)  # the times are in ms
        await kept.write({"voice": "ash"}, "desk")
        changed = await profiles.newest()
        await kept.write(None, "desk")
        assert await kept.read() is None
        assert len({before, changed, await profiles.newest()}) == 3
