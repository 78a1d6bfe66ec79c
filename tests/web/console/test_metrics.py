"""The metrics of the operators' app: what switchboard, journal and engine count is read when it is asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from callflow.journal.notes import Reply
from callflow.web.console import metrics
from tests.web.asgi import Answer
from tests.web.console.stage import Stage, play


TOKEN = "a-token-of-24-characters"


class Media:
    """A live call, as far as its media are asked."""

    id = "c"
    model = SimpleNamespace(state="streaming")
    relay = SimpleNamespace(
        counts=Counter(), frames_in=100, bytes_out=0, silence_filler=SimpleNamespace(seconds=0.0),
        playout=SimpleNamespace(stale_marks=0, late_bytes=0, network_ms=None, ping_ms=None, most_lag_ms=None),
    )  # fmt: skip


def values(answer: Answer) -> dict[str, float]:
    """By series, with its labels."""
    assert answer.status == 200, answer.body
    lines = [line.rpartition(" ") for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {series: float(value) for series, _, value in lines}


def test_metrics_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        live: Any = Media()
        the.calls["c"] = live
        await the.write(Reply(ms=700))
        answer = await the.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        found = values(answer)
        assert found['callflow_calls_live{state="streaming"}'] == 1
        assert found["callflow_calls_offered_total"] == 3
        assert found["callflow_accepting"] == 1
        assert found["callflow_capacity_used"] == 0.25
        assert found["callflow_loop_lag_now_seconds"] == 0
        assert found["callflow_journal_writable"] == 1
        assert found['callflow_journal_entries_total{outcome="written"}'] == 1
        assert found['callflow_breaker_state{state="open",vendor="engine"}'] == 0
        the.history.journal.trouble = "the disk is full"
        assert values(await the.get("/metrics"))["callflow_journal_writable"] == 0
        the.history.journal.trouble = ""

    play(tmp_path, main)


def test_the_counts_of_the_switchboard_are_names_that_it_counts() -> None:
    root = Path(__file__).parents[3] / "callflow" / "switchboard"
    text = "".join(path.read_text(encoding="utf-8") for path in root.glob("*.py"))
    assert [name for name in metrics._OF_SWITCHBOARD.values() if f'ounts["{name}"] += 1' not in text] == []


def test_openmetrics_and_head_and_parameters(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        answer = await the.get("/metrics", accept="application/openmetrics-text; version=1.0.0; charset=utf-8")
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        head = await the.send("HEAD", "/metrics")
        assert (head.status, head.body) == (200, b"")
        assert (await the.get("/metrics?name=x")).status == 400

    play(tmp_path, main)


def test_the_metrics_are_behind_the_checks_of_every_other_path(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        assert (await the.get("/metrics")).status == 200
        the.headers = {}
        assert (await the.get("/metrics")).status == 401
        assert (await the.get("/metrics", authorization="Bearer wrong")).status == 401
        assert (await the.get("/metrics", origin="http://evil.example")).status == 403

    play(tmp_path, main, token=TOKEN)

    async def without_a_token(the: Stage) -> None:
        assert (await the.get("/metrics", host="evil.example")).status == 421

    play(tmp_path, without_a_token)
