"""The entries of a call become one trace: stages, turns, tools, recoveries, and no word or number of a caller's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from callflow.contracts import commands, events
from callflow.contracts.events import Event
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Note
from callflow.journal.redaction import is_private
from callflow.telemetry import spans
from callflow.telemetry.spans import Span


HISTORIES = sorted((Path(__file__).parents[1] / "histories").glob("*.jsonl"))


class Written:
    def __init__(self) -> None:
        self.entries: list[JournalEntry] = []

    def step(
        self, at: float, event: Event, before: str, after: str = "", *does: commands.Command, taken: bool = True
    ) -> None:
        told = [commands.to_json(each) for each in does]
        entry = JournalEntry("c", 1, at, events.to_json(event), before, after or before, taken, told)
        self.entries.append(entry)

    def note(self, at: float, note: Note) -> None:
        self.entries.append(JournalEntry.of(note, call="c", at=at, step=1))

    def begins(self) -> None:
        """It rings at 100, is answered at 101, streams at 101.25, and the agent is heard from 101.5 on."""
        self.note(100, notes.Began(carrier="telnyx", from_number="+15550100001", to_number="+15550100002"))
        self.step(
            100, events.CallInitiated(from_number="+15550100001"), "ringing", "", commands.Answer(),
            commands.ConnectEngine(),
        )  # fmt: skip
        self.step(100.5, events.EngineReady(), "ringing")
        self.step(101, events.CallAnswered(), "ringing", "answered")
        self.step(101.25, events.MediaStarted(), "answered", "streaming")
        self.note(101.5, notes.FirstWord(ms=500))
        self.note(101.5, notes.AgentSpeaks())

    def ends(self, at: float, cause: str = "normal_clearing") -> None:
        self.step(at, events.CallHangup(cause=cause), "streaming", "hangup")
        self.note(at + 1, notes.Ended(cause=cause, frames_in=7))

    def spans(self) -> list[Span]:
        return spans.spans_of(self.entries, is_private)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans() if span.name == name]

    def times(self) -> dict[str, tuple[float, float]]:
        return {span.name: (span.start, span.end) for span in self.spans()}


def test_a_call_is_the_root_and_the_stages_of_its_beginning_lie_below() -> None:
    call = Written()
    call.begins()
    call.note(104, notes.Heard(item="i", ms=2500, of_ms=2500, done=True))
    call.ends(105)
    assert call.times() == {
        "call": (100, 105), "ring": (100, 101), "answer": (100, 101), "engine connect": (100, 100.5),
        "stream": (101, 101.25), "first word": (101, 101.5), "agent turn": (101.5, 104),
    }  # fmt: skip
    root = call.spans()[0]
    assert root.attributes["gen_ai.conversation.id"] == "c"
    assert root.attributes["callflow.carrier"] == "telnyx"
    assert root.attributes["callflow.result"] == "success"
    assert root.attributes["callflow.frames_in"] == 7
    assert root.error == ""


def test_a_fault_of_the_engines_is_the_error_of_the_call() -> None:
    call = Written()
    call.begins()
    call.ends(105, "engine_lost")
    root = call.spans()[0]
    assert (root.error, root.attributes["error.type"]) == ("engine_lost", "engine_lost")


def test_an_answer_has_its_latency_and_its_interruption() -> None:
    call = Written()
    call.begins()
    call.note(102, notes.CallerSpeaks())
    cut = notes.Cut(item="i", heard_ms=600, received_ms=900, heard_text="My secret", unheard_text="word")
    call.note(102.25, notes.Interrupted(cuts=(cut,), by_caller=True, network_ms=12))
    call.note(103, notes.CallerPauses())
    call.note(104, notes.AgentSpeaks())
    call.note(104, notes.Latency(item="j", detection_ms=200, engine_ms=700, own_ms=1, carrier_ms=99, total_ms=1000))
    call.ends(106)
    first, second = call.named("agent turn")
    assert (first.end, [event.name for event in first.events]) == (102.25, ["interrupted"])
    assert first.events[0].at == 102.25
    assert first.events[0].attributes == {
        "callflow.heard_ms": 600, "callflow.received_ms": 900, "callflow.by_caller": True, "callflow.network_ms": 12,
    }  # fmt: skip
    assert (second.start, second.end) == (104, 106)
    assert second.attributes["callflow.latency.total_ms"] == 1000
    assert second.attributes["callflow.latency.detection_ms"] == 200
    (caller,) = call.named("caller turn")
    assert (caller.start, caller.end) == (102, 103)


def test_tools_have_a_duration_and_a_result() -> None:
    call = Written()
    call.begins()
    for name in ("x", "y", "z"):
        call.step(102, events.ToolCalled(id=name, tool="find_order", arguments='{"card": 4111}'), "streaming")
    call.step(103, events.ToolFinished(id="x", tool="find_order", output='"here"', ms=990), "streaming")
    call.step(104, events.ToolFinished(id="y", tool="find_order", ok=False, output='"no"', ms=1990), "streaming")
    call.ends(105)
    found = {str(each.attributes["gen_ai.tool.call.id"]): each for each in call.named("execute_tool find_order")}
    assert {key: (each.start, each.end, each.error) for key, each in found.items()} == {
        "x": (102, 103, ""), "y": (102, 104, "tool_error"), "z": (102, 105, ""),
    }  # fmt: skip
    results = {key: each.attributes["callflow.tool.result"] for key, each in found.items()}
    assert results == {"x": "ok", "y": "error", "z": "unfinished"}
    assert found["x"].attributes["callflow.tool.ms"] == 990


def test_a_recovery_is_a_span_and_its_reason_is_not_told() -> None:
    call = Written()
    call.begins()
    lost = events.EngineLost(reason="they said: no")
    call.step(102, lost, "streaming", "recovering", commands.ConnectEngine())
    call.step(103, events.EngineReady(), "recovering", "streaming")
    call.ends(105)
    (recovery,) = call.named("recovery")
    assert (recovery.start, recovery.end, recovery.error) == (102, 103, "")
    assert recovery.attributes["callflow.recovery.after"] == "engine_lost"
    assert [(event.name, event.attributes) for event in call.spans()[0].events] == [
        ("engine_lost", {"callflow.retry": True})
    ]
    assert [(each.start, each.end) for each in call.named("engine connect")] == [(100, 100.5), (102, 103)]


def test_no_field_that_is_taken_is_marked_as_words_of_people() -> None:
    taken = [(name, field) for name, fields in spans.EVENTS.items() for field in fields]
    assert [pair for pair in taken if is_private(*pair)] == []
    assert is_private("turn", "text")
    assert is_private("no such note", "text")


def test_a_field_is_left_out_as_soon_as_it_is_marked() -> None:
    call = Written()
    call.begins()
    call.ends(105)
    found = spans.spans_of(call.entries, lambda event, field: field == "carrier" or is_private(event, field))
    assert "callflow.carrier" not in found[0].attributes
    assert "callflow.direction" in found[0].attributes


@pytest.mark.parametrize("tool", ["call +15550100001", "x" * 65, "", "a\nb"])
def test_a_name_that_is_a_text_is_not_told(tool: str) -> None:
    call = Written()
    call.begins()
    call.step(102, events.ToolCalled(id="x y", tool=tool), "streaming")
    call.ends(105)
    (span,) = call.named("execute_tool other")
    assert "gen_ai.tool.call.id" not in span.attributes


@pytest.mark.parametrize("file", HISTORIES, ids=lambda file: file.stem)
def test_real_journals_tell_nothing_that_was_said_and_no_number(file: Path) -> None:
    entries = [JournalEntry(**json.loads(line)).renewed() for line in file.read_text(encoding="utf-8").splitlines()]
    found = spans.spans_of(entries, is_private)
    told = repr(found)
    assert "+1555" not in told
    fields = ("text", "so_far", "output", "arguments", "reason")
    said = {str(entry.event[name]) for entry in entries for name in fields if len(str(entry.event.get(name, ""))) > 8}
    assert [text for text in said if text in told] == []
    assert said or "ended" in file.stem
    root, *others = found
    assert "ring" in {span.name for span in others}
    assert {"first word", "agent turn"} <= {span.name for span in others} or "ended" in file.stem
    assert all(root.start <= span.start <= span.end <= root.end for span in others)


def test_ids_follow_from_the_call() -> None:
    assert spans.trace_id("c") == spans.trace_id("c") != spans.trace_id("d")
    assert len({spans.span_id("c", number) for number in range(100)}) == 100
    assert 0 < spans.span_id("c", 0) < 2**64 < spans.trace_id("c") < 2**128
