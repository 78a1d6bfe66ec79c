"""Twilio's webhooks, read: the form parameters of a path as one event of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callflow.contracts import events
from callflow.contracts.events import CallAnswered, CallInitiated, CallResumed, Event
from carriers.twilio import twiml


VOICE: Final = ("/", "/incoming-call", "/twiml", "/api/twiml", "/twilio/voice")
"""What a number's VoiceUrl may be: ours, and those of earlier systems."""
ENDED: Final = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
UNANSWERED: Final = frozenset({"", "queued", "initiated", "ringing"})
MOST_CHARACTERS: Final = 200
"""Of a parameter that is kept; numbers, ids and causes are far shorter."""


def readable(value: bytes) -> str:
    return value[: 4 * MOST_CHARACTERS].decode("utf-8", "replace")[:MOST_CHARACTERS]


def read_event(path: str, params: Mapping[str, str]) -> tuple[Event, str]:
    """The event, and what makes a second request without a token the same as the first ("": nothing does)."""
    status = params.get("CallStatus", "")
    numbers = {
        "from_number": params.get("Caller") or params.get("From") or "",
        "to_number": params.get("Called") or params.get("To") or "",
    }
    if path == STREAM:
        return _stream_event(params), f"stream:{params.get('StreamSid', '')}:{params.get('StreamEvent', '')}"
    if path == RECORDING:
        kind = params.get("RecordingStatus", "")[:40]
        return events.CarrierNotice(kind=f"recording {kind}"), f"recording:{params.get('RecordingSid', '')}:{kind}"
    if path == MACHINE:
        heard = params.get("AnsweredBy", "")[:40]
        return events.CarrierNotice(kind=f"answered by {heard}"), f"answered-by:{heard}"
    if status in ENDED:
        ended = events.CallHangup(
            cause=status.replace("-", "_"),
            source="carrier",
            sip_cause=params.get("SipResponseCode", "")[:3],
            seconds=params.get("CallDuration", "")[:10],
        )
        return ended, "ended"  # the terminal statuses exclude each other
    if path == STATUS:
        return events.CarrierNotice(kind=f"status {status[:40]}"), f"{status}:{params.get('SequenceNumber', '')}"
    if path in VOICE and status in UNANSWERED:
        return CallInitiated(direction="incoming", **numbers), "voice"
    if path in VOICE:
        return CallAnswered(**numbers), ""
    return CallResumed(**numbers), ""


def _stream_event(params: Mapping[str, str]) -> Event:
    match params.get("StreamEvent", ""):
        case "stream-started":
            return events.StreamAnnounced(what="started")
        case "stream-stopped":
            return events.StreamAnnounced(what="stopped")
        case "stream-error":
            return events.StreamFailed(reason=params.get("StreamError", "")[:200], address=params.get("StreamName", ""))
    return events.CarrierNotice(kind=f"stream {params.get('StreamEvent', '')[:40]}")


RESUME, FALLBACK, STATUS, STREAM, RECORDING, MACHINE = (
    twiml.RESUME,
    "/twilio/fallback",
    "/twilio/status",
    "/twilio/stream",
    "/twilio/recording",
    "/twilio/amd",
)
