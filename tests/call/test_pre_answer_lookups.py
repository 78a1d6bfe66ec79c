"""What is asked while a call rings: both at once, and no longer than the call."""

from __future__ import annotations

import asyncio
import dataclasses
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call import pre_answer_lookups
from callflow.call.pre_answer_lookups import Answers
from callflow.call.services import CallServices
from callflow.contracts.caller_lookup import LookedUp
from callflow.contracts.control import AT_START, Controlled, ControlQuestion
from callflow.contracts.events import CallInitiated
from callflow.journal import notes
from tests.call.offline import config, services
from tests.in_loop import in_loop, settle


FOUND, CHANGED = (
    LookedUp(outcome="answered", variables={"name": "Ada"}),
    Controlled(outcome="answered", changes={"voice": "cedar"}),
)
RINGS = CallInitiated(from_number="+15550100001", to_number="+15550100002")


class Hook:
    """A caller lookup or a control endpoint that answers when it is told to."""

    def __init__(self, seconds: float = 2.0, *, at_start: bool = True) -> None:
        self.seconds, self.at_start = seconds, at_start
        self.asked: list[Any] = []
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.cancelled = False

    async def look_up(self, question: Any) -> Any:
        self.asked.append(question)
        try:
            return await asyncio.shield(self.answer)
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    ask = look_up


class Scene:
    def __init__(self, lookup: Hook | None, control: Hook | None) -> None:
        self.lookup, self.control = lookup, control
        self.services: CallServices = dataclasses.replace(
            services(), caller_lookup=cast(Any, lookup), control=cast(Any, control)
        )
        self.over = asyncio.Event()
        call: Any = SimpleNamespace(id="call", carrier=SimpleNamespace(name="fake"), from_number="", to_number="")
        self.asking = asyncio.create_task(pre_answer_lookups.answers(call, self.services, RINGS, self._over()))

    async def _over(self) -> None:
        await self.over.wait()


@in_loop
async def test_where_nobody_is_to_be_asked_there_is_no_wait() -> None:
    one = Scene(None, None)
    assert not pre_answer_lookups.are_asked(one.services)
    assert pre_answer_lookups.longest_seconds(one.services) == 0.0
    assert await one.asking == Answers()


@pytest.mark.parametrize(
    ("lookup", "control", "at_start", "asked", "seconds"),
    [
        (2.0, None, True, True, 2.0), (None, 3.0, True, True, 3.0), (None, 3.0, False, False, 0.0),
        (2.0, 3.0, True, True, 3.0), (4.0, 3.0, True, True, 4.0), (2.0, 3.0, False, True, 2.0),
    ],
)  # fmt: skip
@in_loop
async def test_how_long_it_may_take(
    lookup: float | None, control: float | None, at_start: bool, asked: bool, seconds: float
) -> None:
    one = Scene(
        Hook(lookup) if lookup is not None else None, Hook(control, at_start=at_start) if control is not None else None
    )
    assert pre_answer_lookups.are_asked(one.services) is asked
    assert pre_answer_lookups.longest_seconds(one.services) == seconds
    one.over.set()
    await one.asking


@in_loop
async def test_both_are_asked_at_once_and_the_slower_is_waited_for() -> None:
    one = Scene(Hook(), Hook())
    await settle()
    assert one.lookup is not None
    assert one.control is not None
    (question,), (control,) = one.lookup.asked, one.control.asked
    assert (question.call, question.from_number, question.to_number) == ("call", "+15550100001", "+15550100002")
    assert control == ControlQuestion(
        event=AT_START, call="call", carrier="fake", from_number="+15550100001", to_number="+15550100002",
        direction="inbound",
    )  # fmt: skip
    one.control.answer.set_result(CHANGED)
    await settle()
    assert not one.asking.done()
    one.lookup.answer.set_result(FOUND)
    assert await one.asking == Answers(FOUND, CHANGED)


@pytest.mark.parametrize("first", ["lookup", "control", ""])
@in_loop
async def test_a_call_that_ends_waits_for_nobody_and_keeps_what_has_come(first: str) -> None:
    one = Scene(Hook(), Hook())
    await settle()
    assert one.lookup is not None
    assert one.control is not None
    if first == "lookup":
        one.lookup.answer.set_result(FOUND)
    if first == "control":
        one.control.answer.set_result(CHANGED)
    await settle()
    one.over.set()
    found = await one.asking
    await settle()
    assert found.looked_up == (FOUND if first == "lookup" else LookedUp(outcome="late", why="the call was over before"))
    late = Controlled(outcome="late", why="the call was over before")
    assert found.controlled == (CHANGED if first == "control" else late)
    assert (one.lookup.cancelled, one.control.cancelled) == (first != "lookup", first != "control")


@in_loop
async def test_a_call_that_is_given_up_leaves_nobody_asking() -> None:
    one = Scene(Hook(), Hook())
    await settle()
    one.asking.cancel()
    await asyncio.gather(one.asking, return_exceptions=True)
    await settle()
    assert one.lookup is not None
    assert one.control is not None
    assert (one.lookup.cancelled, one.control.cancelled) == (True, True)


@in_loop
async def test_a_control_endpoint_with_nothing_to_say_has_said_nothing() -> None:
    one = Scene(None, Hook())
    assert one.control is not None
    one.control.answer.set_result(None)
    assert await one.asking == Answers(None, None)


@pytest.mark.parametrize("told", [Answers(), Answers(FOUND), Answers(None, CHANGED), Answers(FOUND, CHANGED)])
def test_what_came_of_it_is_written_down_before_there_is_a_session(told: Answers) -> None:
    noted: list[Any] = []
    taken: list[Any] = []
    step_in = SimpleNamespace(controlled=lambda event, found: taken.append((event, found)))
    call: Any = SimpleNamespace(config=config(), note=noted.append, requests=SimpleNamespace(step_in=step_in))
    pre_answer_lookups.write_down(told, call)
    assert [type(note) for note in noted] == [notes.CallerLookup] * (told.looked_up is not None)
    assert taken == [(AT_START, CHANGED)] * (told.controlled is not None)
