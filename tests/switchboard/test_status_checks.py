"""Calls that are recovered: what their carriers are asked, and what is believed meanwhile."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call import machine
from callflow.call.call import Call
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import LegIds
from callflow.switchboard import status_checks
from callflow.switchboard.status_checks import StatusChecks
from tests.call.offline import FakeCarrier


IDS = LegIds("control", "leg", "session")
NOW = 1_795_648_500.0


class Scene:
    def __init__(self, state: str = machine.STREAMING, began: float = NOW - 100) -> None:
        self.carrier = FakeCarrier()
        self.taken: list[str] = []
        self.doubted: list[str] = []
        self.moved: list[str] = []
        self.call = SimpleNamespace(
            id="c1", ids=IDS, carrier=self.carrier, began=began, model=SimpleNamespace(state=state, human=""),
            legs=SimpleNamespace(human=LegIds()), awaits_leg=False,
            recover=lambda found, human="": self.taken.append(found),
            agent=SimpleNamespace(prompter=SimpleNamespace(moved=lambda: self.moved.append("c1"))),
        )  # fmt: skip
        self.questions = StatusChecks(lambda: NOW, self.doubt, asyncio.Semaphore(2))

    async def doubt(self, call: Call) -> None:
        self.doubted.append(call.id)

    async def ask(self, **how: bool) -> None:
        await self.questions.ask(cast(Any, self.call), **how)


@pytest.mark.parametrize(
    ("state", "status", "found"),
    [
        (machine.RINGING, "answered", "answered"),
        (machine.STREAMING, "gone", "gone"),
        (machine.RINGING, CarrierError("busy"), "ringing"),
        (machine.STREAMING, CarrierError("busy"), "answered"),
        (machine.STREAMING, KeyError("ours"), "answered"),
    ],
)
def test_a_call_is_recovered_as_its_carrier_has_it_or_as_it_was(state: str, status: Any, found: str) -> None:
    async def main() -> None:
        the = Scene(state)
        the.carrier.statuses["control"] = status
        await the.ask()
        assert the.taken == [found]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("age", "answers", "found"),
    [
        (1.0, ["gone", "answered"], "answered"),
        (1.0, ["gone", "gone"], "gone"),
        (60.0, ["gone"], "gone"),
    ],
    ids=["young, and on no list yet", "young, and gone", "old, and gone"],
)
def test_a_young_call_that_its_carrier_does_not_know_is_asked_about_twice(
    age: float, answers: list[str], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Carriers' lists lag behind their calls."""
    monkeypatch.setattr(status_checks, "_AGAIN_SECONDS", 0.0)
    left = list(answers)

    async def call_status(ids: LegIds) -> str:
        return left.pop(0)

    async def main() -> None:
        the = Scene(began=NOW - age)
        the.carrier.call_status = call_status  # type: ignore[method-assign]
        await the.ask()
        assert (the.taken, left) == ([found], [])

    asyncio.run(main())


@pytest.mark.parametrize(
    ("state", "age", "believed"),
    [
        (machine.STREAMING, 3, True),
        (machine.RECOVERING, 3, True),
        (machine.STREAMING, 61, False),
        (machine.RINGING, 3, False),
        (machine.BRIDGED, 3, False),
    ],
)
def test_who_talked_a_moment_ago_does_not_wait_for_the_carriers_word(
    state: str, age: float, believed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_checks, "_DOUBT_SECONDS", 0.0)

    async def main() -> None:
        the = Scene(state)
        the.carrier.statuses["control"] = "gone"
        the.questions.broke("c1", NOW - age)
        await the.ask()
        assert the.taken == (["answered"] if believed else ["gone"])
        await asyncio.gather(*the.questions._tasks)
        assert the.doubted == (["c1"] if believed else [])

    asyncio.run(main())


@pytest.mark.parametrize("given", [False, True])
def test_the_agent_knows_whether_a_node_that_goes_on_has_given_the_call(given: bool) -> None:
    async def main() -> None:
        the = Scene()
        await the.ask(given=given)
        assert (the.taken, the.moved) == (["answered"], ["c1"] * given)

    asyncio.run(main())
