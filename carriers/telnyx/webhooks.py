"""Read Telnyx's webhooks: one event of ours for each `event_type` of Call Control v2.

Vendor: developers.telnyx.com, Voice API webhooks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from callflow.contracts import events, hangup_causes
from callflow.contracts.events import Event


_MOST_CHARACTERS: Final = 200
"""Characters of a text that is kept; numbers, ids and causes are far shorter."""
_MOST_ADDRESS: Final = 2000
"""Characters of a stream's address."""
IDS: Final = ("call_control_id", "call_leg_id", "call_session_id")
"""The fields by which a webhook names a call's leg."""
STAND_IN: Final = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9]{1,15})", re.IGNORECASE)
"""Our name of a recording whose webhook names none: the leg, and when it began (ms, Unix time; 0: not said)."""


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
    """Read `call.hangup`. A dial that is one too many may be taken, and then ends with SIP 403 ("User channel limit
    exceeded D1"), by nobody at the other end. Vendor: developers.telnyx.com, concurrent limits."""
    cause, source, sip = (text(payload, name) for name in ("hangup_cause", "hangup_source", "sip_hangup_cause"))
    if cause == "call_rejected" and source != "callee" and sip == "403":
        cause = hangup_causes.CARRIER_LIMIT
    return events.CallHangup(cause=cause or "unspecified", source=source or "unknown", sip_cause=sip)


def _stream_failed(payload: Mapping[str, Any]) -> Event:
    stream = payload.get("stream_params")
    address = text(stream, "stream_url", _MOST_ADDRESS) if isinstance(stream, dict) else ""
    return events.StreamFailed(reason=text(payload, "failure_reason"), address=address)


_MOST_WORD: Final = 40
_PEOPLE: Final = frozenset({"human", "human_residence", "human_business"})
_FAX: Final = frozenset({"fax_detected"})
_GREETED: Final = frozenset({"beep_detected", "ended", "no_beep_detected"})
"""The greeting is over, with a beep or without one. not_sure: Telnyx has stopped listening before its end."""


def _answered_by(payload: Mapping[str, Any]) -> Event:
    """Read the result of `call.machine.detection.ended` or its premium form. not_sure, silence and words that we do not
    know are no machine: whoever is there is talked to."""
    heard = text(payload, "result", _MOST_WORD)
    if heard in _PEOPLE:
        return events.AnsweredBy(who="human", heard=heard)
    if heard in _FAX:
        return events.AnsweredBy(who="fax", heard=heard)
    return events.AnsweredBy(who="machine" if heard == "machine" else "unsure", heard=heard)


def _greeting_over(payload: Mapping[str, Any]) -> Event:
    """Read the result of `call.machine.greeting.ended` or its premium form, which are sent for machines only, and may
    come without the result of the detection."""
    heard = text(payload, "result", _MOST_WORD)
    return events.AnsweredBy(who="machine", ready=heard in _GREETED, heard=heard)


def _recorded(payload: Mapping[str, Any]) -> Event:
    """Read `call.recording.saved`. Its links are left out: they are as good as a password, and expire in 10 minutes.

    Telnyx sends a `recording_id`, and its schema has none. Without one the recording is named by what the schema has,
    see `STAND_IN`; one that cannot be named so could never be played, and is only recorded.
    """
    began, ended = (moment(text(payload, f"recording_{what}_at")) for what in ("started", "ended"))
    name = text(payload, "recording_id") or f"{text(payload, 'call_leg_id')}-{round(began * 1000)}"
    if not payload.get("recording_id") and not STAND_IN.fullmatch(name):
        return events.CarrierNotice(kind="call.recording.saved")
    return events.CarrierRecording(
        recording=name,
        state="ready",
        channels={"single": 1, "dual": 2}.get(text(payload, "channels"), 0),
        seconds=max(ended - began, 0.0) if began and ended else None,
        began=began,
    )


def _cost(payload: Mapping[str, Any]) -> Event:
    """Read `call.cost`, which is sent if the application's `call_cost_in_webhooks` is on. An amount that is missing is
    not known, which is not 0."""
    parts = payload.get("cost_parts")
    first = parts[0] if isinstance(parts, list) and parts and isinstance(parts[0], Mapping) else {}
    cost, seconds = _number(payload.get("total_cost")), _number(payload.get("billed_duration_secs"))
    if text(payload, "status") == "error" or not 0 <= cost < math.inf:
        return events.CarrierNotice(kind="call.cost")
    return events.CarrierCost(
        of=text(payload, "call_leg_id"),
        amount=cost,
        currency=text(first, "currency", 3).upper() or "USD",
        seconds=seconds if 0 <= seconds < math.inf else None,
    )


def _number(given: object) -> float:
    """Return a number that may be a text; -1: it is none."""
    try:
        return float(given) if isinstance(given, (str, int, float)) and not isinstance(given, bool) else -1.0
    except (ValueError, OverflowError):
        return -1.0


def moment(date: str) -> float:
    """Return an ISO 8601 date as Unix time (seconds); 0: it is none, or has no zone."""
    try:
        at = datetime.fromisoformat(date)
        return at.timestamp() if at.tzinfo is not None else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _referred(state: Literal["started", "completed", "failed"]) -> Callable[[Mapping[str, Any]], Event]:
    return lambda payload: events.CallReferred(state=state, code=text(payload, "sip_notify_response", 3))


def _notice(kind: str) -> Callable[[Mapping[str, Any]], Event]:
    return lambda payload: events.CarrierNotice(kind=kind)


READERS: Final[dict[str, Callable[[Mapping[str, Any]], Event]]] = {
    "call.initiated": _initiated,
    "call.answered": lambda payload: events.CallAnswered(
        from_number=text(payload, "from"), to_number=text(payload, "to")
    ),
    "call.hangup": _hangup,
    "call.bridged": lambda payload: events.CallBridged(),
    "call.refer.started": _referred("started"),
    "call.refer.completed": _referred("completed"),
    "call.refer.failed": _referred("failed"),
    "streaming.started": lambda payload: events.StreamAnnounced(what="started"),
    "streaming.stopped": lambda payload: events.StreamAnnounced(what="stopped"),
    "streaming.failed": _stream_failed,
    "call.machine.detection.ended": _answered_by,
    "call.machine.greeting.ended": _greeting_over,
    "call.machine.premium.detection.ended": _answered_by,
    "call.machine.premium.greeting.ended": _greeting_over,
    "call.speak.ended": lambda payload: events.SpeakEnded(status=text(payload, "status")),
    "call.recording.saved": _recorded,
    "call.recording.error": lambda payload: events.CarrierRecording(
        recording=text(payload, "recording_id"), state="failed", reason=text(payload, "reason")
    ),
    "call.cost": _cost,
    "call.dtmf.received": lambda payload: events.Dtmf(digit=text(payload, "digit")),
    **{
        kind: _notice(kind)
        for kind in (
            "call.speak.started",
            "call.playback.started",
            "call.playback.ended",
        )
    },
}
"""How each event type is read that the machine acts on, or that belongs into the journal of a live call.

Every other event type becomes a CarrierNotice of that name.
"""
