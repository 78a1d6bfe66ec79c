"""The route `/metrics` of the operators' listener, for Prometheus.

Everything is read when it is asked for: the counters of switchboard, journal and engine, and the figures of the live
calls' media. Only the reading is done on the event loop; the text is written on a thread.
"""

from __future__ import annotations

import asyncio
import importlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from quart import Quart, Response, request

from callflow.history.delivery.sender import Sender
from callflow.history.journal_writer import DurableJournal
from callflow.media.relay_figures import summary
from callflow.switchboard.switchboard import Switchboard
from callflow.telemetry.metrics import BREAKER_STATES, ENTRIES, EVENTS, Snapshot
from callflow.telemetry.node_metrics import ANSWERS, merged
from callflow.telemetry.telemetry import Telemetry
from callflow.web.console.node_fan_out import NodeFanOut


_PLAIN: Final = "text/plain"
_OF_SWITCHBOARD: Final = {
    "callflow_calls_offered_total": "calls",
    "callflow_calls_recovered_total": "recovered",
    "callflow_hangups_lost_total": "lost_hangups",
    "callflow_orphans_total": "orphans",
    "callflow_odd_media_signatures_total": "odd_media_signatures",
    "callflow_webhooks_total": "webhooks",
    "callflow_webhook_repeats_total": "repeats",
    "callflow_webhook_strays_total": "strays",
    "callflow_webhook_late_replies_total": "late_replies",
}
"""Metrics, and the switchboard's names of the same counts."""


def add_metrics(
    app: Quart,
    telemetry: Telemetry,
    switchboard: Callable[[], Switchboard],
    journal: DurableJournal,
    engine: Callable[[], Mapping[str, Any]],
    sender: Sender | None = None,
    fan_out: NodeFanOut | None = None,
) -> None:
    """Add the route to the app. `engine`: describes the model's account, as `Account.describe` does. `sender`: sends
    events to EVENTS_URL; None: that is not set. `fan_out`: the other nodes; None: there are none."""

    @app.get("/metrics")
    async def metrics() -> Response:
        """Answer every metric, in the text format of Prometheus, or as OpenMetrics where that is accepted."""
        board = switchboard()
        for call in board.calls:
            telemetry.calls.media(call.id, summary(call.relay))
        snapshot = telemetry.snapshot()
        _add_switchboard(snapshot, board, telemetry.capacity)
        _add_journal(snapshot, journal)
        if sender is not None:
            _add_events(snapshot, sender)
        state = engine().get("state")
        for each in BREAKER_STATES:
            snapshot.set("callflow_breaker_state", float(each == state), "engine", each)
        if fan_out is not None:
            snapshot.set(ANSWERS, 1.0)
        accept = request.headers.get("Accept", "") if fan_out is None else _PLAIN
        body, content_type = await asyncio.to_thread(_write, snapshot, accept)
        if fan_out is not None and not fan_out.is_asked_by_node:  # labelled also while no other node is there
            answers = await fan_out.answers(_PLAIN)
            texts = {name: answer.body.decode() for name, answer in answers.items()} | {fan_out.me: body.decode()}
            body = (await asyncio.to_thread(merged, texts, answers.missing)).encode()
        return Response(body, content_type=content_type)


def _write(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    written: tuple[bytes, str] = importlib.import_module("callflow.telemetry.exposition").write(snapshot, accept)
    return written


def _add_switchboard(snapshot: Snapshot, board: Switchboard, capacity: int) -> None:
    for name, count in _OF_SWITCHBOARD.items():
        snapshot.set(name, board.counts.get(count, 0))
    for state, number in Counter(call.model.state for call in board.calls).items():
        snapshot.set("callflow_calls_live", number, state)
    snapshot.set("callflow_capacity_used", len(board.calls) / capacity if capacity else 0.0)
    snapshot.set("callflow_loop_lag_now_seconds", board.load.p99_ms / 1000)
    snapshot.set("callflow_accepting", float(board.is_accepting))


def _add_journal(snapshot: Snapshot, journal: DurableJournal) -> None:
    snapshot.set("callflow_journal_writable", float(not journal.trouble))
    snapshot.set("callflow_journal_waiting", journal.waiting)
    snapshot.set("callflow_journal_failures_total", journal.counts.get("failures", 0))
    for outcome in ENTRIES:
        snapshot.set("callflow_journal_entries_total", journal.counts.get(outcome, 0), outcome)


def _add_events(snapshot: Snapshot, sender: Sender) -> None:
    snapshot.set("callflow_events_waiting", sender.waiting)
    snapshot.set("callflow_events_dead", sender.dead)
    for outcome in EVENTS:
        snapshot.set("callflow_events_total", sender.counts.get(outcome, 0), outcome)
