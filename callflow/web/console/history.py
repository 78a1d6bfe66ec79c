"""The routes for the history on the operators' listener: those of an earlier system, kept as they were, and search,
paging, export and deletion by date.

The old routes answer exactly their old fields, for a call that we dialled its direction as well, and for one that we
recorded that we did; `/api/calls/<id>` answers everything known about a call.
"""

from __future__ import annotations

import asyncio
import csv
import dataclasses
import io
import json
import re
import unicodedata
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

from quart import Quart, Response, request

from callflow.contracts.errors import BadQuery
from callflow.contracts.hangup_causes import ended
from callflow.contracts.printable import line
from callflow.history.history import History
from callflow.history.query import MOST, Query, moment
from callflow.history.tables import iso
from callflow.history.views import OUTBOUND, UNHEARD, content_of, earlier, heard_of
from callflow.journal.redaction import Redactor
from callflow.telemetry.call_results import known_cause, result_of
from callflow.web.console.history_query import FILTERS, PAGE, one_of, parameter, read_query
from callflow.web.responses import (
    error_response,
    history_not_open,
    json_response,
    json_slices,
    large_json_response,
    query_parameters,
)


NOT_FOUND: Final = "Conversation not found"
_CSV: Final = (
    "id", "call_id", "stream_sid", "carrier", "direction", "caller_number", "phone_number", "started_at", "ended_at",
    "duration_seconds", "message_count", "interruptions", "first_word_ms", "hangup_cause", "hangup_source", "cost_usd",
    "profile", "recording", "phone_number_sid", "ended_because", "result",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@")
"""Beginnings of a cell that a spreadsheet would run as a formula, also behind spaces and as full-width characters.
Telephone numbers with `+` are exempt."""


def add_history(app: Quart, history: History, redact: Redactor) -> None:
    """Add the routes to the app. `redact`: redacts posted items."""
    store = history.store
    one_at_a_time = asyncio.Lock()
    """Large posted bodies wait for each other, so that no call waits for them."""

    @app.before_request
    async def wait_for_the_history() -> Response | None:
        needs_it = request.path.startswith("/api/conversations") and request.url_rule is not None
        return history_not_open() if needs_it and not history.is_readable else None

    async def rows(wanted: Query) -> Response:
        found = await store.find(wanted)
        shown = _whole if one_of("columns", "all") else _conversation
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
        items = await store.items(row["id"])

        def told() -> dict[str, Any]:
            shown = [_item(item, row["stream_sid"]) for item in items]
            items.clear()  # here, because freeing thousands of them takes its time, too
            return {**_conversation(row), "items": shown}

        return await large_json_response(told)

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
        found = await store.find(dataclasses.replace(wanted, limit=1))  # or 400
        if one_of("format", "json", "csv") == "csv":
            response = Response(_csv(history, wanted), content_type="text/csv; charset=utf-8")
            name = "calls.csv"
        else:
            response = Response(_json(history, wanted), content_type="application/json")
            name = "calls.json"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        response.timeout = None
        return response if found else await say_what_was_assumed(response, wanted)


async def conversation_details(history: History, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything known about a conversation, in the shape of `GET /api/calls/<id>`. `row`: from the store."""
    items = await history.store.items(row["id"])
    details = await history.store.details(row["id"])
    return await asyncio.to_thread(_full, row, items, details)


def _full(row: Mapping[str, Any], items: list[dict[str, Any]], details: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_whole(row),
        "items": [_full_item(item) for item in items],
        **details,
    }


def _conversation(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a conversation in the shape of the earlier system, which had inbound calls only: those that we dialled
    say so, because their `caller_number` is the number that was called."""
    return {**earlier(row), "direction": OUTBOUND} if row["direction"] == OUTBOUND else earlier(row)


def _whole(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return every column of a conversation, why it ended, and by whose doing (one of RESULTS; null: it has not)."""
    cause, result = row["hangup_cause"], None
    if row["ended_at"] and cause:
        result = result_of(known_cause(cause), heard_agent=row["first_word_ms"] is not None)
    usage = json.loads(row["usage"]) if row["usage"] else None
    return {**row, "usage": usage, "ended_because": ended(row), "result": result}


def _posted(body: bytes, redact: Redactor, now: str) -> list[dict[str, Any]]:
    from callflow.history import posted_items  # 0.7 MB, which few need: loaded by this thread

    return posted_items.rows(body, redact, now)


def _full_item(item: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in item.items() if name not in ("conversation_id", "text")}
    shown["content"] = content_of(item)
    shown["latency"] = json.loads(item["latency"]) if item["latency"] else None
    return shown


def _item(item: Mapping[str, Any], stream: str) -> dict[str, Any]:
    """Return an item in the shape of the earlier system. If the caller interrupted, the words not heard are a separate
    part."""
    heard, unheard = heard_of(item)
    parts = [{"type": "text", "text": heard}] if heard else []
    return {
        "id": item["item_id"],
        "object": "realtime.item",
        "type": item["item_type"],
        "role": item["role"],
        "content": [*parts, {"type": UNHEARD, "text": unheard}] if unheard else content_of(item),
        "status": item["status"],
        "timestamp": item["timestamp"],
        "call_id": item["call_id"],
        "name": item["function_name"],
        "params": item["function_params"],
        "output": item["function_output"],
        "streamSid": stream,
    }


async def _json(history: History, wanted: Query) -> AsyncIterator[bytes]:
    first = True
    yield b"["
    async for page in history.store.pages(wanted):
        for row in page:
            details = await conversation_details(history, row)
            told = await asyncio.to_thread(lambda whole: b"".join(json_slices(whole)), details)
            yield (b"\n" if first else b",\n") + told
            first = False
    yield b"\n]\n"


async def _csv(history: History, wanted: Query) -> AsyncIterator[bytes]:
    yield _csv_lines([_CSV])
    async for page in history.store.pages(wanted):
        yield await asyncio.to_thread(_csv_of, page)


def _csv_of(page: Iterable[Mapping[str, Any]]) -> bytes:
    return _csv_lines([row[name] for name in _CSV] for row in map(_whole, page))


def _csv_lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    # Texts are quoted, so that numbers without a plus are masked for those who may only view.
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if not isinstance(value, str) or re.fullmatch(r"\+[0-9]+", value):
        return value
    shown = line(value)
    begins = unicodedata.normalize("NFKC", shown.lstrip()[:1])
    return f"'{shown}" if begins.startswith(_FORMULA) else shown
