"""What a budget says before the database has told what was spent, and as soon as it has."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from callflow.call.call_config import CallConfig
from callflow.contracts.event import LegIds
from callflow.history.history import History
from callflow.history.spending import Running, Sums
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
        self.running: list[Running] = []

    def now(self) -> float:
        return 1_700_000_000.0

    def open(self) -> None:
        self.is_readable = True
        self.opened.set()

    async def of_profiles(self, *_: Any) -> tuple[list[Sums], set[str], list[Running]]:
        return [Sums("", 1, 660.0, 0.0, 0.0, 0.0)], set(), self.running


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


async def test_live_calls_of_other_nodes_count_as_long_as_they_are_there() -> None:
    history = FakeHistory()
    now = history.now()
    history.open()
    live = Running("b1", now - 400, "", "+1555", now - 300, None, 0.0, False, False)
    history.running = [live, live._replace(call="b2", answered_at=None), live._replace(call="here")]
    ceilings, zone = Ceilings(16.5), ZoneInfo("UTC")
    here = SimpleNamespace(
        id="here", began=now, config=CONFIG, answered_before=now - 60, ids=LegIds(), is_outbound=False,
        agent=SimpleNamespace(usage=SimpleNamespace(usd=0.5)), from_number="+1555", to_number="",
    )  # fmt: skip
    calls: list[Any] = [here]
    budget = Budget(cast(History, history), lambda: calls, ceilings=ceilings, zone=zone, dearest_minute=0.1, node="a")
    assert await budget._read()
    assert budget.calls_today == 4
    assert "17.00 of 16.5 minutes" in budget.dial_refusal(CONFIG), "11, 5 of b1 and 1 of the call that came here"
    priced = [budget._of_other(live._replace(is_led=is_led)).unpriced_minutes for is_led in (False, True)]
    assert priced == [pytest.approx(5.0), 0.0], "the other side of a call that was led has the price of the model"
    history.running = []
    assert await budget._read()
    assert budget.dial_refusal(CONFIG) == ""
