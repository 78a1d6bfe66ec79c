"""A journal in words for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from callflow.journal import notes, timeline
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Cut


def entry(event: Any, at: float = 0.0, **step: Any) -> JournalEntry:
    told = event if isinstance(event, dict) else notes.to_json(event)
    return JournalEntry("call", 1, at, told, **step)


CUTS = (Cut(item="a", heard_ms=300, received_ms=900, heard_text="We are", unheard_text="open"),)
HEARD = (Cut(item="a", heard_ms=900, received_ms=900, heard_text="We are open"),)
SILENT = (Cut(item="a", unheard_text="We are open"), Cut(item="b", unheard_text="now"))
TOLD: list[tuple[Any, str]] = [
    (notes.Turn(who="caller", item="a", text="Hello?"), "caller: Hello?"),
    (notes.Turn(who="agent", item="a", text="We are", whole=False), "agent: We are …"),
    (notes.Whispered(text="He is angry.", by="ada"), "ada whispers to the agent: He is angry."),
    (notes.NotTranscribed(item="a", reason="no speech"), "caller: (not transcribed: no speech)"),
    (notes.Interrupted(cuts=CUTS, by_caller=True), "the caller breaks in, heard 300 of 900 ms: We are"),
    (notes.Interrupted(cuts=CUTS), "the agent is cut off, heard 300 of 900 ms: We are"),
    (notes.Interrupted(cuts=HEARD, by_caller=True), "the caller speaks at its end, heard 900 of 900 ms: We are open"),
    (notes.CutOff(cuts=SILENT), "agent: (not heard: We are open); agent: (not heard: now)"),
    (notes.CutOff(cuts=CUTS), "the agent is cut off, heard 300 of 900 ms: We are"),
    (notes.Usage(model="m", used={}, total={}, usd=None), ""),
]


@pytest.mark.parametrize(("note", "line"), TOLD, ids=range(len(TOLD)))
def test_what_a_note_says(note: Any, line: str) -> None:
    assert timeline.describe(entry(note)) == line


@pytest.mark.parametrize(
    ("note", "broke"),
    [
        (notes.Interrupted(cuts=CUTS, by_caller=True), True), (notes.Interrupted(cuts=HEARD, by_caller=True), False),
        (notes.Interrupted(cuts=CUTS), False), (notes.CutOff(cuts=CUTS, by_caller=True), True),
        (notes.Interrupted(cuts=(), by_caller=True), False), (notes.Clip(clip="sorry"), False), (None, False),
    ],
)  # fmt: skip
def test_only_a_caller_who_missed_something_broke_in(note: Any, broke: bool) -> None:
    assert timeline.broke_in(note) is broke


def test_a_step_shows_what_moved_and_what_it_wants_and_no_clocks() -> None:
    names = ("arm", "answer", "disarm", "connect_engine")
    commands = [{"command": name} for name in names]
    moved = entry({"event": "call_initiated", "leg": "caller", "to": "+1", "from": ""}, before="ringing",
                  after="answered", taken=True, commands=commands)  # fmt: skip
    assert timeline.describe(moved) == "call_initiated: to +1   ringing -> answered   => answer, connect_engine"
    inert = entry({"event": "no_input", "ms": 1.23456, "x": None, "ok": False}, before="hangup", after="hangup")
    assert timeline.describe(inert) == "no_input: ms 1.235, ok False   (inert)"


def test_a_long_value_does_not_fill_the_screen() -> None:
    assert len(timeline.describe(entry({"event": "x", "text": "y" * 10_000}))) < 400
    assert len(timeline.describe(entry({"event": "x", "text": "y" * 10_000}, before="a", after="b"))) < 400


def test_times_count_from_the_first_entry_and_what_says_nothing_is_left_out() -> None:
    entries = [entry(TOLD[0][0], 1000.0), entry(TOLD[-1][0], 1001.0), entry(TOLD[1][0], 1002.34567)]
    assert timeline.lines(entries, "nonsense") == [(0.0, "caller: Hello?"), (2.346, "agent: We are …")]
    assert timeline.lines([], "") == []


def item(at: Any, role: Any, content: Any, kind: str = "message") -> dict[str, Any]:
    return {"timestamp": at, "role": role, "content": content, "type": kind}


def test_a_call_without_a_journal_is_what_was_said() -> None:
    began = "2026-01-01T12:00:00+00:00"
    items = [
        item("2026-01-01T12:00:01.5004+00:00", "user", "Hello?"),
        item("2026-01-01T11:59:00+00:00", "assistant", "Good day."),
        item("2026-01-01T12:00:02", "assistant", "without a zone"),
        item(None, "system", 5),
        item("x", None, "f(1)", "function_call"),
        item("2026-01-01T12:00:03+00:00", "user", ""),
        item("2026-01-01T12:00:03+00:00", "user", None),
    ]
    assert timeline.lines([], began, items) == [
        (1.5, "caller: Hello?"), (0.0, "agent: Good day."), (0.0, "agent: without a zone"), (0.0, "system: 5"),
        (0.0, "function_call: f(1)"),
    ]  # fmt: skip


def test_a_moment_is_shown_in_the_time_of_this_machine_and_what_is_none_as_it_stands() -> None:
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert timeline.local(at.isoformat()) == at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    odd: list[Any] = ["", "yesterday", "2026-13-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", None, 5]
    assert [timeline.local(each) for each in odd] == [str(each) for each in odd]
