"""The status of a call in Twilio's words: for every state of the machine and every cause that there is."""

from __future__ import annotations

from typing import get_args

import pytest

from callflow.call.machine.model import STATES
from callflow.contracts.call_status import CallStatus, Direction, call_status
from callflow.contracts.hangup_causes import KNOWN


IN: Direction = "inbound"
OUT: Direction = "outbound"


@pytest.mark.parametrize(
    ("state", "direction", "is_at_carrier", "status"),
    [
        ("ringing", IN, True, "ringing"), ("ringing", IN, False, "ringing"), ("ringing", OUT, True, "ringing"),
        ("ringing", OUT, False, "queued"), ("answered", OUT, True, "in-progress"),
        ("streaming", IN, True, "in-progress"), ("recovering", IN, True, "in-progress"),
        ("streaming", OUT, False, "in-progress"),
    ],
)  # fmt: skip
def test_a_live_call(state: str, direction: Direction, is_at_carrier: bool, status: str) -> None:
    told = call_status(
        state=state, cause="", direction=direction, was_answered=state != "ringing", is_at_carrier=is_at_carrier
    )
    assert told == status


@pytest.mark.parametrize(
    ("cause", "inbound", "outbound"),
    [
        ("user_busy", "busy", "busy"), ("busy", "busy", "busy"), ("caller_busy", "busy", "busy"),
        ("caller_limit", "busy", "busy"), ("draining", "busy", "busy"), ("refused", "busy", "busy"),
        ("closed", "busy", "busy"), ("budget", "busy", "busy"),
        ("call_rejected", "busy", "busy"),
        ("rejected", "busy", "busy"),
        ("no_answer", "no-answer", "no-answer"), ("timeout", "no-answer", "no-answer"),
        ("originator_cancel", "canceled", "canceled"), ("canceled", "canceled", "canceled"),
        ("operator", "canceled", "canceled"), ("shutdown", "canceled", "canceled"), ("agent", "canceled", "canceled"),
        ("normal_clearing", "canceled", "no-answer"), ("completed", "canceled", "completed"),
        ("already_ended", "canceled", "no-answer"),
        ("machine", "completed", "completed"), ("fax", "completed", "completed"),
        ("not_found", "failed", "failed"), ("failed", "failed", "failed"), ("dial_failed", "failed", "failed"),
        ("dial_lost", "failed", "failed"), ("answer_failed", "failed", "failed"), ("our_fault", "failed", "failed"),
        ("not_answered", "failed", "failed"), ("engine_lost", "failed", "failed"), ("interrupted", "failed", "failed"),
        ("unspecified", "failed", "failed"), ("", "failed", "failed"), ("odd news", "failed", "failed"),
    ],
)  # fmt: skip
def test_a_call_that_was_never_answered(cause: str, inbound: str, outbound: str) -> None:
    for direction, status in ((IN, inbound), (OUT, outbound)):
        assert call_status(state="hangup", cause=cause, direction=direction, was_answered=False) == status


@pytest.mark.parametrize("cause", [*sorted(KNOWN), "", "odd news"])
@pytest.mark.parametrize("direction", [IN, OUT])
def test_a_call_that_was_answered_is_completed_whatever_ended_it(cause: str, direction: Direction) -> None:
    assert call_status(state="hangup", cause=cause, direction=direction, was_answered=True) == "completed"


@pytest.mark.parametrize("state", STATES)
def test_every_state_and_cause_has_a_status(state: str) -> None:
    told = {
        call_status(state=state, cause=cause, direction=direction, was_answered=answered, is_at_carrier=known)
        for cause in KNOWN
        for direction in (IN, OUT)
        for answered in (True, False)
        for known in (True, False)
    }
    assert told <= set(get_args(CallStatus))
