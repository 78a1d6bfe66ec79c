"""A call made again from its record: what the next session of the model is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from callflow.call.dtmf import MASK
from callflow.call.restore import restore_call
from callflow.journal.journal import BEGAN, JournalEntry


def recorded(*events: Mapping[str, Any]) -> list[JournalEntry]:
    first = {"event": BEGAN, "carrier": "telnyx", "from": "+15550100001", "to": "+15550100002"}
    return [JournalEntry("call", 0, float(number), dict(event)) for number, event in enumerate([first, *events])]


@pytest.mark.parametrize(
    ("digits", "told"), [(["4", "2"], "4 2"), ([MASK, MASK], ""), ([], "")], ids=["typed", "nobody may read", "none"]
)
def test_keys_that_nobody_was_told_of_are_told_unless_nobody_may_read_them(digits: list[str], told: str) -> None:
    call = restore_call(recorded(*({"event": "dtmf", "digit": digit} for digit in digits)))
    assert call is not None
    assert [turn.who for turn in call.turns] == (["system"] if told else [])
    assert all(told in turn.text for turn in call.turns)


def test_keys_that_were_told_are_not_told_again() -> None:
    typed = ({"event": "dtmf", "digit": "4"}, {"event": "told", "text": "The caller typed 4."})
    call = restore_call(recorded(*typed))
    assert call is not None
    assert [turn.text for turn in call.turns] == ["The caller typed 4."]


def test_what_the_caller_lookup_told_is_known_again() -> None:
    note = {"event": "caller_lookup", "outcome": "answered", "profile": "sales", "variables": {"name": "Ada", "bad": 1}}
    call = restore_call(recorded(note))
    assert call is not None
    assert call.looked_up is not None
    assert (call.looked_up.profile, call.looked_up.variables) == ("sales", {"name": "Ada"})
    nobody = restore_call(recorded())
    assert nobody is not None
    assert nobody.looked_up is None


def test_the_variables_of_an_outbound_call_are_known_again() -> None:
    first = {"event": BEGAN, "carrier": "telnyx", "direction": "outbound", "variables": {"name": "Ada"}, "order": "abc"}
    call = restore_call([JournalEntry("call", 0, 0.0, first)])
    assert call is not None
    assert call.order is not None
    assert (call.order.variables, call.order.fingerprint()) == ({"name": "Ada"}, "abc")
