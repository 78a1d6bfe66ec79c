"""What is kept of carriers' failover: one record for each resource, read by another process as it was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from callflow.contracts.errors import DatabaseError
from callflow.contracts.failover import Provision
from callflow.contracts.numbers import Part
from callflow.history.database import Database, url_of
from callflow.history.provisions import Provisions
from tests.history.new_database import put_into


ONE = Provision("telnyx", "number +15550100002", Part("voice/17", {"forwards_to": ""}, {"forwards_to": "+1"}), 1.5)


async def test_what_is_kept_is_read_by_another_process(tmp_path: Path) -> None:
    await put_into(tmp_path)
    first, second = (Database(url_of("", str(tmp_path))) for _ in range(2))
    try:
        kept = Provisions(first)
        await kept.keep(ONE)
        other = replace(ONE, carrier="twilio", at=2.5)
        await kept.keep(other)
        assert await Provisions(second).all() == [ONE, other]
        newer = replace(ONE, about="another name", at=3.5)
        await kept.keep(newer)
        assert await Provisions(second).all() == [other, newer]
        await kept.forget(other)
        assert await Provisions(second).all() == [newer]
    finally:
        await first.close()
        await second.close()


async def test_without_a_database_nothing_is_kept_and_nothing_can_be() -> None:
    assert await Provisions(None).all() == []
    with pytest.raises(DatabaseError):
        await Provisions(None).keep(ONE)
