"""What a budget says before the database has told what was spent, and as soon as it has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
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


def live(now: float, name: str, minutes: float) -> Any:
    """A call that was answered so long ago."""
    return SimpleNamespace(
        id=name, began=now, config=CONFIG, answered_before=now - 60 * minutes, ids=LegIds(), is_outbound=False,
        agent=SimpleNamespace(usage=SimpleNamespace(usd=0.5)), model=SimpleNamespace(state="ringing"),
    )  # fmt: skip


async def test_a_call_counts_for_no_longer_than_it_was_whatever_the_carrier_says() -> None:
    history = FakeHistory()
    ended = live(history.now() - 120, "a", 0)
    ended.answered_before, ended.relay = None, SimpleNamespace(answered_at=asyncio.get_running_loop().time() - 1e9)
    budget = made(history, 10)
    budget.ended(ended)
    assert budget._of(ended).minutes == pytest.approx(2)


@pytest.mark.parametrize(("ceiling", "most"), [(0.0, 0), (1000.0, 1)])
async def test_far_from_every_ceiling_live_calls_are_not_looked_through_for_each_new_one(
    ceiling: float, most: int
) -> None:
    history = FakeHistory()
    looked = 0

    class Calls(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            nonlocal looked
            looked += 1
            return super().__iter__()

    calls = Calls([live(history.now(), str(number), 1.0) for number in range(20)])
    zone = ZoneInfo("UTC")
    budget = Budget(cast(History, history), lambda: calls, ceilings=Ceilings(ceiling), zone=zone, dearest_minute=0.1)
    for _ in range(50):
        assert budget.refusal(CONFIG) == ("", "")
    assert looked == most
    told = budget.live_costs()
    every = list(calls)
    looked = 0
    assert [told(call) for call in every] == [(0.5, None)] * 20
    assert not looked, "no ceiling in dollars, and all calls are looked through"


async def test_near_a_ceiling_every_new_call_counts_what_was_taken_until_then() -> None:
    history = FakeHistory()
    calls = [live(history.now(), "1", 9.0)]
    zone = ZoneInfo("UTC")
    budget = Budget(cast(History, history), lambda: calls, ceilings=Ceilings(10.0), zone=zone, dearest_minute=0.1)
    assert budget.refusal(CONFIG) == ("", "")
    calls.append(live(history.now(), "2", 1.0))
    assert "10.00 of 10 minutes" in budget.refusal(CONFIG)[1], "what has come within the last second is forgotten"


async def test_a_call_that_has_ended_counts_at_once_and_live_ones_by_the_second() -> None:
    history = FakeHistory()
    call = live(history.now(), "1", 0.0)
    calls = [call]
    zone = ZoneInfo("UTC")
    budget = Budget(cast(History, history), lambda: calls, ceilings=Ceilings(0.0001), zone=zone, dearest_minute=0.1)
    assert budget.refusal(CONFIG) == ("", "")
    call.answered_before -= 60
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "_summed_at", budget._summed_at - 0.5)
        assert "1.00 of 0.0001 minutes" in budget.refusal(CONFIG)[1], "half a second is more than the ceiling"
    calls.clear()
    assert budget.refusal(CONFIG) == ("", "")
    budget.ended(call)
    assert budget.refusal(CONFIG) != ("", "")


async def test_what_a_call_may_still_cost_is_what_the_ceilings_leave() -> None:
    history = FakeHistory()
    calls = [live(history.now(), "1", 9.0), live(history.now(), "2", 1.0)]
    zone = ZoneInfo("UTC")
    budget = Budget(cast(History, history), lambda: calls, ceilings=Ceilings(0, 3.0), zone=zone, dearest_minute=0.1)
    assert budget.live_costs()(calls[0]) == (0.5, 2.5), "0.5 of its own, and 2 of 3 that are left"
