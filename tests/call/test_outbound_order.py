"""What an outbound call is to be: the same wishes have the same fingerprint, and the first event says how to dial."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.call.outbound_order import OutboundOrder
from tests.call.offline import config


ORDER = OutboundOrder(to_number="+15550100001", from_number="+15550100002", carrier="telnyx")
SETTINGS = st.dictionaries(st.sampled_from("abcd"), st.integers() | st.none(), max_size=4)


@pytest.mark.parametrize(
    "change",
    [
        {"to_number": "+15550100003"}, {"from_number": "+15550100003"}, {"carrier": "twilio"}, {"profile": "sales"},
        {"session": {"voice": "cedar"}}, {"variables": {"name": "Ada"}}, {"record": True},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_whoever_asks_for_something_else_has_another_fingerprint(change: dict[str, Any]) -> None:
    assert dataclasses.replace(ORDER, **change).fingerprint() != ORDER.fingerprint()


def test_who_asks_and_how_long_it_rings_is_no_part_of_what_is_asked_for() -> None:
    again = dataclasses.replace(ORDER, by="somebody else", ring_seconds=5, config=config())
    assert again.fingerprint() == ORDER.fingerprint()


def test_the_fingerprint_of_orders_without_variables_is_that_of_earlier_versions() -> None:
    """A process that takes over after an upgrade must not dial again what was dialled."""
    assert ORDER.fingerprint() == "c6cfcf4ba0ed9e372082b1371571cbff"


def test_a_restored_order_keeps_the_fingerprint_that_was_written_down() -> None:
    assert dataclasses.replace(ORDER, digest="abc").fingerprint() == "abc"


@given(SETTINGS)
def test_the_order_of_settings_makes_no_difference_and_nothing_else_is_taken_for_the_same(
    found: dict[str, Any],
) -> None:
    turned = dict(reversed(found.items()))
    assert (
        dataclasses.replace(ORDER, session=found).fingerprint()
        == dataclasses.replace(ORDER, session=turned).fingerprint()
    )
    more = dataclasses.replace(ORDER, session={**found, "a name of its own": 1})
    assert more.fingerprint() != dataclasses.replace(ORDER, session=found).fingerprint()


def test_a_value_that_json_does_not_know_has_a_fingerprint_too() -> None:
    assert len(dataclasses.replace(ORDER, session={"since": date(2026, 1, 1)}).fingerprint()) == 32


@pytest.mark.parametrize(
    ("route", "can", "streams"),
    [
        ("stream", [], "on_answer"),
        ("stream", ["dials_with_stream"], "with_dial"),
        ("stream", ["dials_with_stream", "leads_to_sip"], "with_dial"),
        ("sip", ["dials_with_stream", "leads_to_sip"], "sip"),
        ("sip", ["dials_with_stream"], "with_dial"),
        ("sip", [], "on_answer"),
    ],
)
def test_how_the_stream_is_opened(route: str, can: list[Any], streams: str) -> None:
    order = ORDER.under(config(route=route))
    assert order.dial_requested(record=False, can=frozenset(can)).streams == streams


def test_the_first_event_says_all_that_the_machine_needs() -> None:
    order = dataclasses.replace(
        ORDER, ring_seconds=7, by="ada", config=config(machine_detection=True, voicemail_message="Call us.")
    )
    event = order.dial_requested(record=True, can=frozenset({"queues_dials"}))
    assert (event.from_number, event.to_number) == (order.from_number, order.to_number)
    assert (event.ring_seconds, event.by, event.record, event.queues) == (7, "ada", True, True)
    assert event.machines == "message"
    plain = ORDER.dial_requested(record=False, can=frozenset())
    assert (plain.machines, plain.queues, plain.record) == ("", False, False)


@pytest.mark.parametrize("record", [True, False])
def test_an_order_may_have_the_carrier_record_whatever_the_settings_say(record: bool) -> None:
    usual = config()
    under = dataclasses.replace(ORDER, record=record).under(usual)
    assert under.config == (usual.recorded_by_carrier() if record else usual)
    assert usual.recorded_by_carrier() != usual
    assert ORDER.config is None


def test_what_a_caller_may_have_said_is_not_in_the_log() -> None:
    assert "Ada" not in repr(dataclasses.replace(ORDER, variables={"name": "Ada"}))
