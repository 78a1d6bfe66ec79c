"""The routes for the history on the operators' listener: those of an earlier system, kept as they were, and search,
paging, export and deletion by date.

The old routes answer exactly their old fields, for a call that we dialled its direction as well, and for one that we
recorded that we did; `/api/calls/<id>` answers everything known about a call.
"""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

from quart import Quart, Response, request

from callflow.contracts.errors import BadQuery
from callflow.history.history import History
from callflow.history.query import MOST, Query, moment
from callflow.history.tables import iso
from callflow.journal.redaction import Redactor
from callflow.web.console.history_query import FILTERS, PAGE, one_of, parameter, read_query
from callflow.web.console.large_answers import answers, shapes
from callflow.web.console.large_answers.processes import LargeAnswers, is_large
from callflow.web.responses import (
    error_response,
    history_not_open,
    json_response,
    large_json_response,
    pieces_response,
    query_parameters,
)


NOT_FOUND: Final = "Conversation not found"
_EXPORTS: Final = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
_FEW: Final = 20
"""As many conversations, none of them large, are exported by the server itself."""


def add_history(app: Quart, history: History, redact: Redactor, large: LargeAnswers) -> None:
    """Add the routes to the app. `redact`: redacts posted items. `large`: makes large answers."""
    store = history.store
    one_at_a_time = asyncio.Lock()
    """Large posted bodies wait for each other, so that no call waits for them."""

    @app.before_request
    async def wait_for_the_history() -> Response | None:
        needs_it = request.path.startswith("/api/conversations") and request.url_rule is not None
        return history_not_open() if needs_it and not history.is_readable else None

    async def rows(wanted: Query) -> Response:
        found = await store.find(wanted)
        shown = shapes.whole if one_of("columns", "all") else shapes.conversation
        response = await large_json_response(lambda: [shown(row) for row in found])
        if len(found) == min(wanted.limit, MOST):
            others = {name: value for name, value in request.args.items() if name != "offset"}
            following = urlencode({**others, "before": found[-1]["id"]})
            response.headers["Link"] = f'<{quote(request.path)}?{following}>; rel="next"'
        return response if found else await say_what_was_assumed(response, wanted)

    async def say_what_was_assumed(response: Response, wanted: Query) -> Response:
        """Set the header `Warning` if no call was found because a number was read as a number of our own country."""
        note = await asyncio.to_thread(store.assumed, wanted)
        if note:
            response.headers["Warning"] = f'299 callflow "{note.encode("ascii", "replace").decode()}"'
        return response

    @app.get("/api/conversations")
    @query_parameters(*PAGE, "columns")
    async def conversations() -> Response:
        """List conversations, the newest first. `Link: <…>; rel="next"` leads to the next page. `columns=all`: with
        everything that is known of each but its items."""
        return await rows(read_query(100))

    @app.get("/api/conversations/phone/<path:number>")
    @query_parameters(*PAGE)
    async def of_number(number: str) -> Response:
        return await rows(read_query(50, called=number))

    @app.get("/api/conversations/phone-sid/<sid>")
    @query_parameters(*PAGE)
    async def of_number_id(sid: str) -> Response:
        return await rows(read_query(50, called_id=sid))

    @app.get("/api/conversations/stream/<sid>")
    async def conversation(sid: str) -> Response:
        row = await store.conversation(sid)
        if row is None:
            return error_response(404, NOT_FOUND)
        made = large.whole("earlier", row) if is_large(row) else answers.whole(store, "earlier", row)
        return pieces_response(await made)

    @app.post("/api/conversations/stream/<sid>/items")
    async def add(sid: str) -> Response:
        row = await store.conversation(sid)
        if row is None:
            return error_response(404, NOT_FOUND)
        body = cast(bytes, await request.get_data())
        now = iso(datetime.now(UTC).timestamp())
        async with one_at_a_time:
            items = await asyncio.to_thread(_posted, body, redact, now)
            is_there = await store.add_items(row["id"], items)
        return json_response({"success": True}) if is_there else error_response(404, NOT_FOUND)

    @app.delete("/api/conversations")
    @query_parameters("all", "before")
    async def delete_many() -> Response:
        """Delete the conversations that began before a date, or all; conversations of live calls stay."""
        all_, date = one_of("all", "true"), parameter("before")
        if bool(all_) == bool(date):
            raise BadQuery("say which: ?before=2026-01-31, or ?all=true")
        before = datetime.now(UTC).timestamp() + 1 if all_ else datetime.fromisoformat(moment(date)).timestamp()
        return json_response({"success": True, "deleted": await history.expire(before)})

    @app.get("/api/conversations/export")
    @query_parameters(*FILTERS, "before", "format")
    async def export() -> Response:
        """Answer all calls that the query finds: `format=json`, with every field, or `format=csv`, a row each. It has
        no pages: `limit` and `offset` are refused."""
        wanted = read_query(MOST)
        found = await store.find(dataclasses.replace(wanted, limit=_FEW + 1))  # or 400
        kind = one_of("format", "json", "csv") or "json"
        is_small = len(found) <= _FEW and not any(map(is_large, found))
        body = answers.here(store, kind, wanted) if is_small else large.stream(kind, wanted)
        response = Response(body, content_type=_EXPORTS[kind])
        response.headers["Content-Disposition"] = f'attachment; filename="calls.{kind}"'
        response.timeout = None
        return response if found else await say_what_was_assumed(response, wanted)


def _posted(body: bytes, redact: Redactor, now: str) -> list[dict[str, Any]]:
    from callflow.history import posted_items  # 0.7 MB, which few need: loaded by this thread

    return posted_items.rows(body, redact, now)
