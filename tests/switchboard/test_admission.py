"""Who gets in, in which order the reasons count, and how a refused call begins."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call.call import Call
from callflow.config.opening_hours import OpeningHours, read
from callflow.contracts.events import (
    CallAnswered,
    CallInitiated,
    CallRefused,
    CallTurnedAway,
    Event,
    GoodbyeRequested,
)
from callflow.switchboard.admission import Admission
from callflow.switchboard.caller_limits import CallerLimits
from callflow.switchboard.lag_admission import LagAdmission


RINGS = CallInitiated(from_number="+15550100001", to_number="+15550100002")


@dataclass
class FakeCall:
    id: str
    from_number: str = "+15550100001"
    config: FakeConfig = field(default_factory=lambda: FakeConfig())
    given_config: FakeConfig | None = None
    posted: list[Event] = field(default_factory=list)
    carrier: Any = field(default_factory=lambda: SimpleNamespace(can=frozenset({"speaks"})))

    def post(self, event: Event) -> None:
        self.posted.append(event)


class Scene:
    def __init__(self, max_calls: int = 10, **limits: int) -> None:
        self.counts: Counter[str] = Counter()
        self.admission = Admission(max_calls, CallerLimits(**limits), LagAdmission(0, 0), self.counts)

    def admit(self, call: FakeCall, event: Event = RINGS, live: int = 1) -> Event:
        return self.admission.admit(cast(Call, call), event, live)


def refusal(reason: str, why: str = "") -> CallRefused:
    return CallRefused(reason=reason, why=why, from_number="+15550100001", to_number="+15550100002")


@dataclass
class FakeConfig:
    opening: OpeningHours | None = None
    when_closed: str = "sentence"
    over_budget: str = "sentence"
    when_full: str = "busy"


@pytest.mark.parametrize("way", ["sentence", "busy", "fallback"])
async def test_nobody_is_answered_while_the_line_is_closed(way: str) -> None:
    scene = Scene()
    config = FakeConfig(read("mon-fri 9-18", "UTC"), way)
    scene.admission._now = lambda: 9.5 * 3600  # a Thursday
    assert scene.admit(FakeCall("c1", config=config)) is RINGS
    scene.admission._now = lambda: 18 * 3600.0
    why = "the line is open mon-fri 9-18 (UTC)"
    if way == "busy":
        assert scene.admit(FakeCall("c2", config=config)) == refusal("closed", why)
    else:
        assert scene.admit(FakeCall("c2", config=config)) == CallTurnedAway(
            reason="closed", why=why, from_number="+15550100001", to_number="+15550100002", fall_back=way == "fallback",
        )  # fmt: skip


@pytest.mark.parametrize("way", ["sentence", "fallback"])
async def test_whoever_is_found_answered_while_the_line_is_closed_gets_the_same(way: str) -> None:
    scene = Scene()
    scene.admission._now = lambda: 18 * 3600.0
    call, event = FakeCall("c1", config=FakeConfig(read("mon-fri 9-18", "UTC"), way)), CallAnswered()
    assert scene.admit(call, event) is event
    await asyncio.sleep(0)
    (goodbye,) = call.posted
    assert isinstance(goodbye, GoodbyeRequested)
    assert (goodbye.reason, goodbye.fall_back) == ("closed", way == "fallback")


@pytest.mark.parametrize(
    ("live", "is_open", "event"),
    [(10, True, RINGS), (11, True, refusal("busy")), (1, False, refusal("draining")), (11, False, refusal("busy"))],
)
async def test_no_more_than_are_allowed_and_none_while_the_server_drains(
    live: int, is_open: bool, event: Event
) -> None:
    scene = Scene()
    if not is_open:
        scene.admission.close()
    assert scene.admit(FakeCall("c1"), live=live) == event
    assert scene.counts == Counter(calls=1, refused=int(event is not RINGS))


def turned_away(reason: str, *, fall_back: bool) -> CallTurnedAway:
    return CallTurnedAway(
        reason=reason, from_number="+15550100001", to_number="+15550100002", fall_back=fall_back
    )  # fmt: skip


@pytest.mark.parametrize("way", ["sentence", "fallback"])
async def test_whoever_finds_the_line_full_is_connected_elsewhere_and_takes_no_room(way: str) -> None:
    """They heard busy although there was a fallback_number."""
    scene, config = Scene(max_calls=2), FakeConfig(when_full=way)
    away = turned_away("busy", fall_back=way == "fallback")
    first = FakeCall("c3", config=config)
    assert scene.admit(first, live=3) == away
    assert scene.admit(FakeCall("c4", config=config), live=4) == away
    assert scene.admit(FakeCall("c5", config=config), live=5) == refusal("busy"), "as many again, and no more"
    assert scene.admit(FakeCall("c6", config=config), live=4) is RINGS, "one of those with the agent has ended"
    scene.admission.ended(cast(Call, first))
    assert scene.admit(FakeCall("c7", config=config), live=4) == away
    scene.admission.close()
    assert scene.admit(FakeCall("c8", config=config), live=9) == refusal("busy"), (
        "nobody is connected by a server that ends"
    )


async def test_a_line_that_is_never_open_answers_nobody() -> None:
    config = FakeConfig(read(" Never ", "UTC"), "fallback")
    told = Scene().admit(FakeCall("c1", config=config))
    assert isinstance(told, CallTurnedAway)
    assert (told.reason, told.why, told.fall_back) == ("closed", "hours is never", True)


async def test_no_more_of_one_caller_until_one_of_them_has_ended() -> None:
    scene, first = Scene(at_once=1), FakeCall("c1")
    assert scene.admit(first) is RINGS
    assert scene.admit(FakeCall("c2")) == refusal("caller_busy", "this caller has 1 call already")
    assert scene.admit(FakeCall("c3", "+15550100009")) is RINGS
    scene.admission.ended(cast(Call, first))
    assert scene.admit(FakeCall("c4")) is RINGS


async def test_a_call_of_the_process_before_counts_for_its_caller() -> None:
    scene = Scene(per_hour=1)
    scene.admission.count_restored(cast(Call, FakeCall("c1")), 3500.0)
    assert scene.admit(FakeCall("c2")) == refusal("caller_limit", "this caller has had 1 call within an hour already")
    scene = Scene(per_hour=1)
    scene.admission.count_restored(cast(Call, FakeCall("c1")), 3601.0)
    assert scene.admit(FakeCall("c2")) is RINGS


async def test_a_call_that_is_answered_already_is_told_goodbye() -> None:
    scene, call, event = Scene(), FakeCall("c1"), CallAnswered()
    scene.admission.close()
    assert scene.admit(call, event) is event
    assert call.posted == [], "not before its first event"
    await asyncio.sleep(0)
    assert call.posted == [GoodbyeRequested(reason="draining")]


async def test_the_other_side_of_a_call_that_was_dialled_is_no_caller_of_its_own() -> None:
    the = Scene(max_calls=1, at_once=1)
    assert the.admit(FakeCall("a")) is RINGS
    assert the.admit(FakeCall("b")) == refusal("caller_busy", "this caller has 1 call already")
    assert the.admit(FakeCall("c", given_config=FakeConfig()), live=2) is RINGS
