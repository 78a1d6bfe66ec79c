"""Whether the carrier refused a call of a list, or the telephone has rung: as its journal tells."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.contracts import events
from callflow.journal.journal import JournalEntry
from callflow.switchboard.campaigns import endings


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
    found = endings.refusal(cause, entries(**told))
    assert (found.about if found is not None else None) == about
    assert endings.may_be_refused(cause) or found is None
    if cause == "dial_failed" and found is not None:
        assert found.why == "It said no."


def test_a_call_of_which_no_refusal_was_written_down_was_not_refused() -> None:
    assert endings.refusal("dial_failed", entries()[:1]) is None


@pytest.mark.parametrize("taken", [True, False])
def test_a_message_was_left_if_it_was_played_to_its_end(taken: bool) -> None:
    left = events.to_json(events.MessageLeft())
    found = [JournalEntry("a", 3, 2.0, left, "streaming", "hangup" if taken else "streaming", taken)]
    assert endings.message_was_left(found) is taken


def test_a_row_waits_longer_each_time_and_not_for_ever() -> None:
    waits = [endings.wait_seconds(refused) for refused in range(1, endings.MOST_REFUSED + 1)]
    assert waits[:3] == [10.0, 20.0, 40.0]
    assert waits == sorted(waits)
    assert waits[-1] == 1800.0
