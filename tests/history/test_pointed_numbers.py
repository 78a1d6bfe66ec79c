"""What is kept of pointed numbers: one record for each number and way, read by another process as it was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from callflow.contracts.errors import DatabaseError
from callflow.contracts.numbers import Part, Pointed
from callflow.history.database import Database, url_of
from callflow.history.pointed_numbers import PointedNumbers
from tests.history.new_database import put_into


PART = Part("application/17", {"active": False, "webhook_event_url": ""}, {"active": True, "webhook_event_url": "x"})
ONE = Pointed("telnyx", "+15550100002", "https://phone.test", (PART,), 1.5)


async def test_what_is_kept_is_read_by_another_process(tmp_path: Path) -> None:
    await put_into(tmp_path)
    first, second = (Database(url_of("", str(tmp_path))) for _ in range(2))
    try:
        kept = PointedNumbers(first)
        temporary = replace(ONE, temporary=True, at=2.5)
        await kept.put([ONE])
        await kept.put([temporary])
        assert await PointedNumbers(second).all() == [ONE, temporary]
        newer = replace(ONE, address="https://other.test", at=0.5)
        await kept.put([newer])
        assert await PointedNumbers(second).all() == [newer, temporary]
        await kept.replace([temporary], [replace(newer, number="+15550100003")])
        assert [one.number for one in await PointedNumbers(second).all()] == ["+15550100002", "+15550100003"]
    finally:
        await first.close()
        await second.close()


async def test_without_a_database_nothing_is_kept_and_nothing_can_be() -> None:
    assert await PointedNumbers(None).all() == []
    with pytest.raises(DatabaseError):
        await PointedNumbers(None).put([ONE])
