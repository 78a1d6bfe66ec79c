"""What becomes of the entries of calls: one trace for each ended call, bounded, and nothing that waits or raises."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from callflow.contracts import events
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.redaction import is_private
from callflow.telemetry import traces
from callflow.telemetry.traces import Traces


class Collector(SpanExporter):
    """Keeps what it is given, or refuses it; `gate` closed: it takes for ever."""

    def __init__(self) -> None:
        self.traces: list[Sequence[ReadableSpan]] = []
        self.takes = True
        self.gate = threading.Event()
        self.gate.set()
        self.came = threading.Semaphore(0)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.came.release()
        self.gate.wait(10)
        if not self.takes:
            return SpanExportResult.FAILURE
        self.traces.append(spans)
        return SpanExportResult.SUCCESS


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def made(collector: Collector) -> Iterator[Traces]:
    made = Traces("http://127.0.0.1:9", "", "the line", is_private=is_private, most_waiting=2)
    made._exporter = collector
    yield made
    collector.gate.set()
    made.close()


def call(name: str) -> list[JournalEntry]:
    def step(at: float, event: events.Event, before: str, after: str) -> JournalEntry:
        return JournalEntry(name, 1, at, events.to_json(event), before, after, True, [])

    return [
        JournalEntry.of(notes.Began(carrier="telnyx", from_number="+15550100001"), call=name, at=100, step=1),
        step(100, events.CallInitiated(from_number="+15550100001"), "ringing", "ringing"),
        step(101, events.CallAnswered(), "ringing", "answered"),
        step(102, events.MediaStarted(), "answered", "streaming"),
        step(110, events.CallHangup(cause="normal_clearing"), "streaming", "hangup"),
        JournalEntry.of(notes.Ended(cause="normal_clearing"), call=name, at=110.5, step=1),
    ]


def take(made: Traces, *entries: JournalEntry) -> None:
    for entry in entries:
        made.take(entry)


def test_an_ended_call_is_one_trace_whose_ids_follow_from_the_call(made: Traces, collector: Collector) -> None:
    made.start(lambda name: ())
    for name in ("one", "two", "one"):
        take(made, *call(name))
        assert collector.came.acquire(timeout=5)
    made.close()
    one, two, again = collector.traces
    ids = [{span.context.trace_id for span in each if span.context} for each in (one, two, again)]
    assert [len(each) for each in ids] == [1, 1, 1]
    assert ids[0] == ids[2] != ids[1]
    roots = [span for span in one if span.parent is None]
    assert [span.name for span in roots] == ["call"]
    assert (roots[0].start_time, roots[0].end_time) == (100 * 10**9, 110 * 10**9)
    assert roots[0].resource.attributes["service.name"] == "the line"
    assert "+15550100001" not in str([span.to_json() for span in one])
    assert made.counts == {"sent": 3}


def test_a_call_of_another_process_is_told_from_its_beginning(made: Traces, collector: Collector) -> None:
    entries = call("one")
    made.start(lambda name: entries[:4])
    take(made, *entries[3:])
    made.close()
    (one,) = collector.traces
    assert min(span.start_time for span in one if span.start_time) == 100 * 10**9


def test_one_that_is_handed_over_and_what_comes_after_the_end_are_none(made: Traces, collector: Collector) -> None:
    made.start(lambda name: ())
    handed = JournalEntry.of(notes.HandedOver(quiet=True), call="one", at=105, step=1)
    take(made, *call("one")[:4], handed, call("one")[-1])
    assert made._calls == {}
    made.close()
    assert collector.traces == []


@pytest.mark.e2e
def test_a_collector_that_refuses_costs_one_line(
    made: Traces, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.takes = False
    made.start(lambda name: ())
    take(made, *call("one"), *call("two"))
    made.close()
    assert made.counts == {"dropped": 2}
    assert [line for line in caplog.messages if "TRACES ARE DROPPED" in line] == [caplog.messages[0]]


@pytest.mark.e2e
def test_nothing_waits_for_a_collector_that_hangs(made: Traces, collector: Collector) -> None:
    collector.gate.clear()
    made.start(lambda name: ())
    take(made, *call("first"))
    assert collector.came.acquire(timeout=5)
    take(made, *call("two"), *call("three"), *call("four"))
    assert made.counts == {"dropped": 1}, "two may wait"


def test_the_memory_is_bounded(made: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_MOST_CALLS", 3)
    monkeypatch.setattr(traces, "_MOST_ENTRIES", 5)
    for number in range(10):
        take(made, *call(f"c{number}")[:3])
    assert list(made._calls) == ["c7", "c8", "c9"]
    take(made, *call("c9")[1:4] * 10)
    assert len(made._calls["c9"]) == 5


def test_a_fault_of_ours_reaches_no_call(made: Traces, caplog: pytest.LogCaptureFixture) -> None:
    def broken(name: str) -> Any:
        raise RuntimeError("no")

    made.start(broken)
    take(made, *call("one"), *call("two"))
    assert len([line for line in caplog.messages if "because of an internal error" in line]) == 1
