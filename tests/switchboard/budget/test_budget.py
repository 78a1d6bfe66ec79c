"""What a budget says before the database has told what was spent, and as soon as it has."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

from callflow.call.call_config import CallConfig
from callflow.history.history import History
from callflow.history.spending import Sums
from callflow.switchboard.budget.budget import Budget
from callflow.switchboard.budget.spent import Ceilings


CONFIG = cast(CallConfig, SimpleNamespace(profile="", profile_daily_minutes=0.0, profile_daily_usd=0.0))
OF_A_PROFILE = cast(CallConfig, SimpleNamespace(profile="p", profile_daily_minutes=5.0, profile_daily_usd=0.0))


class FakeHistory:
    """A history that is opened later, with eleven minutes of an earlier process."""

    def __init__(self) -> None:
        self.is_readable, self.opened = False, asyncio.Event()
        self.journal = self.spending = self
        self.trouble = ""

    def now(self) -> float:
        return 1_700_000_000.0

    def open(self) -> None:
        self.is_readable = True
        self.opened.set()

    async def of_profiles(self, *_: Any) -> tuple[list[Sums], set[str]]:
        return [Sums("", 1, 660.0, 0.0, 0.0, 0.0)], set()


def made(history: FakeHistory, minutes: float) -> Budget:
    ceilings = Ceilings(minutes)
    return Budget(cast(History, history), list, ceilings=ceilings, zone=ZoneInfo("UTC"), dearest_minute=0.1)


async def test_nothing_is_dialled_while_nobody_knows_what_was_spent() -> None:
    history = FakeHistory()
    budget = made(history, 10)
    assert "not known yet" in budget.dial_refusal(CONFIG)
    assert budget.refusal(CONFIG) == ("", ""), "a caller is sent away for what nobody knows"
    assert "not known yet" in made(history, 0).dial_refusal(OF_A_PROFILE)
    assert made(history, 0).dial_refusal(CONFIG) == "", "there is no ceiling"
    watching = asyncio.create_task(budget.run())
    await asyncio.sleep(0)
    history.open()
    for _ in range(20):
        await asyncio.sleep(0)
    watching.cancel()
    assert budget.is_known, "what was spent is read later than could be"
    assert "11.00 of 10 minutes" in budget.dial_refusal(CONFIG)
    assert budget.refusal(CONFIG)[0] == "budget"
