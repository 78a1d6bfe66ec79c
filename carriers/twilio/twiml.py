"""The documents that Twilio is answered with, and that replace a running one over REST.

Twilio executes one document at a time, verb after verb, and hangs up behind the last. So a document that opens a media
stream has a tail: when the stream ends, for whatever reason, the caller is brought back to us. Only the last document
of a call has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring


CONTENT_TYPE: Final = "text/xml; charset=utf-8"
RESUME: Final = "/twilio/resume"
_PATIENCE: Final = "#rc=5&rp=all&ct=2000&rt=4000"
"""Twilio docs: how often and when to try again; a fragment is never sent and not signed. All within 15 s."""
_MOST_VALUE: Final = 400
"""Twilio docs: name and value of a parameter are together under 500 characters."""
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document may hold, not even escaped."""
_VOICES: Final = ("Polly.", "Google.", "alice", "man", "woman")


@dataclass(frozen=True, slots=True)
class Stream:
    url: str
    name: str
    status_url: str
    parameters: Iterable[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Voice:
    name: str
    language: str

    def attributes(self) -> dict[str, str]:
        """Other carriers write `AWS.Polly.…`; a voice that Twilio does not have is left to its default."""
        name = self.name.removeprefix("AWS.")
        voice = {"voice": name} if name.startswith(_VOICES) else {}
        return voice | ({"language": self.language} if self.language else {})


class Document:
    """One `<Response>`, built verb by verb."""

    def __init__(self, address: str, voice: Voice) -> None:
        self._address, self._voice = address, voice
        self._root = Element("Response")

    def say(self, text: str) -> Document:
        if text:
            SubElement(self._root, "Say", self._voice.attributes()).text = _clean(text)
        return self

    def pause(self, seconds: int) -> Document:
        """As the first verb it lets the call ring on."""
        if seconds:
            SubElement(self._root, "Pause", length=str(seconds))
        return self

    def connect(self, stream: Stream) -> Document:
        about = {"url": stream.url, "name": stream.name, "statusCallback": stream.status_url}
        element = SubElement(SubElement(self._root, "Connect"), "Stream", about)
        for name, value in stream.parameters:
            SubElement(element, "Parameter", name=name, value=_clean(value)[:_MOST_VALUE])
        return self

    def come_back(self, seconds: int) -> Document:
        """The caller waits, and Twilio asks us what to do then."""
        self.pause(seconds)
        SubElement(self._root, "Redirect", method="POST").text = f"{self._address}{RESUME}{_PATIENCE}"
        return self

    def hang_up(self) -> Document:
        SubElement(self._root, "Hangup")
        return self

    def reject(self, reason: str) -> Document:
        SubElement(self._root, "Reject", reason=reason)
        return self

    def text(self) -> str:
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(self._root, encoding="unicode")


def _clean(text: str) -> str:
    return _NOT_XML.sub("", text.encode("utf-8", "replace").decode())
