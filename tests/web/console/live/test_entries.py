"""One entry of a journal as viewers get it: its number, its moment, and the end of the call."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began, Ended, Note, Turn
from callflow.web.console.live.entries import Encoder


AT = 1_700_000_000.0


def entry(note: Note | None = None, at: float = AT, **more: Any) -> JournalEntry:
    made = JournalEntry.of(note or Turn(who="caller", item="i", text="Hello."), call="c", at=at)
    return replace(made, **more)


def told(encoder: Encoder, *entries: JournalEntry) -> list[dict[str, Any]]:
    _, frames = encoder.encode_all(entries)
    return [json.loads(each.partition(b"\ndata: ")[2]) for each in frames]


@settings(max_examples=15)
@given(st.lists(st.floats(0, 2e9), min_size=1, max_size=20))
def test_numbers_rise_along_the_journal_whatever_the_clock_does(moments: list[float]) -> None:
    one, other = Encoder("c"), Encoder("c")
    entries = [entry(at=at) for at in moments]
    numbers, frames = one.encode_all(entries)
    assert numbers == sorted(set(numbers)), "each once, and rising"
    assert (numbers, frames) == other.encode_all(entries), "the same for whoever reads it"
    assert [json.loads(each.partition(b"\ndata: ")[2])["seq"] for each in frames] == numbers
    assert one.number == numbers[-1] < 2**53


def test_moments_count_from_the_first_entry_and_a_clock_that_was_set_back_shows() -> None:
    found = told(Encoder("c"), entry(at=AT), entry(at=AT + 1.2346), entry(at=AT - 2))
    assert [each["at"] for each in found] == [0.0, 1.235, -2.0]
    assert found[1]["seq"] < found[2]["seq"]


def test_a_note_is_told_by_its_fields_and_a_line_and_a_step_by_what_it_did() -> None:
    (note,) = told(Encoder("c"), entry())
    assert (note["kind"], note["note"]["text"], "event" in note["note"]) == ("turn", "Hello.", False)
    assert "Hello." in note["line"]
    (step,) = told(Encoder("c"), entry(before="ringing", after="streaming", taken=True, commands=[{"c": 1}]))
    assert "note" not in step
    assert (step["step"]["before"], step["step"]["after"], step["step"]["taken"]) == ("ringing", "streaming", True)
    assert step["step"]["commands"] == [{"c": 1}]


def ended(encoder: Encoder) -> dict[str, str]:
    return encoder.over or {}


def test_a_call_is_over_with_its_last_entry_and_goes_on_until_then() -> None:
    encoder = Encoder("c")
    told(encoder, entry(Began(), AT))
    assert (encoder.began, encoder.last, ended(encoder)) == (AT, 0, {})
    told(encoder, entry(event={"event": Ended.kind}, before="streaming", step=3))
    assert ended(encoder) == {}, "a step is no note, whatever its name"
    told(encoder, entry(Ended(cause="normal_clearing"), AT + 5))
    assert ended(encoder)["cause"] == "normal_clearing"
    assert ended(encoder)["result"] in ("caller", "success")
    assert encoder.last == encoder.number
    last = encoder.last
    told(encoder, entry(at=AT + 6))
    assert (encoder.last, encoder.number > last) == (last, True), "what comes behind the end does not move it"


def test_an_entry_of_another_version_is_shown_as_it_stands() -> None:
    odd = entry(event={"event": notes.Ended.kind, "cause": ["odd"], "new": {"a": 1}})
    encoder = Encoder("c")
    (shown,) = told(encoder, odd)
    assert shown["note"] == {"cause": ["odd"], "new": {"a": 1}}
    assert encoder.over is not None
    assert encoder.over["cause"] == ""
    (unknown,) = told(encoder, entry(event={"event": "of_tomorrow", "x": None}))
    assert (unknown["kind"], unknown["note"]) == ("of_tomorrow", {"x": None})
