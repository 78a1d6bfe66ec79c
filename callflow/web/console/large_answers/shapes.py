"""Conversations and their items as the operators' API shows them. Pure.

The old routes show exactly the fields of the earlier system; `GET /api/calls/<id>` and the export show everything.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from callflow.contracts.hangup_causes import ended
from callflow.history.views import OUTBOUND, UNHEARD, content_of, earlier, heard_of
from callflow.journal.journal import JournalEntry
from callflow.telemetry.call_results import known_cause, result_of


def conversation(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a conversation in the shape of the earlier system, which had inbound calls only: those that we dialled
    say so, because their `caller_number` is the number that was called."""
    return {**earlier(row), "direction": OUTBOUND} if row["direction"] == OUTBOUND else earlier(row)


def whole(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return every column of a conversation, why it ended, and by whose doing (one of RESULTS; null: it has not)."""
    cause, result = row["hangup_cause"], None
    if row["ended_at"] and cause:
        result = result_of(known_cause(cause), heard_agent=row["first_word_ms"] is not None)
    usage = json.loads(row["usage"]) if row["usage"] else None
    return {**row, "usage": usage, "ended_because": ended(row), "result": result}


def full(row: Mapping[str, Any], items: Sequence[Mapping[str, Any]], details: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything known about a conversation. `details`: as `Store.details` returns them."""
    return {**whole(row), "items": [_full_item(item) for item in items], **details}


def timeline(call: str, entries: Sequence[JournalEntry], conversation: dict[str, Any] | None) -> dict[str, Any]:
    """Return the answer to `GET /api/calls/<id>`. `conversation`: as `full` returns it; None: it has none."""
    told = [dataclasses.asdict(entry) for entry in entries]
    # `records` is the old name of the same list, kept for one more version.
    return {"call": call, "entries": told, "records": told, "conversation": conversation}


def _full_item(item: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in item.items() if name not in ("conversation_id", "text")}
    shown["content"] = content_of(item)
    shown["latency"] = json.loads(item["latency"]) if item["latency"] else None
    return shown


def earlier_item(item: Mapping[str, Any], stream: str) -> dict[str, Any]:
    """Return an item in the shape of the earlier system. If the caller interrupted, the words not heard are a separate
    part. `stream`: the conversation's `stream_sid`."""
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
