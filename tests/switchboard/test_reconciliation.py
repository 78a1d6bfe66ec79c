"""Our calls and the carriers', compared: without a socket, with a history that only answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call.call import Call
from callflow.contracts.commands import Hangup
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import CallHangup, Event, LegIds
from callflow.history.history import History
from callflow.switchboard.call_ids import call_id
from callflow.switchboard.reconciliation import Reconciliation
from callflow.switchboard.switchboard import Switchboard
from tests.call.offline import FakeCarrier, as_carrier


IDS = LegIds("control", "leg")
NOW = 1000.0


class Scene:
    def __init__(self) -> None:
        self.carrier = FakeCarrier()
        self.rows: dict[str, dict[str, Any]] = {}
        self.calls: list[Any] = []
        self.known: set[LegIds] = set()
        self.brought_back: list[str] = []
        self.asked: list[str] = []
        self.counts: Counter[str] = Counter()
        store = SimpleNamespace(conversation=self.conversation, of_carrier=self.of_carrier)
        board = SimpleNamespace(
            calls=self.calls,
            counts=self.counts,
            knows=lambda carrier, ids: ids in self.known,
            is_live=lambda call: False,
        )
        self.reconciliation = Reconciliation(
            cast(History, SimpleNamespace(now=lambda: NOW, store=store)),
            cast(Switchboard, board),
            {"fake": as_carrier(self.carrier)},
            asyncio.Semaphore(2),
            self.bring_back,
            self.ask_about,
        )

    async def conversation(self, name: str, *, hidden: bool = False) -> dict[str, Any] | None:
        return self.rows.get(name)

    async def of_carrier(self, carrier: str, name: str) -> dict[str, Any] | None:
        return None

    async def bring_back(self, name: str) -> Call | None:
        self.brought_back.append(name)
        return cast(Call, SimpleNamespace(id=name))

    async def ask_about(self, call: Call) -> None:
        self.asked.append(call.id)

    def call(self, *, began: float = NOW - 100, awaits_return: bool = False) -> list[Event]:
        """A live call; what is posted to it."""
        posted: list[Event] = []
        self.calls.append(
            SimpleNamespace(
                id="c1", began=began, awaits_return=awaits_return, carrier=self.carrier, ids=IDS, post=posted.append
            )
        )
        return posted


def play(main: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def begin() -> None:
        await main(Scene())

    asyncio.run(begin())


@pytest.mark.parametrize(
    ("status", "call", "ends"),
    [
        ("gone", {}, True),
        ("answered", {}, False),
        ("ringing", {}, False),
        (CarrierError("busy"), {}, False),
        (KeyError("ours"), {}, False),
        ("gone", {"began": NOW - 20}, False),
        ("gone", {"awaits_return": True}, False),
    ],
)
def test_a_call_that_its_carrier_has_no_more_ends(status: Any, call: dict[str, Any], ends: bool) -> None:
    async def main(the: Scene) -> None:
        the.carrier.statuses["control"] = status
        posted = the.call(**call)
        await the.reconciliation.run_once()
        assert posted == ([CallHangup(cause="not_at_carrier", source="reconciliation")] if ends else [])
        assert the.counts["lost_hangups"] == int(ends)

    play(main)


def test_a_carriers_call_that_is_live_here_or_was_never_ours_is_left_alone() -> None:
    async def main(the: Scene) -> None:
        the.carrier.active = [IDS, LegIds("another", "another")]
        the.known.add(IDS)
        await the.reconciliation.run_once()
        assert (the.brought_back, the.carrier.executed) == ([], [])

    play(main)


def test_a_carriers_call_that_is_unfinished_in_the_history_is_recovered() -> None:
    async def main(the: Scene) -> None:
        name = call_id("fake", IDS)
        the.carrier.active = [IDS]
        the.rows[name] = {"call_id": name, "ended_at": None}
        await the.reconciliation.run_once()
        assert (the.brought_back, the.asked, the.carrier.executed) == ([name], [name], [])

    play(main)


def test_a_carriers_call_that_is_over_in_the_history_is_hung_up() -> None:
    async def main(the: Scene) -> None:
        the.carrier.active = [IDS]
        name = call_id("fake", IDS)
        the.rows[name] = {"call_id": name, "ended_at": "2026-01-01"}
        await the.reconciliation.run_once()
        (order,) = the.carrier.executed
        assert (order.command, order.ids, the.counts["orphans"]) == (Hangup(), IDS, 1)

    play(main)


@pytest.mark.parametrize("error", [CarrierError("busy"), KeyError("ours")])
def test_a_carrier_that_does_not_say_which_calls_it_has_changes_nothing(error: Exception) -> None:
    async def main(the: Scene) -> None:
        the.carrier.active = error
        await the.reconciliation.run_once()
        assert the.carrier.executed == []

    play(main)
