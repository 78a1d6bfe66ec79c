"""The record of a call, in memory: in order, and bounded."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from dataclasses import replace

from callflow.journal import notes
from callflow.journal.journal import Journal, JournalEntry, MemoryJournal
from callflow.journal.notes import Began, Fact


def record(call: str, step: int) -> JournalEntry:
    return JournalEntry(
        call, step, 1_780_000_000.0 + step, {"event": "call_answered"}, "ringing", "answered", taken=True
    )


def test_a_call_is_read_back_in_order() -> None:
    journal: Journal = MemoryJournal()

    async def write() -> None:
        await journal.append(record("a", 1))
        journal.note(record("b", 1))
        journal.note(record("a", 1))
        await journal.append(record("a", 2))

    asyncio.run(write())
    assert [one.step for one in journal.read("a")] == [1, 1, 2]
    assert [one.call for one in journal.read("b")] == ["b"]
    assert journal.calls() == ["a", "b"]


def test_entries_are_read_back_as_they_were_even_those_that_json_cannot_hold() -> None:
    journal = MemoryJournal()
    given = [
        record("a", 1),
        JournalEntry("a", 1, 1_780_000_000.123456, {"event": "turn", "text": "a\nb\u2028 \x85", "n": [1, None, {}]}),
        JournalEntry("a", 1, 2.5, {"event": "odd", "of": {1, 2}, "too": object()}),
        JournalEntry("a", 1 << 80, 2.5, {"event": "half a character", "text": "\ud800"}),
        JournalEntry("a", 2, 3.0, {"event": "x"}, "ringing", "hangup", True, [{"command": "hangup", "id": "1"}]),
    ]
    for entry in given:
        journal.note(entry)
    read = journal.read("a")
    assert [(*map(repr, (one.step, one.at, one.event, one.before, one.after, one.taken)),) for one in read] == [
        (*map(repr, (one.step, one.at, one.event, one.before, one.after, one.taken)),) for one in given
    ]
    assert [list(one.commands) for one in read] == [list(one.commands) for one in given]
    assert journal.has("a")
    assert not journal.has("b")


def test_an_entry_is_kept_in_little_memory() -> None:
    """A call notes twice a second how far the agent is heard, and a hundred calls are kept."""
    journal = MemoryJournal()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(500):
            heard = notes.Heard(item=f"item_{number}", ms=number * 500, of_ms=1_000_000, done=False)
            journal.note(JournalEntry.of(heard, call="a", at=time.time()))
        assert (tracemalloc.get_traced_memory()[0] - before) / 500 < 200
    finally:
        tracemalloc.stop()


def test_an_unknown_call_has_no_record_and_gets_none() -> None:
    journal = MemoryJournal()
    assert journal.read("never heard of") == []
    assert journal.calls() == []


def test_what_was_read_is_a_copy() -> None:
    journal = MemoryJournal()
    journal.note(record("a", 1))
    journal.read("a").clear()
    journal.calls().clear()
    assert len(journal.read("a")) == 1
    assert journal.calls() == ["a"]


def test_the_oldest_calls_are_forgotten_first() -> None:
    journal = MemoryJournal(calls=3)
    for call in "abcde":
        journal.note(record(call, 1))
    assert journal.calls() == ["c", "d", "e"]
    assert journal.read("a") == []


def test_of_a_call_the_first_records_are_kept_and_the_others_counted() -> None:
    journal = MemoryJournal(steps=3)
    for step in range(1, 8):
        journal.note(record("a", step))
    journal.note(record("b", 1))
    assert [one.step for one in journal.read("a")] == [1, 2, 3]
    assert journal.dropped == 4
    assert len(journal.read("b")) == 1


def test_only_a_call_that_is_kept_from_its_beginning_on_is_whole() -> None:
    journal = MemoryJournal(steps=3)
    began = JournalEntry.of(Began(carrier="telnyx", direction="inbound"), call="a", at=1.0)
    later = JournalEntry.of(Fact(text="Yes."), call="b", at=2.0)
    journal.note(began)
    journal.note(later)  # such as the price of a call that another process had
    assert [journal.is_whole(call) for call in ("a", "b", "c")] == [True, False, False]
    for _ in range(3):
        journal.note(replace(later, call="a"))
    assert not journal.is_whole("a"), "there may be more"


def test_what_is_read_again_stands_once() -> None:
    journal = MemoryJournal()
    began = JournalEntry.of(Began(carrier="telnyx", direction="inbound"), call="a", at=1.0)
    journal.note(began)
    told = JournalEntry.of(Fact(text="Yes."), call="a", at=2.0)
    journal.seed([began, told])
    assert [entry.name for entry in journal.read("a")] == ["began", "told"]
