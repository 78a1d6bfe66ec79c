"""`<Dial>` with its nouns `<Number>` and `<Conference>`: their attributes and values.

https://www.twilio.com/docs/voice/twiml/dial
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from callflow.sandbox.twilio.errors import TwimlError


_RECORDING: Final = (
    "recordingStatusCallback",
    "recordingStatusCallbackMethod",
    "recordingStatusCallbackEvent",
    "recordingConfigurationId",
)
_CALLBACK: Final = ("statusCallback", "statusCallbackMethod", "statusCallbackEvent")
DIAL: Final = (
    *("action", "method", "timeout", "hangupOnStar", "timeLimit", "callerId", "record", "trim", *_RECORDING),
    *("recordingTrack", "answerOnBridge", "ringTone", "sequential", "referUrl", "referMethod", "callReason", "events"),
    "passports",
)
_DETECTION: Final = tuple(
    f"machineDetection{name}" for name in ("", "Timeout", "SpeechThreshold", "SpeechEndThreshold", "SilenceTimeout")
)
NUMBER: Final = (
    *("sendDigits", "url", "method", "byoc", *_CALLBACK, *_DETECTION),
    *("amdStatusCallback", "amdStatusCallbackMethod"),
)
CONFERENCE: Final = (
    *("muted", "beep", "startConferenceOnEnter", "endConferenceOnExit", "participantLabel", "jitterBufferSize"),
    *("waitUrl", "waitMethod", "maxParticipants", "record", "region", "trim", "coach", *_CALLBACK, *_RECORDING),
    "eventCallbackUrl",
)
_ELSEWHERE: Final = ("Client", "Queue", "Sim", "Application", "WhatsApp")

MAX_NUMBERS: Final = 10
MAX_LABEL: Final = 128
"""Twilio docs: characters of a participantLabel."""
MAX_REASON: Final = 50
MAX_SIP: Final = 255
"""Twilio docs: a SIP address has fewer characters."""
CALL_EVENTS: Final = ("initiated", "ringing", "answered", "completed")
CONFERENCE_EVENTS: Final = ("start", "end", "join", "leave", "mute", "hold", "modify", "speaker", "announcement")
_BOOLEANS: Final = ("true", "false")
_METHODS: Final = ("GET", "POST")
_CHOICES: Final = {
    **dict.fromkeys(("hangupOnStar", "answerOnBridge", "sequential", "muted"), _BOOLEANS),
    **dict.fromkeys(("startConferenceOnEnter", "endConferenceOnExit"), _BOOLEANS),
    **dict.fromkeys(("method", "referMethod", "waitMethod", "statusCallbackMethod"), _METHODS),
    **dict.fromkeys(("recordingStatusCallbackMethod", "amdStatusCallbackMethod"), _METHODS),
    "beep": ("true", "false", "onEnter", "onExit"),
    "machineDetection": ("Enable", "DetectMessageEnd"),
    "recordingTrack": ("inbound", "outbound", "both"),
    "trim": ("trim-silence", "do-not-trim"),
    "jitterBufferSize": ("small", "medium", "large", "off"),
}
_DIAL_RECORD: Final = (
    *("do-not-record", "true", "false", "record-from-answer", "record-from-ringing"),
    *("record-from-answer-dual", "record-from-ringing-dual"),
)
_CONFERENCE_RECORD: Final = ("do-not-record", "record-from-start", "true", "false")
_RANGES: Final = {
    "timeout": (1, 600),
    "timeLimit": (1, 86400),
    "maxParticipants": (2, 250),
    "machineDetectionTimeout": (3, 60),
    "machineDetectionSpeechThreshold": (1000, 6000),
    "machineDetectionSpeechEndThreshold": (500, 5000),
    "machineDetectionSilenceTimeout": (2000, 10000),
}
_CODES: Final = {
    "method": 13210,
    "timeout": 13212,
    "hangupOnStar": 13213,
    "timeLimit": 13216,
    "sendDigits": 13218,
    "muted": 13230,
    "endConferenceOnExit": 13231,
    "startConferenceOnEnter": 13232,
}
"""The errors of single attributes; any other one is 12200. Whether the call goes on after them is not documented
(unknown): here the document is not played."""


@dataclass(frozen=True, slots=True)
class Number:
    """A phone to dial. URLs are as they are in the document."""

    to: str
    send_digits: str
    url: str
    """Of the document that is played to whoever answers, before the two are connected."""
    method: str
    callback: tuple[str, str]
    """URL and method."""
    events: tuple[str, ...]
    detection: Mapping[str, str]
    """The parameters of answering machine detection, by the names that the REST API has for them."""


@dataclass(frozen=True, slots=True)
class Conference:
    """A conference to join."""

    name: str
    muted: bool
    beeps_at: tuple[str, ...]
    """"enter", "exit"."""
    starts: bool
    ends: bool
    label: str
    wait_url: str | None
    """None: Twilio's own music; "": silence."""
    wait_method: str
    most: int
    callback: tuple[str, str]
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dial:
    """A `<Dial>`: one conference, or up to ten numbers. Times are in seconds as the document counts them."""

    numbers: tuple[Number, ...]
    conference: Conference | None
    action: str
    method: str
    caller_id: str
    timeout: int
    time_limit: int
    one_by_one: bool
    hangs_up_on_star: bool
    answers_on_bridge: bool
    record: str
    """"", or record-from-…"""
    recording: Mapping[str, str]
    """The parameters of the recording, by the names that the REST API has for them."""


def dial_of(verb: Element, warn: Callable[[TwimlError], None] | None = None) -> Dial:
    """Read a `<Dial>`. `warn` is called with what Twilio would only warn of. Raises TwimlError."""
    given = _attributes(verb, DIAL, warn)
    nouns, text = list(verb), (verb.text or "").strip()
    for noun in nouns:
        if noun.tag in _ELSEWHERE:
            raise TwimlError(12100, f"the sandbox does not dial a <{noun.tag}>")
        if noun.tag not in ("Number", "Conference", "Sip"):
            raise TwimlError(12100, f"<{noun.tag}> in a <Dial>")
        if len(noun):
            raise TwimlError(12100, f"<{noun[0].tag}> in a <{noun.tag}>")
    if any(noun.tag == "Sip" for noun in nouns):
        if len(nouns) > 1:
            raise TwimlError(12100, "the sandbox dials one <Sip> at a time")
        _check_sip((nouns[0].text or "").strip())
    conferences = [noun for noun in nouns if noun.tag == "Conference"]
    if bool(text) == bool(nouns) or (conferences and len(nouns) > 1) or len(nouns) > MAX_NUMBERS:
        raise TwimlError(12100, f"a <Dial> has one number as text, one <Conference>, or 1 to {MAX_NUMBERS} <Number>")
    record = given.get("record", "do-not-record")
    if record not in _DIAL_RECORD:
        raise TwimlError(12200, f"<Dial> has no record={record!r}")
    if len(given.get("callReason", "")) > MAX_REASON:
        raise TwimlError(12200, f"callReason has more than {MAX_REASON} characters")
    if text:
        nouns = [Element("Number")]
        nouns[0].text = text
    record = {"true": "record-from-answer", "false": "", "do-not-record": ""}.get(record, record)
    return Dial(
        numbers=() if conferences else tuple(_number_of(noun, warn) for noun in nouns),
        conference=_conference_of(conferences[0], warn) if conferences else None,
        action=given.get("action", ""),
        method=given.get("method", "POST"),
        caller_id=given.get("callerId", ""),
        timeout=int(given.get("timeout", "30")),
        time_limit=int(given.get("timeLimit", "14400")),
        one_by_one=given.get("sequential") == "true",
        hangs_up_on_star=given.get("hangupOnStar") == "true",
        answers_on_bridge=given.get("answerOnBridge") == "true",
        record=record,
        recording=_renamed(given, ("recordingTrack", "trim", *_RECORDING[:3])),
    )


def _check_sip(address: str) -> None:
    """Raises TwimlError for an address that cannot be dialled. Twilio docs: /docs/voice/twiml/sip."""
    uri, _, headers = address.partition("?")
    if not re.fullmatch(r"sips?:[^@\s]+@[^@\s;]+(;[a-z]+=[A-Za-z0-9.-]+)*", uri) or len(address) >= MAX_SIP:
        raise TwimlError(13224, f"{address!r} is no SIP address of fewer than {MAX_SIP} characters")
    for header in headers.split("&") if headers else ():
        name, _, value = header.partition("=")
        if not name.lower().startswith("x-") or set(value) & set("; ,=+"):
            raise TwimlError(12200, f"the header {header!r} of a <Sip> cannot be sent")


def _number_of(noun: Element, warn: Callable[[TwimlError], None] | None) -> Number:
    given = _attributes(noun, NUMBER, warn)
    if set(given.get("sendDigits", "")) - set("0123456789ABCD#*wW"):
        raise TwimlError(13218, f"sendDigits={given['sendDigits']!r}")
    detection = _renamed(given, _DETECTION)
    if callback := given.get("amdStatusCallback"):
        detection["AsyncAmdStatusCallback"] = callback
        detection["AsyncAmdStatusCallbackMethod"] = given.get("amdStatusCallbackMethod", "POST")
    return Number(
        to=(noun.text or "").strip(),
        send_digits=given.get("sendDigits", ""),
        url=given.get("url", ""),
        method=given.get("method", "POST"),
        callback=(given.get("statusCallback", ""), given.get("statusCallbackMethod", "POST")),
        events=_events(given, CALL_EVENTS, "completed"),
        detection=detection,
    )


def _conference_of(noun: Element, warn: Callable[[TwimlError], None] | None) -> Conference:
    given, name = _attributes(noun, CONFERENCE, warn), (noun.text or "").strip()
    if not name:
        raise TwimlError(12100, "a <Conference> has a name")
    if given.get("record", "do-not-record") not in _CONFERENCE_RECORD:
        raise TwimlError(12200, f"<Conference> has no record={given['record']!r}")
    if len(given.get("participantLabel", "")) > MAX_LABEL:
        raise TwimlError(12200, f"participantLabel has more than {MAX_LABEL} characters")
    beep = given.get("beep", "true")
    return Conference(
        name=name,
        muted=given.get("muted") == "true",
        beeps_at={"true": ("enter", "exit"), "onEnter": ("enter",), "onExit": ("exit",)}.get(beep, ()),
        starts=given.get("startConferenceOnEnter", "true") == "true",
        ends=given.get("endConferenceOnExit") == "true",
        label=given.get("participantLabel", ""),
        wait_url=given.get("waitUrl"),
        wait_method=given.get("waitMethod", "POST"),
        most=int(given.get("maxParticipants", "250")),
        callback=(given.get("statusCallback", ""), given.get("statusCallbackMethod", "POST")),
        events=_events(given, CONFERENCE_EVENTS, ""),
    )


def _events(given: Mapping[str, str], known: tuple[str, ...], usual: str) -> tuple[str, ...]:
    events = tuple(given.get("statusCallbackEvent", usual).split())
    if unknown := set(events) - set(known):
        raise TwimlError(12200, f"statusCallbackEvent has no {min(unknown)}; it has {' '.join(known)}")
    return events


def _renamed(given: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name[0].upper() + name[1:]: given[name] for name in names if name in given}


def _attributes(
    element: Element, known: tuple[str, ...], warn: Callable[[TwimlError], None] | None
) -> Mapping[str, str]:
    for name, value in element.attrib.items():
        if name not in known:
            if warn is not None:
                warn(TwimlError(12200, f"<{element.tag}> has no attribute {name}"))
            continue
        low, high = _RANGES.get(name, (0, 0))
        wrong = name in _CHOICES and value not in _CHOICES[name]
        wrong = wrong or (name in _RANGES and not (value.isdecimal() and low <= int(value) <= high))
        if wrong:
            raise TwimlError(_CODES.get(name, 12200), f"<{element.tag} {name}={value!r}>")
    return element.attrib
