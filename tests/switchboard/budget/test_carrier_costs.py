"""What ended calls have cost at a carrier that tells it only when it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.contracts.cost_events import CarrierCost
from callflow.contracts.events import LegIds
from callflow.history.spending import SpendingStore
from callflow.history.store import Store
from callflow.journal import notes
from callflow.switchboard.budget import carrier_costs
from callflow.switchboard.budget.carrier_costs import CostLookups
from tests.e2e.product import until
from tests.history.test_events_out import AT, stage
from tests.history.test_spending import DAY, call


class Twilio:
    can = frozenset({"tells_price"})

    def __init__(self) -> None:
        self.known: dict[str, float] = {}
        self.asked: list[str] = []

    async def call_costs(self, ids: LegIds) -> tuple[Sequence[CarrierCost], bool]:
        self.asked.append(ids.control)
        amount = self.known.get(ids.control)
        return ([], False) if amount is None else ([CarrierCost(of=ids.control, amount=amount)], True)


async def test_every_leg_of_a_call_is_asked_about_until_it_has_its_price(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the leg of a person cost, to whom a call went, was never asked; nor that of a caller who was led to SIP."""
    monkeypatch.setattr(carrier_costs, "_PAUSES", (0.01,) * 1000)
    monkeypatch.setattr(carrier_costs, "_LOOK_SECONDS", 0.01)
    async with stage(database_url, tmp_path) as the:
        call(the, "a")
        the.note(notes.Ids(control="CA-person", of="human"), call="a", at=AT + 6)
        call(the, "led")
        await the.journal.flushed()
        carrier, store = Twilio(), SpendingStore(the.database)
        history: Any = SimpleNamespace(is_readable=True, journal=the.journal, spending=store, now=lambda: AT + 100)
        lookups = CostLookups(history, cast(Any, {"twilio": carrier}), first_seconds=0.0)
        asking = asyncio.create_task(lookups.run())

        async def cost() -> float:
            await the.journal.flushed()
            return round(sum(one.carrier_usd for one in (await store.of_profiles(*DAY, []))[0]), 3)

        await until(lambda: carrier.asked.count("CA-a") > 1, "it to be asked again")
        carrier.known |= {"CA-a": 0.02, "CA-led": 0.05}
        asked = carrier.asked.count("CA-person") + 3
        await until(lambda: carrier.asked.count("CA-person") > asked, "the other leg to be asked about alone")
        assert await cost() == 0.07
        carrier.known["CA-person"] = 0.03
        await until(lambda: not lookups._asked, "everything to be known")
        assert await cost() == 0.1
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        told = [entry.event["of"] for entry in await Store(the.database).journal("a") if entry.name == "carrier_cost"]
        assert told == ["CA-a", "CA-person"], "each once"
