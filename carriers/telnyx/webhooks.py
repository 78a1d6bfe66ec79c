"""Read Telnyx's webhooks: one event of ours for each `event_type` of Call Control v2.

Vendor: developers.telnyx.com, Voice API webhooks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from callflow.contracts import events
from callflow.contracts.events import Event


_MOST_CHARACTERS: Final = 200
"""Characters of a text that is kept; numbers, ids and causes are far shorter."""
_MOST_ADDRESS: Final = 2000
"""Characters of a stream's address."""
IDS: Final = ("call_control_id", "call_leg_id", "call_session_id")
"""The fields by which a webhook names a call's leg."""


def text(fields: Mapping[str, Any], name: str, most: int = _MOST_CHARACTERS) -> str:
    """Return a field as text of at most `most` characters; "" for one that is missing, null or of another type."""
    value = fields.get(name)
    return value[:most] if isinstance(value, str) else str(value) if isinstance(value, (int, float)) else ""


def _initiated(payload: Mapping[str, Any]) -> Event:
    outgoing = text(payload, "direction") == "outgoing" or text(payload, "state") == "bridging"
    return events.CallInitiated(
        direction="outgoing" if outgoing else "incoming",
        from_number=text(payload, "from"),
        to_number=text(payload, "to"),
    )


def _hangup(payload: Mapping[str, Any]) -> Event:
    return events.CallHangup(
        cause=text(payload, "hangup_cause") or "unspecified",
        source=text(payload, "hangup_source") or "unknown",
        sip_cause=text(payload, "sip_hangup_cause"),
    )


def _stream_failed(payload: Mapping[str, Any]) -> Event:
    stream = payload.get("stream_params")
    address = text(stream, "stream_url", _MOST_ADDRESS) if isinstance(stream, dict) else ""
    return events.StreamFailed(reason=text(payload, "failure_reason"), address=address)


def _notice(kind: str) -> Callable[[Mapping[str, Any]], Event]:
    return lambda payload: events.CarrierNotice(kind=kind)


READERS: Final[dict[str, Callable[[Mapping[str, Any]], Event]]] = {
    "call.initiated": _initiated,
    "call.answered": lambda payload: events.CallAnswered(
        from_number=text(payload, "from"), to_number=text(payload, "to")
    ),
    "call.hangup": _hangup,
    "call.bridged": lambda payload: events.CallBridged(),
    "streaming.started": lambda payload: events.StreamAnnounced(what="started"),
    "streaming.stopped": lambda payload: events.StreamAnnounced(what="stopped"),
    "streaming.failed": _stream_failed,
    "call.speak.ended": lambda payload: events.SpeakEnded(status=text(payload, "status")),
    "call.dtmf.received": lambda payload: events.Dtmf(digit=text(payload, "digit")),
    **{
        kind: _notice(kind)
        for kind in (
            "call.speak.started",
            "call.playback.started",
            "call.playback.ended",
            "call.machine.detection.ended",
            "call.machine.greeting.ended",
        )
    },
}
"""How each event type is read that the machine acts on, or that belongs into the journal of a live call.

Every other event type becomes a CarrierNotice of that name.
"""
