"""Headers for the collector hold keys: one that OpenTelemetry cannot read must not be quoted in the log."""

from __future__ import annotations

import pytest

from callflow.telemetry.traces import Traces


@pytest.mark.parametrize("headers", ["no equals sign SECRET", "api key=SECRET", "x=ok,ä=SECRET"])
def test_a_header_that_cannot_be_read_is_not_quoted(headers: str, caplog: pytest.LogCaptureFixture) -> None:
    traces = Traces("http://127.0.0.1:9", headers, "callflow", is_private=lambda event, field: False)
    traces.close()
    assert "SECRET" not in caplog.text
