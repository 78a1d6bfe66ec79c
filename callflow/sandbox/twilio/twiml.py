"""TwiML documents: the verbs and attributes that the sandbox plays (https://www.twilio.com/docs/voice/twiml)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from callflow.sandbox.twilio.dial_verb import DIAL, dial_of
from callflow.sandbox.twilio.errors import TwimlError
from callflow.sandbox.twilio.frames import StreamOptions
from callflow.sandbox.twilio.refer_verb import REFER, address_of


MAX_BYTES: Final = 64 * 1024
MAX_PARAMETER: Final = 500
"""Twilio docs: name and value of a Parameter together have fewer characters."""

_NESTED: Final = ("Say", "Play", "Pause")
VERBS: Final[dict[str, tuple[str, ...]]] = {  # verb -> attributes
    "Say": ("voice", "language", "loop"),
    "Play": ("loop", "digits"),
    "Pause": ("length",),
    "Redirect": ("method",),
    "Hangup": (),
    "Reject": ("reason",),
    "Connect": ("action", "method"),
    "Start": ("action", "method"),
    "Dial": DIAL,
    "Refer": REFER,
    "Gather": ("input", "action", "method", "timeout", "finishOnKey", "numDigits", "actionOnEmptyResult", "language"),
}
_RECORDING: Final = {
    "recordingStatusCallback": "RecordingStatusCallback",
    "recordingStatusCallbackMethod": "RecordingStatusCallbackMethod",
    "recordingStatusCallbackEvent": "RecordingStatusCallbackEvent",
    "trim": "Trim",
    "track": "RecordingTrack",
    "channels": "RecordingChannels",
}
"""The attributes of `<Recording>`, and what the API calls the same."""
_STREAM: Final = ("url", "name", "track", "statusCallback", "statusCallbackMethod")
_NOT_EMULATED: Final = ("Record", "Stop", "Enqueue", "Leave", "Echo", "Pay", "Queue")


def parse(text: str, warn: Callable[[TwimlError], None]) -> list[Element]:
    """Return the verbs of a document. `warn` is called with what Twilio would only warn of.

    Raises TwimlError for a document that cannot be played.
    """
    if len(text.encode()) > MAX_BYTES:
        raise TwimlError(11750, f"the document has more than {MAX_BYTES} bytes")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise TwimlError(12100, "a document type is not part of TwiML")
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as error:
        raise TwimlError(12100, f"not XML: {error}") from None
    if root.tag != "Response":
        raise TwimlError(12100, f"the root is <{root.tag}>, not <Response>")
    verbs = list(root)
    for number, verb in enumerate(verbs):
        if verb.tag in _NOT_EMULATED:
            raise TwimlError(12100, f"the sandbox does not play <{verb.tag}>")
        if verb.tag not in VERBS:
            raise TwimlError(12100, f"there is no verb <{verb.tag}>; they are case-sensitive")
        if verb.tag == "Reject" and number:
            raise TwimlError(12100, "<Reject> must be the first verb")
        if verb.tag == "Dial":
            dial_of(verb, warn)
            continue
        if verb.tag == "Refer":
            address_of(verb, warn)
            continue
        _check_attributes(verb, VERBS[verb.tag], warn)
        if verb.tag == "Gather":
            for inner in verb:
                if inner.tag not in _NESTED:
                    raise TwimlError(12100, f"<{inner.tag}> in a <Gather>")
                _check_attributes(inner, VERBS[inner.tag], warn)
        elif verb.tag == "Connect":
            stream_of(verb, warn)
        elif verb.tag == "Start":
            recording_of(verb, warn)
            if number == len(verbs) - 1:
                warn(TwimlError(12200, "<Start> is the last verb, so the call ends at once"))
        elif len(verb):
            raise TwimlError(12100, f"<{verb[0].tag}> in a <{verb.tag}>")
    return verbs


def stream_of(connect: Element, warn: Callable[[TwimlError], None] | None = None) -> StreamOptions:
    """Return the stream of a `<Connect>`. Raises TwimlError when there is none that could be opened."""
    if len(connect) != 1 or connect[0].tag != "Stream":
        raise TwimlError(12100, "the sandbox plays <Connect> with exactly one <Stream>")
    stream = connect[0]
    if warn is not None:
        _check_attributes(stream, _STREAM, warn)
    if stream.get("track", "inbound_track") != "inbound_track":
        raise TwimlError(31941, "a stream in both directions has the inbound track only")
    parameters = {}
    for parameter in stream:
        name, value = parameter.get("name", ""), parameter.get("value")
        if parameter.tag != "Parameter" or not name or value is None:
            raise TwimlError(12100, f"<{parameter.tag}> in a <Stream> must be a <Parameter name value>")
        if len(name) + len(value) >= MAX_PARAMETER:
            raise TwimlError(31941, f"the parameter {name} has {MAX_PARAMETER} characters or more")
        parameters[name] = value
    callback = stream.get("statusCallback", "")
    if callback and urlsplit(callback).scheme not in ("http", "https"):
        raise TwimlError(12200, "a stream's statusCallback must be an absolute URL")
    return StreamOptions(
        stream.get("url", ""), stream.get("name", ""), callback, stream.get("statusCallbackMethod", "POST"), parameters
    )


def recording_of(start: Element, warn: Callable[[TwimlError], None] | None = None) -> dict[str, str]:
    """Return what a `<Start>` asks to be recorded, in the API's parameters. Raises TwimlError when it is not that.

    Vendor: https://www.twilio.com/docs/voice/twiml/recording. Its callback must be absolute: 11200.
    """
    if len(start) != 1 or start[0].tag != "Recording" or len(start[0]):
        raise TwimlError(12100, "the sandbox plays <Start> with exactly one empty <Recording>")
    recording = start[0]
    if warn is not None:
        _check_attributes(recording, tuple(_RECORDING), warn)
    callback = recording.get("recordingStatusCallback", "")
    if callback and urlsplit(callback).scheme not in ("http", "https"):
        raise TwimlError(11200, "a recordingStatusCallback must be an absolute URL")
    return {_RECORDING[name]: value for name, value in recording.attrib.items() if name in _RECORDING}


def _check_attributes(element: Element, known: tuple[str, ...], warn: Callable[[TwimlError], None]) -> None:
    for name in element.attrib:
        if name not in known:
            warn(TwimlError(12200, f"<{element.tag}> has no attribute {name}"))
