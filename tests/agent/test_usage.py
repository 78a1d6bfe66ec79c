"""What the models of a call have used: sums over sessions and processes, and no price where a part has none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.agent.usage import UsageTotal
from callflow.contracts.engine import Usage
from callflow.journal import notes


BILLS = st.builds(
    Usage,
    st.sampled_from(["gpt-realtime", "whisper"]),
    st.dictionaries(st.sampled_from(["audio_in", "audio_out", "seconds"]), st.integers(0, 10**9)),
    st.none() | st.integers(0, 10**6).map(lambda millionths: millionths / 10**6),
)


def test_nothing_used_costs_nothing() -> None:
    assert UsageTotal().total() == {"models": {}, "usd": 0.0}


def test_models_and_kinds_are_summed_apart() -> None:
    used = UsageTotal()
    used.add(Usage("a", {"audio_in": 3, "audio_out": 1}, 0.25))
    used.add(Usage("b", {"seconds": 2.5}, 0.5))
    used.add(Usage("a", {"audio_in": 4}, 0.0))
    assert used.total() == {"models": {"a": {"audio_in": 7, "audio_out": 1}, "b": {"seconds": 2.5}}, "usd": 0.75}


def test_once_a_price_is_missing_no_sum_is_told_any_more() -> None:
    used = UsageTotal()
    used.add(Usage("a", {}, 1.0))
    used.add(Usage("b", {}, None))
    used.add(Usage("a", {}, 1.0))
    assert used.total()["usd"] is None
    later = UsageTotal()
    later.restore(used.total())
    later.add(Usage("a", {}, 1.0))
    assert later.total()["usd"] is None


def test_the_note_has_the_part_and_the_sum() -> None:
    used = UsageTotal()
    used.add(Usage("a", {"audio_in": 1}, 0.1))
    note = used.added(Usage("a", {"audio_in": 2}, 0.2))
    assert note == notes.Usage(
        model="a", used={"audio_in": 2}, total={"models": {"a": {"audio_in": 3}}, "usd": 0.3}, usd=0.3
    )
    used.add(Usage("a", {"audio_in": 4}, 0.4))
    assert note.total["models"]["a"]["audio_in"] == 3, "what is in the journal does not change"


def test_an_earlier_process_that_has_used_nothing_leaves_the_sum_as_it_is() -> None:
    used = UsageTotal()
    used.restore({})
    assert used.total()["usd"] == 0.0


def test_what_was_restored_is_not_changed_in_place() -> None:
    total = {"models": {"a": {"audio_in": 1}}, "usd": 0.0}
    used = UsageTotal()
    used.restore(total)
    used.add(Usage("a", {"audio_in": 1}, 0.0))
    assert total == {"models": {"a": {"audio_in": 1}}, "usd": 0.0}


@settings(max_examples=25)
@given(st.lists(BILLS, max_size=8), st.integers(0, 8))
def test_a_call_that_changes_process_has_the_same_sum(bills: list[Usage], at: int) -> None:
    whole, first, second = UsageTotal(), UsageTotal(), UsageTotal()
    for bill in bills:
        whole.add(bill)
    for bill in bills[:at]:
        first.add(bill)
    second.restore(json.loads(json.dumps(first.total())))
    for bill in bills[at:]:
        second.add(bill)
    assert second.total()["models"] == whole.total()["models"]
    usd = None if None in [bill.usd for bill in bills] else sum(bill.usd or 0.0 for bill in bills)
    assert second.total()["usd"] == (usd if usd is None else pytest.approx(usd, abs=1e-5))
