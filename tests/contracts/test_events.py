"""Events as records: nothing is lost on the way to the journal and back."""

from __future__ import annotations

import json
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from callflow.contracts import events
from callflow.contracts.events import CALLER, Event, LegIds
from tests.contracts.kinds import descendants


_TIMES = st.floats(allow_nan=False, allow_infinity=False)
"""Times and lengths, which readers of webhooks make from dates and digits only: never NaN, which equals nothing."""
_BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {float: _TIMES, float | None: st.none() | _TIMES}


def _any_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Instances with every field drawn from its type, and often left empty."""
    hints = typing.get_type_hints(kind)
    fields = {}
    for field in structs.fields(kind):
        strategy: st.SearchStrategy[Any] = (
            _BY_TYPE[hint] if (hint := hints[field.name]) in _BY_TYPE else st.from_type(hint)
        )
        fields[field.name] = st.just("") | strategy if hint is str else strategy
    return st.builds(kind, **fields)


EVENTS = sorted(events.KINDS.values(), key=lambda kind: kind.name)


def test_every_event_is_known_by_a_name_of_its_own() -> None:
    assert descendants(Event) <= set(events.KINDS.values())
    assert len({kind.name for kind in descendants(Event)}) == len(descendants(Event)) > 20
    assert all(name == kind.name for name, kind in events.KINDS.items())


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.name)
@pytest.mark.exhaustive
def test_an_event_survives_its_record(kind: type[Event]) -> None:
    @given(_any_of(kind))
    def check(event: Event) -> None:
        record = json.loads(json.dumps(events.to_json(event)))
        assert record["event"] == kind.name
        back = events.from_json(record)
        assert back == event
        assert type(back) is type(event)
        assert back.trigger == event.trigger

    check()


def test_a_record_holds_what_says_something_and_no_more() -> None:
    assert events.to_json(events.CallAnswered(to_number="+2")) == {
        "event": "call_answered",
        "leg": CALLER,
        "to_number": "+2",
    }
    failed = events.to_json(events.CommandFailed(command="answer"))
    assert failed == {"event": "command_failed", "leg": CALLER, "command": "answer", "gone": False}


def test_an_empty_value_in_place_of_another_default_is_kept() -> None:
    for event in (events.GoodbyeRequested(reason=""), events.CallRefused(reason=""), events.MediaStarted(encoding="")):
        assert events.from_json(events.to_json(event)) == event


def test_reading_a_record_leaves_it_as_it_was() -> None:
    record = events.to_json(events.Dtmf(digit="1"))
    events.from_json(record)
    assert record == {"event": "dtmf", "leg": CALLER, "digit": "1"}


def test_a_record_of_another_version_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        events.from_json({"event": "of_next_year"})


@pytest.mark.parametrize(
    ("event", "trigger"),
    [
        (events.CallAnswered(), "call_answered"),
        (events.CommandDone(command="answer"), "answer_done"),
        (events.CommandFailed(command="answer"), "answer_failed"),
        (events.CommandFailed(command="hangup", gone=True), "hangup_gone"),
        (events.DeadlinePassed(deadline="ringing"), "ringing_deadline"),
    ],
)
def test_the_name_under_which_the_machine_lists_an_event(event: Event, trigger: str) -> None:
    assert event.trigger == trigger


def test_events_are_about_the_caller_unless_they_say_otherwise() -> None:
    assert {kind().leg for kind in EVENTS} == {CALLER}


def test_events_cannot_be_changed() -> None:
    event = events.CallAnswered()
    with pytest.raises(AttributeError, match="immutable"):
        event.leg = "other"  # type: ignore[misc]


def test_a_leg_is_known_by_its_own_names_and_not_by_its_session() -> None:
    assert LegIds("c", "l", "s").known() == ("l", "c")
    assert LegIds("c").known() == ("c",)
    assert LegIds(session="s").known() == ()
