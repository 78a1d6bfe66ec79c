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
