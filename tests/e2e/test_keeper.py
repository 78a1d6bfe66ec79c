"""What the process before has left behind: whom the carrier is asked about, and what is believed of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from callflow.contracts.events import LegIds
from callflow.history.query import Query
from callflow.journal.journal import ENDED, JournalEntry
from callflow.switchboard import recovery
from tests.e2e.product import product, run
from tests.history.test_journal_writer import began, journal


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


@pytest.mark.parametrize(
    ("age", "answers", "found"),
    [
        (1.0, ["gone", "answered"], "answered"),
        (1.0, ["gone", "gone"], "gone"),
        (60.0, ["gone"], "gone"),
        (1.0, ["ringing"], "ringing"),
    ],
    ids=["young, and on no list yet", "young, and gone", "old, and gone", "there"],
)
async def test_a_young_call_that_the_carrier_does_not_know_is_asked_about_twice(
    age: float, answers: list[str], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Carriers' lists lag behind their calls."""
    monkeypatch.setattr(recovery, "AGAIN_SECONDS", (0.0,) * 5)
    async with product() as the:
        carrier = mock.Mock(can=frozenset(), call_status=mock.AsyncMock(side_effect=answers))
        call: Any = SimpleNamespace(
            id="x", ids=LegIds(), carrier=carrier, model=SimpleNamespace(state="streaming"),
            began=time.time() - age, awaits_leg=False, take_back=mock.Mock(),
        )  # fmt: skip
        await the.app.recovery._ask_about(call)
        call.take_back.assert_called_once_with(found, "")
        assert carrier.call_status.await_count == len(answers)
