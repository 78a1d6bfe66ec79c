"""The route for figures of many calls of the history."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from quart import Quart, Response

from callflow.contracts.errors import BadQuery
from callflow.contracts.hangup_causes import why
from callflow.history.history import History
from callflow.history.query import Query, moment
from callflow.history.statistics import MOST_CALLS, percentile
from callflow.history.tables import iso
from callflow.telemetry.call_results import known_cause, result_of
from callflow.web.console.history_query import FILTERS, read_query
from callflow.web.responses import history_not_open, large_json_response, query_parameters


MOST_DAYS: Final = 100
_USUAL_DAYS: Final = 30
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
"""No date is earlier."""
_MOST_CAUSES: Final = 30
_BINS: Final = (250, 500, 750, 1000, 1250, 1500, 2000, 3000, 5000)
"""Upper bounds of the answers' latencies that are counted together, in ms."""


def add_statistics(app: Quart, history: History) -> None:
    """Add the route to the app."""

    @app.get("/api/stats")
    @query_parameters(*FILTERS)
    async def stats() -> Response:
        """Answer the figures of the calls that the filters find: of the last 30 days, or from and to."""
        if not history.is_readable:
            return history_not_open()
        wanted = _within(read_query(1))
        counted = await history.statistics.of(wanted)
        told = await asyncio.to_thread(_figures, wanted, counted)
        return await large_json_response(lambda: told)


def _within(query: Query) -> Query:
    """Return the query with both ends of its time. Raises BadQuery."""
    now = datetime.now(UTC)
    until = moment(query.until, end=True) if query.until else iso(now.timestamp())
    ends = datetime.fromisoformat(until)
    usual = ends - min(timedelta(days=_USUAL_DAYS), ends - _FIRST)
    since = moment(query.since) if query.since else iso(usual.timestamp())
    begins = datetime.fromisoformat(since)
    if begins > ends:
        raise BadQuery('"from" is after "to"')
    if ends - begins > timedelta(days=MOST_DAYS + 1):
        raise BadQuery(f'figures are made of {MOST_DAYS} days at most: give "from" and "to"')
    return dataclasses.replace(query, since=since, until=until)


def _figures(query: Query, counted: Mapping[str, Any]) -> dict[str, Any]:
    sums = counted["calls"]
    return {
        "from": query.since,
        "to": query.until,
        "calls": {
            "all": sums["all"],
            "answered": sums["answered"],
            "rate": round(sums["answered"] / sums["all"], 4) if sums["all"] else None,
            "over": sums["over"],
            "whole": sums["whole"],
            "most": MOST_CALLS,
        },
        "minutes": round(sums["seconds"] / 60, 1),
        "seconds": _spread(counted["talked"]),
        "latency_ms": {**_spread(counted["latency"]), "bins": _binned(counted["latency"])},
        "interruptions": {
            "all": sums["interruptions"],
            "each": round(sums["interruptions"] / sums["answered"], 2) if sums["answered"] else None,
        },
        "cost": {
            "engine_usd": round(sums["engine_usd"], 4),
            "carrier_usd": round(sums["carrier_usd"], 4),
            "unpriced": sums["unpriced"],
        },
        "hours": [
            {"at": f"{hour}:00:00.000Z", "calls": calls, "answered": answered}
            for hour, calls, answered in counted["hours"]
        ],
        **_endings(counted["endings"]),
        **{name: _named(counted[name]) for name in ("profiles", "carriers", "directions")},
    }


def _spread(values: Sequence[Sequence[int]]) -> dict[str, Any]:
    return {
        "count": sum(count for _, count in values),
        "p50": percentile(values, 0.5),
        "p95": percentile(values, 0.95),
    }


def _binned(values: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Return how many values are within each of `_BINS`, and above them (`until` null)."""
    found: Counter[int | None] = Counter()
    for value, count in values:
        found[next((bound for bound in _BINS if value <= bound), None)] += count
    return [{"until": bound, "count": found[bound]} for bound in (*_BINS, None)] if values else []


def _endings(endings: Sequence[tuple[str | None, bool, int]]) -> dict[str, Any]:
    """Return the calls that are over by result and by cause, the most first."""
    results: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    for cause, heard, count in endings:
        if cause:
            results[result_of(known_cause(cause), heard_agent=heard)] += count
            causes[cause] += count
    return {
        "results": [{"result": name, "calls": count} for name, count in results.most_common()],
        "causes": [
            {"cause": name, "why": why(name), "calls": count} for name, count in causes.most_common(_MOST_CAUSES)
        ],
    }


def _named(groups: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    return [{"name": name, "calls": calls, "answered": answered} for name, calls, answered in groups[:_MOST_CAUSES]]
