"""Prepares conversations and their items for display: the fields of an earlier system, and the words that were
heard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from callflow.contracts.printable import whole
from callflow.history.tables import EARLIER


def earlier(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a conversation that the earlier system had: `tables.EARLIER`."""
    return {name: row[name] for name in EARLIER}


OUTBOUND: Final = "outbound"
"""The `direction` of a call that we dialled; any other, also none, came in."""


def numbers_of(row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return who called, and who was called. In a row `phone_number` is our number, `caller_number` the other
    person's, whoever dialled."""
    ours, theirs = row["phone_number"] or None, row["caller_number"] or None
    return (ours, theirs) if row["direction"] == OUTBOUND else (theirs, ours)


UNHEARD: Final = "unheard_text"
"""The type of a part that was generated, but not heard by the caller at all."""


def content_of(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of an item. If the caller heard no word of a message (`heard_text` is ""), its text parts get
    the type `UNHEARD`, because they were never said."""
    parts = _parts(item)
    if item["heard_text"] == "" and item["item_type"] == "message":
        return [{**part, "type": UNHEARD} if part.get("type") == "text" else part for part in parts]
    return parts


def heard_of(item: Mapping[str, Any]) -> tuple[str, str]:
    """Return the words of a message that the caller heard, and the words not heard."""
    words = " ".join(str(part["text"]) for part in _parts(item) if part.get("text"))
    heard = item["heard_text"]
    if heard is None or item["item_type"] != "message":
        return words, ""
    if words.startswith(heard):
        return heard, words[len(heard) :].strip()
    return heard, " ".join(words.split()[len(heard.split()) :])


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item as `{"role", "content", "timestamp", "type"}`, the content as plain text in which words that the
    caller did not hear are marked."""
    heard, unheard = heard_of(item)
    words = f"{heard} (not heard: {unheard})".strip() if unheard else heard
    if item["item_type"] == "function_call":
        words = f"{item['function_name']}({item['function_params'] or ''})"
    elif item["item_type"] == "function_call_output":
        words = item["function_output"] or ""
    return {"role": item["role"], "content": words, "timestamp": item["timestamp"], "type": item["item_type"]}


def _parts(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    text_ = item["content"] or "[]"
    try:
        parts = json.loads(text_)
        if "\\ud" in text_.lower():  # an earlier system may have kept half a surrogate pair, which nothing can encode
            parts = json.loads(whole(json.dumps(parts, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return []
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
