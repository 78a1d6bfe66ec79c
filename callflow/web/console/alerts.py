"""The routes for alerts: what the server has found wrong with itself, who has seen it, and whether it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from quart import Quart, Response, request

from callflow.contracts.alert_states import STATES, state_of
from callflow.contracts.errors import BadRequest
from callflow.contracts.printable import quoted
from callflow.history.history import History
from callflow.history.tables import iso
from callflow.switchboard.health.service import HealthService
from callflow.web.console.history_query import whole_number
from callflow.web.console.requested_by import requester
from callflow.web.responses import error_response, history_not_open, json_response, query_parameters


_MOST: Final = 200


def add_alerts(app: Quart, history: History, service: HealthService, *, has_token: bool) -> None:
    """Add the routes to the app. `has_token`: operators need CONSOLE_TOKEN."""

    @app.get("/api/alerts")
    @query_parameters("state", "limit")
    async def alerts() -> Response:
        """List alerts, the newest first, and how many there are in each state."""
        state, limit = _state(), whole_number("limit", _MOST, 1, _MOST)
        if not service.answers:  # what this process knows of itself is not lost with the database
            known = [{**asdict(one), "state": one.state} for one in service.in_memory]
            counts = {each: sum(one["state"] == each for one in known) for each in STATES}
            return _answer([one for one in known if state in ("", one["state"])][:limit], counts)
        rows = await history.alerts.page(state, limit)
        return _answer([{**row, "state": _state_of(row)} for row in rows], await history.alerts.counts())

    @app.post("/api/alerts/<alert>/seen")
    async def seen(alert: str) -> Response:
        """Note that somebody has seen an open alert."""
        if not service.answers:
            return history_not_open()
        done = await service.see(alert, requester(has_token=has_token))
        return await _one(alert) if done else await _not_so(alert)

    @app.post("/api/alerts/<alert>/closed")
    async def closed(alert: str) -> Response:
        """Close an alert by hand: it stays closed for as long as what it is about goes on."""
        if not service.answers:
            return history_not_open()
        done = await service.close(alert, requester(has_token=has_token))
        return await _one(alert) if done else await _not_so(alert)

    async def _one(alert: str) -> Response:
        row = await history.alerts.find(alert)
        return await _not_so(alert) if row is None else json_response(_alert({**row, "state": _state_of(row)}))

    async def _not_so(alert: str) -> Response:
        row = await history.alerts.find(alert)
        if row is None:
            return error_response(404, f"There is no alert {quoted(alert)}; GET /api/alerts lists them.")
        return error_response(409, f"This alert is {_state_of(row)} already.")


def _state() -> str:
    """Return the wanted state; "": all. Raises BadRequest."""
    given = request.args.get("state", "")
    if given and given not in STATES:
        raise BadRequest(400, f"state must be {', '.join(STATES[:-1])} or {STATES[-1]}, not {quoted(given)}.")
    return given


def _state_of(row: Mapping[str, Any]) -> str:
    return state_of(row["seen_at"], row["closed_at"])


def _answer(rows: list[dict[str, Any]], counts: Mapping[str, int]) -> Response:
    return json_response({"counts": counts, "alerts": [_alert(row) for row in rows]})


def _alert(row: Mapping[str, Any]) -> dict[str, Any]:
    moments = ("opened_at", "seen_at", "closed_at", "over_at")
    return {
        name: iso(value) if name in moments and value is not None else value
        for name, value in row.items()
    }  # fmt: skip
