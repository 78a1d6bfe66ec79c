"""What is remembered of answered webhooks and of legs that have ended: for ten minutes, and only so many."""

from __future__ import annotations

import asyncio

import pytest

from callflow.contracts import events
from callflow.contracts.events import LegIds, WebhookEvent
from callflow.switchboard import dedupe
from callflow.switchboard.dedupe import Deliveries, PendingReply, Tombstones, leg_keys


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def signal(delivery: str, carrier: str = "telnyx") -> WebhookEvent:
    return WebhookEvent(carrier, delivery, LegIds("control", "leg"), events.CallAnswered())


def pending() -> PendingReply:
    loop = asyncio.new_event_loop()
    try:
        return loop.create_future()
    finally:
        loop.close()


def test_a_leg_is_known_by_each_of_its_own_names() -> None:
    assert leg_keys("telnyx", LegIds("control", "leg", "session", "number")) == ("telnyx:leg", "telnyx:control")
    assert leg_keys("twilio", LegIds()) == ()


def test_a_repeated_delivery_gets_the_same_answer_also_while_it_is_being_made() -> None:
    deliveries, first = Deliveries(Clock()), pending()
    assert deliveries.reply(signal("d1")) is None
    deliveries.add(signal("d1"), first)
    assert not first.done()
    assert deliveries.reply(signal("d1")) is first
    assert deliveries.reply(signal("d2")) is None
    assert deliveries.reply(signal("d1", "twilio")) is None, "another carrier's"


def test_a_delivery_without_an_id_is_no_repeat() -> None:
    deliveries = Deliveries(Clock())
    deliveries.add(signal(""), pending())
    assert deliveries.reply(signal("")) is None


def test_an_answer_is_forgotten_after_ten_minutes_however_often_it_was_asked_for() -> None:
    clock = Clock()
    deliveries = Deliveries(clock)
    deliveries.add(signal("d1"), pending())
    for _ in range(3):
        clock.now += 199.9
        assert deliveries.reply(signal("d1")) is not None
    clock.now += 0.4
    assert deliveries.reply(signal("d1")) is None


def test_a_flood_of_deliveries_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedupe, "_MOST_DELIVERIES", 3)
    deliveries = Deliveries(Clock())
    for number in range(5):
        deliveries.add(signal(f"d{number}"), pending())
    assert [deliveries.reply(signal(f"d{number}")) is not None for number in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_a_leg_that_has_ended_is_found_by_any_of_its_names_for_ten_minutes() -> None:
    clock = Clock()
    tombstones = Tombstones(clock)
    tombstones.add("telnyx:leg", "c1")
    for ids in (LegIds("another", "leg"), LegIds("", "leg")):
        assert tombstones.find("telnyx", ids) == "c1"
    assert tombstones.find("telnyx", LegIds("control", "another")) is None
    assert tombstones.find("twilio", LegIds("control", "leg")) is None
    clock.now += 600
    assert tombstones.find("telnyx", LegIds("", "leg")) is None


def test_legs_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedupe, "_MOST_LEGS", 2)
    tombstones = Tombstones(Clock())
    for number in range(4):
        tombstones.add(f"telnyx:{number}", f"c{number}")
    found = [tombstones.find("telnyx", LegIds("", str(number))) for number in range(4)]
    assert found == [None, None, "c2", "c3"]
