"""A leg that we dial: nobody is rung twice, and whatever comes first tells which leg it is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from callflow.call import outbound_leg
from callflow.call.outbound_leg import OutboundLeg
from callflow.contracts import commands, events
from callflow.contracts.carrier import Carrier, CarrierRequest
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import Event, LegIds
from tests.in_loop import in_loop, settle


IDS, OTHER = LegIds("control", "leg"), LegIds("control 2", "leg 2")
REQUEST = CarrierRequest(commands.Dial(), "id", "call", LegIds())


class Scene:
    """A leg, and a carrier that answers with what it is given, in order."""

    def __init__(self, *answers: LegIds | Exception | None) -> None:
        self.dialled = self.looked = 0
        self.answers = list(answers)
        self.held = asyncio.Event()
        self.held.set()
        self.posted: list[Event] = []
        self.named: list[LegIds] = []
        self.leg = OutboundLeg(cast(Carrier, self), "human", self.posted.append, self.named.append)

    async def dial(self, request: CarrierRequest) -> LegIds:
        self.dialled += 1
        await self.held.wait()
        return cast(LegIds, self._next())

    async def find_dialled(self, request: CarrierRequest) -> LegIds | None:
        self.looked += 1
        return self._next()

    def _next(self) -> LegIds | None:
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def failed(self) -> list[tuple[str, str]]:
        return [(event.effect, event.reason) for event in self.posted if isinstance(event, events.CommandFailed)]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound_leg, "_LOOK_SECONDS", (0, 0, 0, 0))


def unknown() -> CarrierError:
    return CarrierError("no answer", unknown=True)


@in_loop
async def test_a_dial_that_is_answered_names_the_leg() -> None:
    one = Scene(IDS)
    assert not one.leg.is_settled
    await one.leg.dial(REQUEST)
    assert (one.named, await one.leg.wait(0), one.leg.error) == ([IDS], IDS, None)
    assert one.posted == [events.CommandDone(leg="human", command="dial")]


@in_loop
async def test_a_webhook_may_be_faster_and_the_leg_is_named_once() -> None:
    one = Scene(IDS)
    one.held.clear()
    dialling = asyncio.create_task(one.leg.dial(REQUEST))
    await settle()
    one.leg.known(IDS)
    one.held.set()
    await dialling
    assert one.named == []
    assert one.posted == [events.CommandDone(leg="human", command="dial")]


@in_loop
async def test_the_first_word_about_which_leg_it_is_counts() -> None:
    one = Scene()
    one.leg.known(IDS)
    one.leg.known(OTHER)
    one.leg.failed(CarrierError("too late"))
    assert await one.leg.wait(0) == IDS


@in_loop
async def test_a_dial_that_is_refused_makes_no_leg_and_is_not_searched_for() -> None:
    one = Scene(CarrierError("no such number", status=422))
    await one.leg.dial(REQUEST)
    assert (one.leg.is_settled, await one.leg.wait(0), one.looked) == (True, None, 0)
    assert one.failed() == [("", "no such number")]
    assert one.leg.error is not None


@in_loop
async def test_a_refusal_after_a_webhook_has_told_of_the_leg_is_no_failure() -> None:
    one = Scene(unknown())
    one.held.clear()
    dialling = asyncio.create_task(one.leg.dial(REQUEST))
    await settle()
    one.leg.known(IDS)
    one.held.set()
    await dialling
    assert (one.posted, one.looked, await one.leg.wait(0)) == ([], 0, IDS)


@in_loop
async def test_a_fault_of_our_own_makes_no_leg_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    one = Scene(KeyError("x"))
    await one.leg.dial(REQUEST)
    assert one.failed() == [("", "KeyError")]
    assert one.leg.is_settled
    assert await one.leg.wait(0) is None
    assert "an internal error" in caplog.text


@pytest.mark.parametrize(
    ("found", "looked"),
    [([IDS], 1), ([None, IDS], 2), ([CarrierError("busy"), None, IDS], 3), ([None, None, None, IDS], 4)],
)
@in_loop
async def test_a_dial_whose_answer_is_lost_is_searched_for_and_never_dialled_again(
    found: list[Any], looked: int
) -> None:
    one = Scene(unknown(), *found)
    await one.leg.dial(REQUEST)
    assert (one.dialled, one.looked) == (1, looked)
    assert (one.named, await one.leg.wait(0)) == ([IDS], IDS)
    assert [type(event).__name__ for event in one.posted] == ["CommandFailed", "CommandDone"]
    assert one.failed() == [("unknown", "no answer")]


@in_loop
async def test_a_search_that_finds_nothing_ends_and_leaves_it_unknown() -> None:
    one = Scene(unknown())
    await one.leg.dial(REQUEST)
    assert (one.looked, one.leg.is_settled, one.named) == (4, False, [])
    one.leg.known(IDS)
    assert await one.leg.wait(0) == IDS, "a webhook may still tell"


@in_loop
async def test_a_webhook_ends_the_search() -> None:
    one = Scene()
    one.leg.known(IDS)
    await one.leg.look_for(REQUEST)
    assert (one.looked, one.posted) == (0, [])


@in_loop
async def test_a_hang_up_waits_for_the_leg_and_gets_it_wherever_it_turns_up() -> None:
    one = Scene()
    waiting = asyncio.create_task(one.leg.wait_to_hang_up())
    await settle()
    assert one.leg.turned_up(IDS)
    assert await waiting == IDS
    assert not one.leg.turned_up(OTHER), "nobody waits any more"
    assert await one.leg.wait(0) == IDS


@in_loop
async def test_a_leg_that_turns_up_while_nobody_waits_is_known_all_the_same() -> None:
    one = Scene()
    assert not one.leg.turned_up(IDS)
    assert await one.leg.wait_to_hang_up() == IDS


@in_loop
async def test_a_hang_up_that_is_given_up_waits_no_more() -> None:
    one = Scene()
    waiting = asyncio.create_task(_hang_up(one.leg.wait_to_hang_up()))
    await settle()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not one.leg.turned_up(IDS)


async def _hang_up(work: Coroutine[Any, Any, LegIds | None]) -> None:
    await work


@in_loop
async def test_who_waits_in_vain_gets_nothing_and_breaks_nothing_for_the_others() -> None:
    one = Scene()
    assert await one.leg.wait(0) is None
    one.leg.known(IDS)
    assert list(await asyncio.gather(one.leg.wait(0), one.leg.wait(0))) == [IDS, IDS]
