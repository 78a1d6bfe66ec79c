"""What became of a call of a campaign, and whether the carrier refused it: as status, cause and journal tell."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.contracts import events
from callflow.contracts.call_status import call_status
from callflow.contracts.events import CallHangup
from callflow.journal.journal import JournalEntry
from callflow.switchboard.campaigns import outcomes
from callflow.switchboard.campaigns.outcomes import ANSWERED, CANCELED, UNKNOWN, outcome_of
from callflow.switchboard.campaigns.schedule import Schedule
from carriers.twilio.webhooks import STATUS, read_event


def entries(**told: Any) -> list[JournalEntry]:
    failed = events.to_json(events.CommandFailed(command="dial", reason="it said no", **told))
    begun = JournalEntry("a", 1, 0.0, events.to_json(events.DialRequested()), "ringing", "ringing")
    return [begun, JournalEntry("a", 2, 1.0, failed, "ringing", "hangup")]


@pytest.mark.parametrize(
    ("cause", "told", "about"),
    [
        ("dial_failed", {"refuses": "limit"}, "limit"), ("dial_failed", {"refuses": "account"}, "account"),
        ("dial_failed", {}, "unknown"), ("dial_failed", {"refuses": "number"}, None),
        ("dial_failed", {"refuses": "account", "leg": events.HUMAN}, None),
        ("dial_lost", {"effect": "unknown"}, None), ("dial_lost", {"effect": "unknown", "refuses": "limit"}, "limit"),
        ("carrier_limit", {}, "limit"), ("not_dialled", {}, "limit"),
        ("user_busy", {"refuses": "limit"}, None), ("interrupted", {}, None),
    ],
)  # fmt: skip
def test_a_refusal_is_told_from_a_call_that_rang(cause: str, told: dict[str, Any], about: str | None) -> None:
    found = outcomes.refusal(cause, entries(**told))
    assert (found.about if found is not None else None) == about
    assert outcomes.may_be_refused(cause) or found is None
    if cause == "dial_failed" and found is not None:
        assert found.why == "It said no."


def test_a_call_of_which_no_refusal_was_written_down_was_not_refused() -> None:
    assert outcomes.refusal("dial_failed", entries()[:1]) is None


@pytest.mark.parametrize("taken", [True, False])
def test_a_message_was_left_if_it_was_played_to_its_end(taken: bool) -> None:
    left = events.to_json(events.MessageLeft())
    found = [JournalEntry("a", 3, 2.0, left, "streaming", "hangup" if taken else "streaming", taken)]
    assert outcomes.message_was_left(found) is taken


def test_a_row_waits_longer_each_time_and_not_for_ever() -> None:
    waits = [outcomes.wait_seconds(refused) for refused in range(1, outcomes.MOST_REFUSED + 1)]
    assert waits[:3] == [10.0, 20.0, 40.0]
    assert waits == sorted(waits)
    assert waits[-1] == 1800.0


@pytest.mark.parametrize(
    ("status", "cause", "outcome"),
    [
        ("completed", "normal_clearing", ANSWERED), ("completed", "interrupted", ANSWERED),
        ("busy", "user_busy", "busy"), ("no-answer", "timeout", "no_answer"), ("canceled", "operator", CANCELED),
        ("canceled", "shutdown", "failed"), ("failed", "dial_failed", "failed"), ("failed", "dial_lost", UNKNOWN),
        ("failed", "interrupted", UNKNOWN), ("no-answer", "normal_clearing", UNKNOWN),
        ("completed", "machine", "machine"), ("completed", "fax", "fax"),
    ],
)  # fmt: skip
def test_outcomes(status: str, cause: str, outcome: str) -> None:
    assert outcome_of(status, cause) == outcome


@pytest.mark.parametrize(
    ("word", "outcome"), [("completed", ANSWERED), ("no-answer", "no_answer"), ("busy", "busy"), ("canceled", CANCELED)]
)
def test_whoever_has_answered_is_not_called_again_although_the_webhook_of_the_answer_was_lost(
    word: str, outcome: str
) -> None:
    """Twilio's word for the end says it all the same: of a call that nobody answered it would be another one."""
    told, _ = read_event(STATUS, {"CallSid": "CA1", "CallStatus": word, "CallDuration": "12"})
    assert isinstance(told, CallHangup)
    status = call_status(state="hangup", cause=told.cause, direction="outbound", was_answered=False)
    assert outcome_of(status, told.cause) == outcome
    pauses = {"busy": 60.0, "no_answer": 60.0, UNKNOWN: 60.0}
    assert (Schedule(pauses=pauses).retry_at(outcome, 1, 1000.0) is None) is (outcome in (ANSWERED, CANCELED))
