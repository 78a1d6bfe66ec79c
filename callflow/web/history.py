"""The record of the calls over HTTP, for operators: the six routes of an earlier system as they were, then search,
paging, export and deletion beside them.

What the old routes answer has exactly the fields that it always had; all that is known of a call: `/api/calls/<id>`.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from quart import Quart, Response, request
from sqlalchemy.exc import SQLAlchemyError

from callflow.history.store import MOST, BadQuery, Query, content_of, earlier, moment
from callflow.keeper import Keeper


log = logging.getLogger(__name__)

_NOT_FOUND: Final = "Conversation not found"
_FILTERS: Final = {
    "number": ("number",),
    "caller": ("caller", "callerNumber"),
    "called": ("called", "phoneNumber"),
    "called_id": ("phoneNumberSid",),
    "words": ("text", "q", "query", "search"),
    "since": ("from", "since", "start", "startDate"),
    "until": ("to", "until", "end", "endDate"),
}
"""Fields of a query, and the parameters that say them."""
_CSV: Final = (
    "id", "call_id", "stream_sid", "carrier", "direction", "caller_number", "phone_number", "started_at", "ended_at",
    "duration_seconds", "message_count", "interruptions", "first_word_ms", "hangup_cause", "hangup_source", "cost_usd",
    "profile", "recording",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run; and a `+`, unless a number follows."""


def add_history(app: Quart, keeper: Keeper) -> None:
    store = keeper.store

    def answered(body: Any, status: int = 200) -> Response:
        return Response(msgspec.json.encode(body), status, content_type="application/json")

    def query(default: int, **fixed: Any) -> Query:
        """Raises BadQuery."""
        asked = {name: _first(*spellings) for name, spellings in _FILTERS.items()}
        live = {"": None, "true": True, "false": False}.get(_first("live").lower())
        page = {
            "limit": _number("limit", default, 1, MOST),
            "before": _number("before", 0, 0, 1 << 62),
            "offset": _number("offset", 0, 0, 1 << 31),
        }
        return Query(**{**asked, "live": live, **page, **fixed})

    async def rows(wanted: Query) -> Response:
        found = await store.find(wanted)
        response = answered([earlier(row) for row in found])
        if len(found) == min(wanted.limit, MOST):
            others = {name: value for name, value in request.args.items() if name != "offset"}
            following = urlencode({**others, "before": found[-1]["id"]})
            response.headers["Link"] = f'<{request.path}?{following}>; rel="next"'
        return response

    @app.get("/api/conversations")
    async def conversations() -> Response:
        """Newest first. `Link: <…>; rel="next"` leads to the next page."""
        return await rows(query(100))

    @app.get("/api/conversations/phone/<path:number>")
    async def of_number(number: str) -> Response:
        return await rows(query(50, called=number))

    @app.get("/api/conversations/phone-sid/<sid>")
    async def of_number_id(sid: str) -> Response:
        return await rows(query(50, called_id=sid))

    @app.get("/api/conversations/stream/<sid>")
    async def conversation(sid: str) -> Response:
        row = await store.conversation(sid)
        if row is None:
            return answered({"error": _NOT_FOUND}, 404)
        items = await store.items(row["id"])
        return answered({**earlier(row), "items": [_item(item, row["stream_sid"]) for item in items]})

    @app.delete("/api/conversations/stream/<sid>")
    async def delete(sid: str) -> Response:
        row = await store.conversation(sid)
        if row is None:
            return answered({"error": _NOT_FOUND}, 404)
        await keeper.delete([row["id"]])
        return answered({"success": True})

    @app.post("/api/conversations/stream/<sid>/items")
    async def add(sid: str) -> Response:
        row = await store.conversation(sid)
        if row is None:
            return answered({"error": _NOT_FOUND}, 404)
        body = await request.get_json(force=True, silent=True)
        items = body.get("items") if isinstance(body, dict) else None
        if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
            raise BadQuery('the body must be {"items": [{…}, …]}')
        await store.add_items(row["id"], items)
        return answered({"success": True})

    @app.delete("/api/conversations")
    async def delete_many() -> Response:
        """Those that began before a date, or all of them; calls that are going on stay."""
        if _first("all").lower() == "true":
            before = datetime.now(UTC).timestamp() + 1
        elif given := _first("before"):
            before = datetime.fromisoformat(moment(given)).timestamp()
        else:
            raise BadQuery("say which: ?before=2026-01-31, or ?all=true")
        return answered({"success": True, "deleted": await keeper.expire(before)})

    @app.get("/api/conversations/export")
    async def export() -> Response:
        """All that the query finds: `format=json` with everything known of each, or `format=csv`, a row each."""
        wanted = query(MOST)
        await store.find(Query(words=wanted.words, since=wanted.since, until=wanted.until, limit=1))  # or 400
        if _first("format").lower() == "csv":
            response = Response(_csv(keeper, wanted), content_type="text/csv; charset=utf-8")
            name = "calls.csv"
        else:
            response = Response(_json(keeper, wanted), content_type="application/json")
            name = "calls.json"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        response.timeout = None
        return response

    @app.errorhandler(BadQuery)
    async def bad_query(error: BadQuery) -> Response:
        return answered({"error": str(error)}, 400)

    @app.errorhandler(SQLAlchemyError)
    async def no_record(error: SQLAlchemyError) -> Response:
        log.error("the record could not be read or changed", exc_info=error)
        return answered(
            {"error": "The record cannot be used at the moment. Try again; the server's log says why."}, 500
        )

    @app.errorhandler(500)
    async def our_fault(_: Any) -> Response:
        return answered({"error": "A fault of ours; the server's log says which."}, 500)


async def full(keeper: Keeper, row: Mapping[str, Any]) -> dict[str, Any]:
    """All that is known of a conversation."""
    items = await keeper.store.items(row["id"])
    return {
        **row,
        "usage": json.loads(row["usage"]) if row["usage"] else None,
        "items": [_full_item(item) for item in items],
        **await keeper.store.details(row["id"]),
    }


def _full_item(item: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in item.items() if name not in ("conversation_id", "text")}
    shown["content"] = content_of(item)
    shown["latency"] = json.loads(item["latency"]) if item["latency"] else None
    return shown


def _item(item: Mapping[str, Any], stream: str) -> dict[str, Any]:
    return {
        "id": item["item_id"],
        "object": "realtime.item",
        "type": item["item_type"],
        "role": item["role"],
        "content": content_of(item),
        "status": item["status"],
        "timestamp": item["timestamp"],
        "call_id": item["call_id"],
        "name": item["function_name"],
        "params": item["function_params"],
        "output": item["function_output"],
        "streamSid": stream,
    }


async def _json(keeper: Keeper, wanted: Query) -> AsyncIterator[bytes]:
    first = True
    yield b"["
    async for page in keeper.store.pages(wanted):
        for row in page:
            yield (b"\n" if first else b",\n") + msgspec.json.encode(await full(keeper, row))
            first = False
    yield b"\n]\n"


async def _csv(keeper: Keeper, wanted: Query) -> AsyncIterator[bytes]:
    yield _csv_lines([_CSV])
    async for page in keeper.store.pages(wanted):
        yield _csv_lines([[_cell(row[name]) for name in _CSV] for row in page])


def _csv_lines(rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if not isinstance(value, str) or re.fullmatch(r"\+[0-9]+", value) or not value.startswith(_FORMULA):
        return value
    return f"'{value}"


def _first(*names: str) -> str:
    return next((request.args[name].strip() for name in names if request.args.get(name, "").strip()), "")


def _number(name: str, default: int, least: int, most: int) -> int:
    given = _first(name)
    try:
        return min(max(int(given), least), most) if given else default
    except ValueError:
        raise BadQuery(f"{name} must be a whole number from {least} to {most}") from None
