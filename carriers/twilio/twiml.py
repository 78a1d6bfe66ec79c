"""Write TwiML: the documents that answer Twilio's webhooks, or replace a running document by REST.

Twilio executes one document at a time, verb after verb, and hangs up after the last one. So every document that opens a
media stream ends with a redirect: when the stream ends, Twilio asks us what to do with the caller. Only the last
document of a call has none. Vendor: www.twilio.com/docs/voice/twiml.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode
from xml.etree.ElementTree import Element, SubElement, tostring


CONTENT_TYPE: Final = "text/xml; charset=utf-8"
RESUME: Final = "/twilio/resume"
SAID: Final = "said"
"""The parameter in its query that says: a sentence is over."""
CONNECTION_OVERRIDES: Final = "#rc=5&rp=all&ct=2000&rt=4000"
"""When Twilio tries a request again whose answer, or whose news, decides something: all within 15 s. Without it, a slow
answer or a 5xx is final. The fragment is not sent and not signed. Twilio docs:
/docs/usage/webhooks/webhooks-connection-overrides."""
_MOST_VALUE: Final = 400
"""Characters; Twilio docs (/docs/voice/twiml/stream): a parameter has under 500, name and value together."""
_MOST_SIP: Final = 255
"""Characters; Twilio docs (/docs/voice/twiml/sip): a SIP address has fewer."""
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document may hold, not even escaped."""
_VOICES: Final = ("Polly.", "Google.", "alice", "man", "woman")


@dataclass(frozen=True, slots=True)
class Stream:
    """A media stream to open."""

    url: str
    name: str
    """Comes back in the stream's status callbacks."""
    status_url: str
    """Where Twilio sends these."""
    parameters: Iterable[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Voice:
    """Twilio's own voice for spoken sentences."""

    name: str
    language: str

    def attributes(self) -> dict[str, str]:
        """Return the attributes of `<Say>`. `AWS.Polly.…` is written `Polly.…`; an unknown voice is left out."""
        name = self.name.removeprefix("AWS.")
        voice = {"voice": name} if name.startswith(_VOICES) else {}
        return voice | ({"language": self.language} if self.language else {})


class Document:
    """One `<Response>`, built verb by verb; each method returns the document itself."""

    def __init__(self, address: str, voice: Voice) -> None:
        self._address, self._voice = address, voice
        self._root = Element("Response")

    def say(self, text: str) -> Document:
        """Speak a text; nothing for ""."""
        if text:
            SubElement(self._root, "Say", self._voice.attributes()).text = _clean(text)
        return self

    def pause(self, seconds: int) -> Document:
        """Wait, in whole seconds; nothing for 0. As the first verb of a call it does not answer it."""
        if seconds:
            SubElement(self._root, "Pause", length=str(seconds))
        return self

    def record(self, told: str) -> Document:
        """Record the call from here on, until its end; the next verb follows at once. `told`: the URL that is told of
        it. Twilio docs (/docs/voice/twiml/recording): it must be absolute."""
        about = {
            "channels": "dual",
            "recordingStatusCallback": told,
            "recordingStatusCallbackMethod": "POST",
            "recordingStatusCallbackEvent": "in-progress completed absent",
        }
        SubElement(SubElement(self._root, "Start"), "Recording", about)
        return self

    def connect(self, stream: Stream) -> Document:
        """Open a media stream; the next verb follows when it ends."""
        about = {"url": stream.url, "name": stream.name, "statusCallback": stream.status_url}
        element = SubElement(SubElement(self._root, "Connect"), "Stream", about)
        for name, value in stream.parameters:
            SubElement(element, "Parameter", name=name, value=_clean(value)[:_MOST_VALUE])
        return self

    def come_back(self, seconds: int, *, said: bool = False) -> Document:
        """Let the caller wait, in whole seconds, and then Twilio ask us what to do. `said`: because the sentence before
        is over."""
        self.pause(seconds)
        mark = f"?{SAID}=1" if said else ""
        SubElement(self._root, "Redirect", method="POST").text = f"{self._address}{RESUME}{mark}{CONNECTION_OVERRIDES}"
        return self

    def wait(self, seconds: int) -> Document:
        """Answer the call and wait in silence, in whole seconds, and then let Twilio ask us what to do; a key ends it.
        A pause would let the phone ring on."""
        then = f"{self._address}{RESUME}{CONNECTION_OVERRIDES}"
        SubElement(self._root, "Gather", timeout=str(seconds), numDigits="1", action=then, method="POST")
        return self.come_back(0)

    def ask(self, text: str, answer_to: str, seconds: int) -> Document:
        """Speak a text and wait for one key, also while it is spoken; `answer_to` is asked what to do then. The next
        verb follows when no key comes within `seconds` after the text."""
        about = {"numDigits": "1", "timeout": str(seconds), "action": answer_to, "method": "POST"}
        gather = SubElement(self._root, "Gather", about)
        SubElement(gather, "Say", self._voice.attributes()).text = _clean(text)
        return self

    def confer(self, name: str) -> Document:
        """Enter a conference of this name, which ends for both when one of them leaves; the next verb follows then."""
        about = {"startConferenceOnEnter": "true", "endConferenceOnExit": "true", "beep": "false"}
        SubElement(SubElement(self._root, "Dial"), "Conference", about).text = name
        return self

    def dial(self, number: str, *, caller_id: str, seconds: int, then: str, answered: str) -> Document:
        """Ring a number for the caller, and connect them. `caller_id`: our number. `seconds`: how long it rings.
        `then`: the URL that is asked what to do afterwards. `answered`: the URL that is told of the answer."""
        about = {"callerId": caller_id, "timeout": str(seconds), "action": then, "method": "POST"}
        told = {"statusCallback": answered, "statusCallbackEvent": "answered", "statusCallbackMethod": "POST"}
        SubElement(SubElement(self._root, "Dial", about), "Number", told).text = number
        return self

    def refer(self, address: str, *, then: str) -> Document:
        """Refer the caller's telephone system to a SIP address. `then`: the URL that is asked what to do afterwards,
        and told what has become of it. Twilio docs: /docs/voice/twiml/refer."""
        SubElement(SubElement(self._root, "Refer", action=then, method="POST"), "Sip").text = address
        return self

    def lead_to_sip(self, address: str, headers: Iterable[tuple[str, str]], *, seconds: int, then: str) -> Document:
        """Ring a SIP address for the caller, and connect them; it is not answered before. `headers`: of the INVITE.
        `then`: the URL that is asked what to do afterwards. Twilio docs: /docs/voice/twiml/sip."""
        about = {"answerOnBridge": "true", "timeout": str(seconds), "action": then, "method": "POST"}
        query = urlencode([(name, value) for name, value in headers if value], quote_via=quote)
        text = f"{address}?{query}" if query and len(address) + len(query) < _MOST_SIP - 1 else address
        SubElement(SubElement(self._root, "Dial", about), "Sip").text = text
        return self

    def ring(self, number: str) -> Document:
        """Ring a number for the caller, and connect them; the next verb follows when that is over, or comes to
        nothing."""
        SubElement(SubElement(self._root, "Dial"), "Number").text = number
        return self

    def hang_up(self) -> Document:
        """End the call."""
        SubElement(self._root, "Hangup")
        return self

    def reject(self, reason: str) -> Document:
        """Refuse a call that is not answered yet: `busy` or `rejected`."""
        SubElement(self._root, "Reject", reason=reason)
        return self

    def text(self) -> str:
        """Return the document as XML."""
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(self._root, encoding="unicode")


def _clean(text: str) -> str:
    return _NOT_XML.sub("", text.encode("utf-8", "replace").decode())
