"""The routes for lists of calls: make a campaign, look at it, pause, resume and cancel it.

A list comes as JSON with its rows in it, or as CSV with everything else in the query.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from quart import Quart, Response, request

from callflow.contracts.errors import BadList, BadRequest, DialRefused, SessionRefused
from callflow.history.campaign_store import CANCELLED, PAUSED, ROW_STATES, RUNNING
from callflow.history.history import History
from callflow.history.query import can_be_stored
from callflow.switchboard.campaigns.campaigns import CampaignRequest, Campaigns
from callflow.switchboard.campaigns.rows import Row, from_csv, from_json
from callflow.switchboard.campaigns.schedule import read_schedule
from callflow.switchboard.dialer import DialRequest
from callflow.web.console.dial import IDEMPOTENCY_KEY, SETTINGS, Checked
from callflow.web.console.history_query import one_of, whole_number
from callflow.web.console.identity import own_business
from callflow.web.console.requested_by import requester
from callflow.web.responses import (
    error_response,
    history_not_open,
    json_object,
    json_response,
    large_json_response,
    query_parameters,
    unknown_names,
)


CSV: Final = "text/csv"
_EXAMPLE: Final = '{"rows": [{"number": "+15550100001", "timezone": "America/New_York"}]}'
_PLAN: Final = ("hours", "weekdays", "attempts", "pauses", "calls_per_second", "at_once")
_TEXTS: Final = ("name", "profile", "from", "carrier", "greeting", "voicemailMessage", "start")
_FLAGS: Final = ("record", "machineDetection", "dry_run")
_IN_QUERY: Final = (*_PLAN, *_TEXTS, *_FLAGS)
_NAMES: Final = ("rows", "session", *_IN_QUERY)
_MOST_TEXT: Final = 200
_MOST_KEY: Final = 255
_MOST_PAGE: Final = 500
_WAYS: Final = {"pause": PAUSED, "resume": RUNNING, "cancel": CANCELLED}
_NOT_THERE: Final = "There is no such campaign: GET /api/campaigns lists them."
_YEARS: Final = (1970, 9000)
"""Of a start in UTC: other moments cannot be told, or have no next day."""
_START: Final = 'start must be "now", "paused", or a time with its zone such as 2026-01-31T09:00:00+01:00.'


def add_campaigns(
    app: Quart, campaigns: Callable[[], Campaigns], history: History, checked: Checked, *, has_token: bool
) -> None:
    """Add the routes to the app. `checked`: reads a session for calls. `has_token`: operators need CONSOLE_TOKEN."""

    @app.before_request
    async def wait_for_campaigns() -> Response | None:
        needs_it = request.path.startswith("/api/campaigns") and request.url_rule is not None
        return history_not_open() if needs_it and not history.is_readable else None

    @app.post("/api/campaigns")
    @query_parameters(*_IN_QUERY)
    async def make_campaign() -> Response:
        """Make a campaign of a list: 201. With `dry_run`, only tell what would be skipped and why: 200. With the
        header Idempotency-Key, a request that is repeated makes no second one."""
        asked, warnings = await _campaign_request(checked, has_token=has_token)
        try:
            told, is_new = await campaigns().make(asked)
        except DialRefused as refused:
            wait = str(refused.wait or "")
            return error_response(refused.status, refused.reasons[0], refused.reasons, Retry_After=wait)
        except BadList as error:
            raise BadRequest(400, str(error)) from None
        if warnings := [*warnings, *told.pop("warnings", ())]:
            told["warnings"] = warnings
        return json_response(told, 201 if is_new and not asked.is_dry else 200)

    @app.get("/api/campaigns")
    @query_parameters("limit", "before")
    async def list_campaigns() -> Response:
        """List the campaigns, the newest first. `Link: <…>; rel="next"` leads to the next page."""
        limit, before = whole_number("limit", 20, 1, 100), whole_number("before", 0, 0, (1 << 63) - 1)
        found = await history.campaigns.page(limit=limit, before=before, business=own_business())
        told = [await campaigns().describe(campaign) for campaign in found]
        response = await large_json_response(lambda: told)
        if len(found) == limit:
            following = urlencode({"limit": limit, "before": found[-1]["seq"]})
            response.headers["Link"] = f'<{quote(request.path)}?{following}>; rel="next"'
        return response

    @app.get("/api/campaigns/<campaign>")
    async def campaign_progress(campaign: str) -> Response:
        """Tell how far a campaign has come: its rows by state and outcome, and when the next one is due."""
        found = await _find(campaign)
        return error_response(404, _NOT_THERE) if found is None else json_response(await campaigns().describe(found))

    @app.get("/api/campaigns/<campaign>/rows")
    @query_parameters("limit", "after", "state")
    async def rows_of_campaign(campaign: str) -> Response:
        """List the rows of a campaign, perhaps those in one `state`. `Link: <…>; rel="next"` leads to the next page."""
        limit, after = whole_number("limit", 100, 1, _MOST_PAGE), whole_number("after", 0, 0, (1 << 31) - 1)
        state = one_of("state", *ROW_STATES)
        if await _find(campaign) is None:
            return error_response(404, _NOT_THERE)
        found = await history.campaigns.rows(campaign, limit=limit, after=after, state=state)
        response = await large_json_response(lambda: [campaigns().row_json(row) for row in found])
        if len(found) == limit:
            more = {"state": state} if state else {}
            following = urlencode({"limit": limit, "after": found[-1]["row"], **more})
            response.headers["Link"] = f'<{quote(request.path)}?{following}>; rel="next"'
        return response

    @app.post("/api/campaigns/<campaign>/<way>")
    async def change_campaign(campaign: str, way: str) -> Response:
        """Pause, resume or cancel a campaign; calls that are going on go on."""
        found = await _find(campaign)
        if found is None or way not in _WAYS:
            return error_response(404, _NOT_THERE if found is None else f"A campaign has {', '.join(_WAYS)}.")
        if not await campaigns().change(campaign, _WAYS[way]):
            now = await _find(campaign) or found
            return error_response(409, f"This campaign is {now['state']}, so nothing changes.")
        return json_response(await campaigns().describe(await _find(campaign) or found))

    async def _find(campaign: str) -> dict[str, Any] | None:
        return await history.campaigns.find(campaign) if can_be_stored(campaign) else None


async def _campaign_request(checked: Checked, *, has_token: bool) -> tuple[CampaignRequest, list[str]]:
    """Read the request. Raises BadRequest."""
    body: bytes = await request.get_data()  # type: ignore[assignment]
    problems: list[str] = []
    if request.mimetype == CSV:
        given: dict[str, Any] = dict(request.args)
        _flags(given)
        read: Callable[[], Iterator[Row]] = functools.partial(from_csv, body)
    else:
        if request.args:
            raise BadRequest(400, f"The query is for a list in {CSV}: put {', '.join(request.args)} into the body.")
        given = await json_object(_EXAMPLE)
        read = functools.partial(from_json, _rows(given, problems))
    problems += unknown_names(given, _NAMES)
    for name in _TEXTS:
        if not isinstance(given.get(name, ""), str):
            problems.append(f"{name} must be a text.")
            given[name] = ""
    if len(given.get("name", "")) > _MOST_TEXT or not can_be_stored(given.get("name", "")):
        problems.append(f"name must be a text of at most {_MOST_TEXT} characters.")
    problems += [f"{name} must be true or false." for name in _FLAGS if not isinstance(given.get(name, False), bool)]
    session = given.get("session", {})
    if not isinstance(session, Mapping):
        problems.append("session must be an object.")
    key = request.headers.get(IDEMPOTENCY_KEY, "")
    if len(key) > _MOST_KEY or not key.isprintable():
        problems.append(f"An Idempotency-Key has {_MOST_KEY} printable characters at most.")
    schedule, start_at = read_schedule(given, problems), _start(given.get("start", ""), problems)
    if problems:
        raise BadRequest(400, *problems)
    session = {**session, **{setting: given[name] for name, setting in SETTINGS.items() if name in given}}
    try:
        settings, warnings = await asyncio.to_thread(checked, session) if session else ({}, [])
    except SessionRefused as refusal:
        raise BadRequest(400, *refusal.problems) from None
    call = DialRequest(
        to_number="", from_number=given.get("from", ""), carrier=given.get("carrier", ""),
        profile=given.get("profile", ""), session=settings, record=given.get("record", False),
        by=requester(has_token=has_token), business=own_business(),
    )  # fmt: skip
    return CampaignRequest(
        rows=read, schedule=schedule, call=call, name=given.get("name", ""), start_at=start_at,
        is_paused=given.get("start") == "paused", is_dry=given.get("dry_run", False), key=key,
        digest=await asyncio.to_thread(_digest, request.query_string, body),
    ), warnings  # fmt: skip


def _digest(query: bytes, body: bytes) -> str:
    return hashlib.sha256(query + b"\n" + body).hexdigest()


def _flags(given: dict[str, Any]) -> None:
    """Turn the texts of a query into what a body has."""
    for name in _FLAGS:
        if name in given:
            value = {"true": True, "1": True, "false": False, "0": False}.get(given[name].lower())
            given[name] = value if value is not None else given[name]


def _rows(given: Mapping[str, Any], problems: list[str]) -> list[Any]:
    rows = given.get("rows")
    if isinstance(rows, list) and rows:
        return rows
    problems.append(f"rows must be a list of whom to call, such as {_EXAMPLE}; or send the list as {CSV}.")
    return []


def _start(given: str, problems: list[str]) -> float:
    if given in ("", "now", "paused"):
        return 0.0
    try:
        at = datetime.fromisoformat(given)
        if at.tzinfo is None or not _YEARS[0] <= at.astimezone(UTC).year <= _YEARS[1]:
            raise ValueError
        return at.timestamp()
    except (ValueError, OverflowError):
        problems.append(_START)
        return 0.0
