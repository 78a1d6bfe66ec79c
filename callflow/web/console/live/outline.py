"""A single event of an engine or a media stream, without a word of it. Pure.

Shown are its type, ids, states, places and counts. Everything else (what was said, typed or handed to a tool, and what
the session was told) becomes "(12 characters)": words stand in the journal's entries beside it, where what is to be
taken out of them has been. What is not known here counts as such words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from callflow.contracts.printable import line


MOST_BYTES: Final = 128 << 10
"""Of an event above that only its size is told, because reading it takes a millisecond."""
_MOST_TEXT: Final = 120
_MOST_PARTS: Final = 20
_DEEPEST: Final = 6
_TEXTS: Final = frozenset(
    {
        *("type", "event_id", "object", "id", "status", "role", "name", "code", "param", "reason", "phase"),
        *("item_id", "response_id", "previous_item_id", "call_id", "conversation_id", "delegation_id"),
        *("client_event_id", "server_label", "approval_request_id", "model", "voice", "target"),
        *("stream", "call", "encoding", "output_modalities", "modalities"),
    }
)
_NUMBERS: Final = ("_ms", "_index", "tokens", "seconds", "_at", "limit", "remaining", "_rate", "channels")
_PARTS: Final = frozenset(
    {
        *("response", "item", "session", "error", "usage", "part", "event", "delegation", "conversation"),
        *("status_details", "output", "content", "rate_limits", "input_token_details", "output_token_details"),
        *("cached_tokens_details",),
    }
)
_TOLD: Final = (
    "status", "role", "name", "code", "reason", "id", "item_id", "response_id", "call_id", "audio_start_ms",
    "audio_end_ms", "output_index", "content_index", "encoding", "stream", "input_tokens", "output_tokens", "remaining",
)  # fmt: skip
_LARGEST: Final = 10**12
_MOST_TOLD: Final = 8


def outline(raw: bytes | Mapping[str, Any], safe: Callable[[str], str]) -> dict[str, Any]:
    """Return what may be shown of an event. `safe`: takes out of a text what must not be shown."""
    if not isinstance(raw, bytes):
        return _object(raw, safe, 0)
    if len(raw) > MOST_BYTES:
        return {"bytes": len(raw)}
    try:
        decoded = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"bytes": len(raw)}
    return _object(decoded, safe, 0) if isinstance(decoded, dict) else {"bytes": len(raw)}


def in_words(shown: Mapping[str, Any]) -> str:
    """Return what an outline says in one line: "resp_1 completed, 40 input tokens"."""
    told = [text for name, value in _leaves(shown) if (text := _leaf(name, value))]
    return ", ".join(dict.fromkeys(told[:_MOST_TOLD]))


def _object(given: Mapping[str, Any], safe: Callable[[str], str], depth: int) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in given.items():
        if len(shown) == _MOST_PARTS:
            break
        if value is not None and name.isidentifier() and len(name) <= _MOST_TEXT:
            shown[line(safe(name))] = _value(name, value, safe, depth)
    return shown


def _value(name: str, value: Any, safe: Callable[[str], str], depth: int) -> Any:
    if isinstance(value, str):
        return line(safe(value))[:_MOST_TEXT] if name in _TEXTS else f"({len(value)} characters)"
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value if name.endswith(_NUMBERS) and -_LARGEST < value < _LARGEST else "(a number)"
    if isinstance(value, Mapping):
        return _object(value, safe, depth + 1) if name in _PARTS and depth < _DEEPEST else f"({len(value)} fields)"
    if isinstance(value, (list, tuple)):
        if (name in _PARTS or name in _TEXTS) and depth < _DEEPEST:
            return [_value(name, each, safe, depth + 1) for each in value[:_MOST_PARTS]]
        return f"({len(value)} parts)"
    return "(something)"


def _leaves(shown: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in _TOLD:
        if isinstance(shown.get(name), (str, int, float)):
            yield name, shown[name]
    for value in shown.values():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from _leaves(each)


def _leaf(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if name.endswith("_ms"):
        return f"at {value:.15g} ms"
    return f"{value:.15g} {name.replace('_', ' ')}" if value or not name.endswith("_index") else ""
