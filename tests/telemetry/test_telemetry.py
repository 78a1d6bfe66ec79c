"""Telemetry never harms a call: whatever an entry holds, it is taken."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts import events
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.redaction import is_private
from callflow.telemetry.telemetry import Telemetry


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=3)


@given(
    name=st.sampled_from(sorted({*notes.KINDS, *events.KINDS, ""})),
    fields=st.dictionaries(
        st.sampled_from(["cause", "ms", "cuts", "total_ms", "frames_in", "command", "reason", "deadline"]), VALUES
    ),
    before=st.sampled_from(["", "ringing", "hangup"]),
)  # fmt: skip
def test_no_entry_is_an_error(name: str, fields: dict[str, Any], before: str) -> None:
    telemetry = Telemetry()
    telemetry.take(JournalEntry("c", 1, 0.0, {**fields, "event": name}, before, before))
    telemetry.snapshot()


def test_a_fault_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    for _ in range(3):
        telemetry.take(JournalEntry("c", 1, 0.0, {"event": "interrupted", "by_caller": True, "cuts": [7]}))
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_it_looks_for_calls_that_do_not_end() -> None:
    now = 0.0
    telemetry = Telemetry(capacity=7, now=lambda: now)
    telemetry.take(JournalEntry("c", 1, 0.0, {"event": "call_hangup"}, "streaming", "hangup", taken=True))
    asked = asyncio.Event()

    def is_live(call: str) -> bool:
        asked.set()
        return call == "c"

    telemetry.start(is_live, lambda *_: None, lambda call: ())
    now = 6.0
    async with asyncio.timeout(10):
        await asked.wait()
    await telemetry.close()
    found = telemetry.snapshot()
    assert found.values["callflow_calls_overdue"] == {(): 1}
    assert found.values["callflow_calls_capacity"] == {(): 7}
    assert found.histograms["callflow_loop_lag_seconds"][()].count >= 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many-of-them"),
        ("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "nobody-knows-it"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "snappy"),
        ("OTEL_TRACES_SAMPLER", "nonsense"),
    ],
)
def test_a_variable_that_opentelemetry_cannot_use_costs_traces_at_most(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It kept the server from starting."""
    monkeypatch.setenv(name, value)
    telemetry = Telemetry()
    told = telemetry.trace_to("http://127.0.0.1:9", "", "the line", is_private=is_private)
    assert (telemetry.traces is None) == bool(told)
    for line in told:
        assert line.startswith("THERE ARE NO TRACES")
        assert name in line
        assert value not in line
    telemetry.snapshot()
