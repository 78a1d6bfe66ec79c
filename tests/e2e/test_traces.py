"""A call becomes a trace at a collector, and a collector that is away harms nobody."""

from __future__ import annotations

import logging
import sys
import threading
from unittest import mock

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.redaction import is_private
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.telemetry import spans, traces
from callflow.telemetry.traces import Traces
from tests.e2e.collector import attributes, collector
from tests.e2e.product import product, until
from tests.e2e.talk import FAST, noise, saying, talk
from tests.ports import free_port


_SECRET = "TOKEN-that-nobody-may-see"


async def test_one_call_is_one_trace_at_the_collector(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    realtime = Realtime(script=Script.of(saying(noise(4000, 1)), otherwise=saying(noise(400, 2))), pace=Pace.instant())
    async with collector() as there:
        chosen = {
            **FAST, "no_input_seconds": 0, "otel_exporter_otlp_endpoint": there.address,
            "otel_exporter_otlp_headers": f"authorization=Bearer%20{_SECRET}", "otel_service_name": "front desk",
        }  # fmt: skip
        async with product(realtime=realtime, **chosen) as the:
            one = await talk(the, from_number="+15550100077")
            await one.phone.hears(0.2)
            one.phone.say(tone(400))
            await the.until(lambda: the.happened("latency"), "the answer to be heard")
            name = the.call.id
            await one.call.hang_up()
            await the.quiet()
            made = the.app.telemetry.traces
            assert made is not None
            await the.until(lambda: made.counts, "the trace")
            assert dict(made.counts) == {"sent": 1}
            entries = the.app.journal.read(name)
            (wait,) = the.happened("latency")
            (interrupted,) = (one for one in the.happened("interrupted") if one["by_caller"])

    assert there.paths == ["/v1/traces"]
    assert there.headers[0]["authorization"] == f"Bearer {_SECRET}"
    assert there.resource["service.name"] == "front desk"
    found = there.spans
    assert {span.trace_id.hex() for span in found} == {f"{spans.trace_id(name):032x}"}
    (root,) = (span for span in found if not span.parent_span_id)
    assert {span.parent_span_id for span in found if span is not root and span.name != "call"} == {root.span_id}
    assert root.name == "call"
    assert attributes(root.attributes)["gen_ai.conversation.id"] == name
    assert attributes(root.attributes)["callflow.result"] == "success"
    (over,) = (entry.at for entry in entries if entry.after == "hangup" != entry.before)
    assert root.start_time_unix_nano == pytest.approx(entries[0].at * 1e9, abs=2000)
    assert root.end_time_unix_nano == pytest.approx(over * 1e9, abs=2000)
    names = {span.name for span in found}
    assert {"ring", "stream", "engine connect", "first word", "caller turn", "agent turn"} <= names
    turns = [span for span in found if span.name == "agent turn"]
    cuts = [attributes(event.attributes) for span in turns for event in span.events if event.name == "interrupted"]
    (cut,) = (one for one in cuts if one["callflow.by_caller"])
    assert cut["callflow.heard_ms"] == sum(one["heard_ms"] for one in interrupted["cuts"])
    waits = [attributes(span.attributes).get("callflow.latency.total_ms") for span in turns]
    assert wait["total_ms"] in waits
    told = str(there.requests)
    assert [each for each in ("5550100", "Sentence number", "secret") if each in told] == []
    assert _SECRET not in caplog.text


async def test_a_collector_that_is_away_costs_a_trace_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    async with product(otel_exporter_otlp_endpoint=nobody, **FAST) as the:
        kept = the.app.telemetry.traces
        assert kept is not None
        for _ in range(2):
            one = await talk(the)
            await one.call.hang_up()
            await the.quiet()
        # The exporter tries again for a while: the end of the server stops that.
    await until(lambda: kept.counts["dropped"] >= 1, "the exporter to give up")
    assert kept.counts["sent"] == 0
    lines = [record for record in caplog.records if "TRACES ARE DROPPED" in record.message]
    assert [record.levelno for record in lines] == [logging.WARNING]
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []
    assert [thread.name for thread in threading.enumerate() if thread.name == "traces"] == []


async def test_what_is_missing_is_said_at_the_start_and_calls_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    async with product(otel_exporter_otlp_endpoint="http://127.0.0.1:9", **FAST) as the:
        assert traces.MISSING in the.app.warnings
        assert "scripts/setup otel" in traces.MISSING
        one = await talk(the)
        await one.phone.hears(0.1)
        await one.call.hang_up()
        await the.quiet()


def test_more_ended_calls_than_there_is_room_for_are_dropped_and_counted() -> None:
    made = Traces("http://127.0.0.1:9", "", "callflow", is_private=is_private, most_waiting=2)
    for number in range(5):  # nothing is sent before `start`
        made.take(JournalEntry.of(notes.Began(), call=f"c{number}", at=1))
        made.take(JournalEntry.of(notes.Ended(), call=f"c{number}", at=2))
    assert dict(made.counts) == {"dropped": 3}
    made.close()


def test_a_call_that_another_process_began_is_told_from_its_beginning() -> None:
    earlier = [
        JournalEntry.of(notes.Began(carrier="twilio"), call="c", at=1),
        JournalEntry("c", 1, 2, {"event": "call_answered"}, "ringing", "answered", taken=True),
    ]
    made = Traces("http://127.0.0.1:9", "", "callflow", is_private=is_private)
    sent: list[ReadableSpan] = []
    with mock.patch.object(made._exporter, "export", sent.extend):
        made.start(lambda call: [*earlier, recovered])
        recovered = JournalEntry("c", 2, 3, {"event": "call_recovered"}, "answered", "recovering", taken=True)
        made.take(recovered)
        made.take(JournalEntry.of(notes.Ended(), call="c", at=4))
        made.take(JournalEntry("c", 3, 5, {"event": "call_hangup"}, "hangup", "hangup"))  # it came late
        made.close()
    assert [(span.name, span.start_time) for span in sent if span.parent is None] == [("call", 1_000_000_000)]
    assert {span.name for span in sent} == {"call", "ring", "stream", "first word", "recovery"}
    assert made._calls == {}
