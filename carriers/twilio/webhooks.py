"""Read Twilio's webhooks: path and form parameters become one event of ours.

Vendor: www.twilio.com/docs/usage/webhooks/voice-webhooks, /docs/voice/twiml/stream (status callbacks of streams).
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal
from urllib.parse import parse_qs

from msgspec.structs import replace

from callflow.contracts import events
from callflow.contracts.events import CallAnswered, CallInitiated, CallReferred, CallResumed, Event
from carriers.twilio import twiml


VOICE: Final = ("/", "/incoming-call", "/twiml", "/api/twiml", "/twilio/voice")
"""Paths that a number's VoiceUrl may have: ours, and those of earlier systems."""
DIALLED: Final = "/twilio/voice"
"""The path that a dialled call's document is requested from, when it is answered."""
ENDED: Final = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""`CallStatus` of a call that is over."""
NEVER_ANSWERED: Final = ENDED - {"completed"}
"""`CallStatus` of one that nobody answered: also where our document was on its way when the caller gave up."""
UNANSWERED: Final = frozenset({"", "queued", "initiated", "ringing"})
"""`CallStatus` of a call that is not answered yet."""
MOST_CHARACTERS: Final = 200
"""Characters of a parameter that is kept; numbers, ids and causes are far shorter."""


def readable(value: bytes) -> str:
    """Return a parameter as text of 200 characters at most."""
    return value[: 4 * MOST_CHARACTERS].decode("utf-8", "replace")[:MOST_CHARACTERS]


def read_event(path: str, params: Mapping[str, str]) -> tuple[Event, str]:
    """Return the event, and a key that is the same when Twilio repeats the request without an idempotency token.

    An empty key: a repetition cannot be recognised. `params`: the form, or the query of a GET.
    """
    status = params.get("CallStatus", "")
    numbers: dict[str, Any] = {
        "from_number": params.get("Caller") or params.get("From") or "",
        "to_number": params.get("Called") or params.get("To") or "",
    }
    if path == STREAM:
        return _stream_event(params), f"stream:{params.get('StreamSid', '')}:{params.get('StreamEvent', '')}"
    if path == RECORDING:
        kind = params.get("RecordingStatus", "")[:40]
        return _recording_event(kind, params), f"recording:{params.get('RecordingSid', '')}:{kind}"
    if path == MACHINE:
        heard = params.get("AnsweredBy", "")[:40]
        return _answered_by(heard), f"answered-by:{heard}"
    if path == REFER and (referred := _referred(params, status)) is not None:
        return referred, f"refer:{referred.state}"
    if path == LED and status not in ENDED:
        is_over = params.get("DialCallStatus") in ("completed", "answered")
        return CallInitiated(led="over" if is_over else "failed", **numbers), ""
    if status in ENDED:
        ended = events.CallHangup(
            cause="user_busy" if status == "busy" else status.replace("-", "_"),  # `busy`: we have no room
            source="carrier",
            sip_cause=params.get("SipResponseCode", "")[:3],
            seconds=params.get("CallDuration", "")[:10],
            unanswered=status in NEVER_ANSWERED,
        )
        return ended, "ended"  # the terminal statuses exclude each other
    if path == STATUS and status == "in-progress" and params.get(JOINED):
        return events.CallBridged(), "joined"
    if path == STATUS and status == "initiated":  # it was in the queue until now
        return CallInitiated(direction="outgoing", **numbers), "initiated"
    if path == STATUS:
        return events.CarrierNotice(kind=f"status {status[:40]}"), f"{status}:{params.get('SequenceNumber', '')}"
    if path == KEYS:
        digit = params.get("Digits", "")[:1]
        return events.Dtmf(digit=digit, source="asked"), f"keys:{digit}"
    if path == RESUME and params.get(twiml.SAID):
        return events.SpeakEnded(), "said"
    if path in VOICE and status in UNANSWERED:
        return CallInitiated(direction="incoming", **numbers), "voice"
    if path in VOICE:
        return CallAnswered(**numbers), ""
    return CallResumed(talked=_have_talked(params), unanswered=status in UNANSWERED, **numbers), ""


def _have_talked(params: Mapping[str, str]) -> bool:
    """Read what the `action` of a `<Dial>` is told: whether the two were connected. Vendor: /docs/voice/twiml/dial."""
    told = params.get("DialBridged")
    return told == "true" if told else params.get("DialCallStatus") in ("completed", "answered")


def routed(event: Event, path: str, query: str, default: str) -> Event:
    """Return an event that asks for a document, with what the address says of where the caller is to be led (`mode`).

    A call that another program has dialled asks there, too, when it is answered. `default`: where the address does not
    say it; "": the number's profile does.
    """
    if path not in MODED or not isinstance(event, (CallInitiated, CallAnswered)):
        return event
    mode = parse_qs(query).get("mode", [default])[0]
    if mode == "sip":
        return CallInitiated(from_number=event.from_number, to_number=event.to_number, route="sip")
    return replace(event, route="stream") if mode == "stream" and isinstance(event, CallInitiated) else event


def _referred(params: Mapping[str, str], status: str) -> CallReferred | None:
    """Read the request to the `action` of a `<Refer>`, unless the call is over for another reason. Of a new call that
    nobody has told Twilio about it is not known whether there is one, and the caller is still ours. Vendor:
    /docs/voice/twiml/refer."""
    became, code = params.get("ReferCallStatus", ""), params.get("NotifySipResponseCode", "")
    code = (code or params.get("ReferSipResponseCode", ""))[:3]
    if became in ("in-progress", "completed"):
        return CallReferred(state="completed", code=code)
    return None if status in ENDED else CallReferred(state="failed", code=code)


def _answered_by(heard: str) -> Event:
    """Read the AnsweredBy of an AsyncAmdStatusCallback. `machine_start` comes while the machine still speaks,
    `machine_end_…` when it has beeped or fallen silent; unknown, and words that we do not know, are no machine. Vendor:
    www.twilio.com/docs/voice/answering-machine-detection."""
    if heard.startswith("machine"):
        return events.AnsweredBy(who="machine", ready=heard.startswith("machine_end"), heard=heard)
    if heard == "human":
        return events.AnsweredBy(who="human", heard=heard)
    return events.AnsweredBy(who="fax" if heard == "fax" else "unsure", heard=heard)


def _recording_event(kind: str, params: Mapping[str, str]) -> Event:
    """Read a RecordingStatusCallback. Vendor: /docs/voice/api/recording#recordingstatuscallback."""
    state = _RECORDING_STATES.get(kind)
    if state is None:
        return events.CarrierNotice(kind=f"recording {kind}")
    code, channels = params.get("ErrorCode", "0"), params.get("RecordingChannels", "")
    reason = f"the carrier has none of it (error {code})" if code not in ("", "0") else "the carrier has none of it"
    return events.CarrierRecording(
        recording=params.get("RecordingSid", "")[:64],
        state=state,
        channels=int(channels) if channels in ("1", "2") else 0,
        seconds=_seconds(params.get("RecordingDuration", "")),
        began=moment(params.get("RecordingStartTime", "")),
        reason=reason if state == "failed" else "",
    )


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdecimal() else None


def moment(date: object) -> float:
    """Return an RFC 2822 date as Unix time (seconds); 0: it is none."""
    try:
        return parsedate_to_datetime(str(date)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _stream_event(params: Mapping[str, str]) -> Event:
    match params.get("StreamEvent", ""):
        case "stream-started":
            return events.StreamAnnounced(what="started")
        case "stream-stopped":
            return events.StreamAnnounced(what="stopped")
        case "stream-error":
            return events.StreamFailed(reason=params.get("StreamError", "")[:200], address=params.get("StreamName", ""))
    return events.CarrierNotice(kind=f"stream {params.get('StreamEvent', '')[:40]}")


_RECORDING_STATES: Final[Mapping[str, Literal["running", "ready", "failed"]]] = {
    "in-progress": "running", "completed": "ready", "absent": "failed", "failed": "failed",
}  # fmt: skip
REFER: Final = "/twilio/refer"
"""The path that is told what has become of a `<Refer>`, and asked what to do then."""
LED: Final = "/twilio/led"
"""The path that is asked what to do with a caller who was led to a SIP address."""
MODED: Final = ("/twiml", "/api/twiml")
"""Paths whose query may say where the caller is to be led."""
KEYS: Final = "/twilio/keys"
"""The path that is asked what to do when a person has pressed a key."""
JOINED: Final = "joined"
"""The parameter in the query of a status callback that says: an answered leg hears the caller at once."""
RESUME, FALLBACK, STATUS, STREAM, RECORDING, MACHINE = (
    twiml.RESUME,
    "/twilio/fallback",
    "/twilio/status",
    "/twilio/stream",
    "/twilio/recording",
    "/twilio/amd",
)
