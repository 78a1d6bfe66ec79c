"""Reads the events of a live session. Pure.

Vendor: https://platform.openai.com/docs/guides/voice-websockets
"""

from __future__ import annotations

import binascii
from typing import Any, Final

import msgspec

from callflow.contracts.errors import Malformed
from callflow.contracts.tools import ToolCall


FATAL: Final = frozenset(
    {
        *("session_expired", "session_not_found", "connection_lost", "server_error", "internal_error"),
        *("rate_limit_exceeded", "concurrent_session_limit_exceeded"),
    }
)
"""Codes of errors after which the session is of no use, and another may do better."""
REFUSED: Final = frozenset(
    {"invalid_api_key", "insufficient_quota", "model_not_found", "permission_denied", "billing_not_active"}
)
"""The same, and another would fare no better."""


class LiveEvent(msgspec.Struct):
    """One event; a field that it has not is None. What is not read here is skipped."""

    type: str
    delta: str | None = None
    start_ms: float | None = None
    end_ms: float | None = None
    reason: str | None = None
    session: Any = None
    usage: Any = None
    error: Any = None
    event: Any = None
    delegation: Any = None
    delegation_id: Any = None
    code: Any = None
    message: Any = None
    client_event_id: Any = None


_decode: Final = msgspec.json.Decoder(LiveEvent).decode


def decode(message: bytes) -> LiveEvent:
    """Return a server event. Raises Malformed."""
    try:
        return _decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"no event: {error}"[:200]) from None


def audio_of(event: LiveEvent) -> bytes:
    """Return the sound of a `session.output_audio.delta`. Raises Malformed."""
    try:
        return binascii.a2b_base64(event.delta or "")
    except (binascii.Error, ValueError):
        raise Malformed("audio that is no base64") from None


def error_of(event: LiveEvent) -> tuple[str, str, str]:
    """Return code, message and the id of our event that an `error` is about; "" for what it has not."""
    found = event.error if isinstance(event.error, dict) else {}
    about = found.get("client_event_id") or event.client_event_id
    told = [found.get("code") or found.get("type"), found.get("message"), about]
    return tuple(value if isinstance(value, str) else "" for value in told)  # type: ignore[return-value]


def seconds_of(event: LiveEvent) -> float | None:
    """Return how many seconds the session has lasted for the bill, so far."""
    seconds = event.usage.get("seconds") if isinstance(event.usage, dict) else None
    return float(seconds) if isinstance(seconds, (int, float)) and seconds >= 0 else None


def expiry_of(event: LiveEvent) -> float | None:
    """Return when the session ends, in Unix seconds."""
    at = event.session.get("expires_at") if isinstance(event.session, dict) else None
    return float(at) if isinstance(at, (int, float)) and at > 0 else None


def inner(event: LiveEvent) -> tuple[str, dict[str, Any]]:
    """Return type and content of the event of a delegated response within a `response.event`."""
    found = event.event if isinstance(event.event, dict) else {}
    kind = found.get("type")
    return (kind if isinstance(kind, str) else ""), found


def delegation_of(event: LiveEvent) -> str:
    """Return the id of the delegation whose response an event is about; "": it names none."""
    return event.delegation_id if isinstance(event.delegation_id, str) else ""


def tool_call_of(within: dict[str, Any]) -> ToolCall | None:
    """Return the tool call of a `response.output_item.done`; None: it is something else."""
    item = within.get("item")
    if not isinstance(item, dict) or item.get("type") != "function_call":
        return None
    call_id, name, arguments = item.get("call_id"), item.get("name"), item.get("arguments")
    if not isinstance(call_id, str) or not isinstance(name, str) or not call_id:
        return None
    return ToolCall(call_id, name, arguments if isinstance(arguments, str) else "{}")
