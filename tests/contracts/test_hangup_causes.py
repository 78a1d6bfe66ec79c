"""Why a call ended, in words: for every cause that there is, and for calls without one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from callflow.contracts.hangup_causes import ended, why


ROOT = Path(__file__).parents[2]
CARRIERS = (
    *("call_rejected", "normal_clearing", "originator_cancel", "timeout", "time_limit", "user_busy", "not_found"),
    *("no_answer", "unspecified", "completed", "busy", "failed", "canceled"),
)
"""What Telnyx and Twilio say."""


def row(**more: Any) -> dict[str, Any]:
    usual = {"ended_at": None, "call_id": "c", "state": "streaming", "hangup_cause": None, "hangup_source": None}
    return usual | more


@pytest.mark.parametrize("cause", CARRIERS)
def test_what_carriers_say_is_told_in_a_sentence(cause: str) -> None:
    assert why(cause) != cause.replace("_", " "), "it has no words of its own"


def test_what_the_machine_says_is_told_in_a_sentence() -> None:
    machine = (ROOT / "callflow/call/machine/table.py").read_text(encoding="utf-8")
    causes = re.findall(r'with_cause\("(\w+)"\)', machine)
    assert len(causes) > 3
    for cause in causes:
        assert why(cause) != cause.replace("_", " "), "it has no words of its own"


@pytest.mark.parametrize(
    ("about", "told"),
    [
        (row(), "it has not ended"),
        (row(state="hangup"), "it is over, and its last words are still to come"),
        (row(call_id=None, state=None), "no end is in the history"),
        (row(call_id=None, state=None, ended_at="2025-12-01 23:01:30"), "why is not in the history"),
        (row(ended_at="x", hangup_cause=""), "why is not in the history"),
        (
            row(ended_at="x", hangup_cause="normal_clearing", hangup_source="caller"),
            "it was hung up in the ordinary way, by the caller",
        ),
        (
            row(ended_at="x", hangup_cause="normal_clearing", hangup_source="callee", direction="outbound"),
            "it was hung up in the ordinary way, by the person who was called",
        ),
        (
            row(ended_at="x", hangup_cause="normal_clearing", hangup_source="caller", direction="outbound"),
            "it was hung up in the ordinary way, by us",
        ),
        (row(ended_at="x", hangup_cause="busy", direction="outbound"), "the line was busy"),
        (row(ended_at="x", hangup_cause="canceled", direction="outbound"), "we gave up before it was answered"),
        (row(ended_at="x", hangup_cause="no_answer", direction="outbound"), "nobody answered"),
        (row(ended_at="x", hangup_cause="answer_failed"), "a command to the carrier failed (answer_failed)"),
        (row(ended_at="x", hangup_cause="odd_news"), "odd news"),
    ],
)
def test_every_state_of_a_row_is_told_as_it_is(about: dict[str, Any], told: str) -> None:
    assert ended(about) == told


@pytest.mark.parametrize(
    ("cause", "source", "inbound", "outbound"),
    [
        ("originator_cancel", "", "the caller gave up before it was answered", "we gave up before it was answered"),
        ("canceled", "", "the caller gave up before it was answered", "we gave up before it was answered"),
        (
            "busy", "",
            "too many calls were live (MAX_CONCURRENT_CALLS), or the loop was late (ADMISSION_LAG_MS)",
            "the line was busy",
        ),
        (
            "normal_clearing", "caller",
            "it was hung up in the ordinary way, by the caller", "it was hung up in the ordinary way, by us",
        ),
        (
            "completed", "callee",
            "it was hung up in the ordinary way, by us",
            "it was hung up in the ordinary way, by the person who was called",
        ),
        (
            "not_at_carrier", "reconciliation",
            *["the carrier had it no more, and had not said so, as a comparison with it showed"] * 2,
        ),
        ("no_answer", "callee", "nobody answered", "nobody answered"),
    ],
)  # fmt: skip
def test_who_called_makes_a_difference(cause: str, source: str, inbound: str, outbound: str) -> None:
    assert why(cause, source, "inbound") == why(cause, source, None) == inbound
    assert why(cause, source, "outbound") == outbound
    over = {"ended_at": "x", "hangup_cause": cause, "hangup_source": source}
    assert ended(row(**over, direction="outbound")) == outbound
    assert ended(row(**over)) == inbound


@pytest.mark.parametrize("cause", ["dial_failed", "dial_lost", "no_answer", "rejected", "machine"])
def test_how_an_outbound_call_fails_is_told_in_a_sentence(cause: str) -> None:
    assert why(cause, "", "outbound") != cause.replace("_", " "), "it has no words of its own"
