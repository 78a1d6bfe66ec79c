"""Plays TwiML documents on a call, one at a time, verb after verb; after the last verb it hangs up.

Vendor: www.twilio.com/docs/voice/twiml.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, Literal, Protocol
from urllib.parse import urldefrag, urljoin
from xml.etree.ElementTree import Element

from callflow.sandbox.common.leg import LegState
from callflow.sandbox.twilio import twiml
from callflow.sandbox.twilio.dial_verb import Dial, dial_of
from callflow.sandbox.twilio.errors import TwimlError
from callflow.sandbox.twilio.faults import Timing
from callflow.sandbox.twilio.frames import StreamOptions
from callflow.sandbox.twilio.refer_verb import address_of
from callflow.sandbox.twilio.speak import Announcer


APPLICATION_ERROR: Final = "We are sorry. An application error has occurred. Goodbye."
_BESIDE: Final = {
    "whisper": ("Say", "Play", "Pause", "Gather", "Redirect", "Hangup"),
    "wait": ("Say", "Play", "Pause", "Redirect"),
}
"""Twilio docs: the verbs of a document that is played while the call is in a `<Dial>`."""
_MOST_DOCUMENTS: Final = 1000
"""The most documents of one call: one that redirects to itself must not run for ever."""


class PlayedCall(LegState, Protocol):
    """The part of a call that its player uses."""

    announcer: Announcer
    documents: list[str]
    fallback: tuple[str, str]
    digits: asyncio.Queue[str]

    @property
    def timing(self) -> Timing: ...

    def answer(self) -> None: ...

    def end(self, status: str, *, by: str) -> None: ...

    def fail(self, error: TwimlError) -> None: ...

    def warn(self, error: TwimlError) -> None: ...

    async def document(self, url: str, method: str, extra: Mapping[str, str]) -> str: ...

    async def connect(self, options: StreamOptions, base: str) -> None: ...

    def record(self, values: Mapping[str, str]) -> None: ...

    async def dial(self, dial: Dial, base: str) -> dict[str, str] | None: ...

    async def refer(self, address: str) -> dict[str, str]: ...

    def abandoned(self, dial: Dial, base: str) -> None: ...


class _Redirect(Exception):
    """The call goes on with the document at another URL ("": the same one)."""

    def __init__(self, url: str, method: str, extra: Mapping[str, str] | None = None) -> None:
        self.url, self.method, self.extra = url, method, extra or {}


class Player:
    """Runs the documents of one call.

    `kind`: "call", whose last document hangs up in the end; "whisper" (the document of a `<Number url>`) and "wait"
    (a conference's waitUrl) do not, and have fewer verbs; what fails in "wait" is raised as TwimlError.
    """

    def __init__(self, call: PlayedCall, kind: Literal["call", "whisper", "wait"] = "call") -> None:
        self._call, self._kind = call, kind

    async def fetch(self, url: str, method: str, extra: Mapping[str, str] | None = None) -> None:
        """Request a document and play it, until the call is over."""
        call = self._call
        try:
            if not url:
                raise TwimlError(11200, "the number has no VoiceUrl")
            text = await call.document(url, method, extra or {})
        except TwimlError as error:
            await self._failed(error, url)
            return
        await self.play(text, url, method)

    async def play(self, text: str, url: str, method: str) -> None:
        """Play a document, until the call is over. Relative URLs in it are relative to `url`."""
        call = self._call
        if call.state == "ended" or len(call.documents) >= _MOST_DOCUMENTS:
            call.end("failed", by="carrier")
            return
        call.documents.append(text)
        call.note("given a document")
        try:
            verbs = twiml.parse(text, call.warn)
            for verb in verbs:
                if self._kind != "call" and verb.tag not in _BESIDE[self._kind]:
                    code = 13201 if verb.tag == "Dial" else 12100
                    raise TwimlError(code, f"<{verb.tag}> in a document that is played while the call is dialled")
                await self._verb(verb, url)
                if call.state == "ended":
                    return
        except _Redirect as redirect:
            target = urljoin(urldefrag(url).url, redirect.url) if redirect.url else url
            await self.fetch(target, redirect.method, redirect.extra)
            return
        except TwimlError as error:
            await self._failed(error, url)
            return
        if self._kind == "call":
            await self._answer()
            call.end("completed", by="product")

    async def _failed(self, error: TwimlError, url: str) -> None:
        """Go on with the fallback URL; without one, or when it fails too, the caller hears APPLICATION_ERROR."""
        call = self._call
        call.fail(error)
        if self._kind == "wait":
            raise error
        if call.state == "ended":
            return
        (fallback, method), call.fallback = call.fallback, ("", "POST")
        if fallback:
            await self.fetch(fallback, method, {"ErrorCode": str(error.code), "ErrorUrl": url})
            return
        await self._answer()
        await call.announcer.speak(APPLICATION_ERROR)
        call.end("completed", by="carrier")

    async def _answer(self) -> None:
        """Answer, unless that is done. Until it is, the REST API refuses what only calls in progress can be told."""
        if self._call.state == "ringing":
            await asyncio.sleep(self._call.timing.answer_s)
            self._call.answer()

    async def _verb(self, verb: Element, base: str) -> None:
        call = self._call
        if verb.tag not in ("Pause", "Reject", "Redirect", "Dial"):
            await self._answer()  # a pause before anything else lets the phone ring on
        match verb.tag:
            case "Say":
                await call.announcer.speak(verb.text or "")
            case "Play":
                await call.announcer.play()
            case "Pause":
                await asyncio.sleep(int(verb.get("length", "1")) * call.timing.pause_scale)
            case "Redirect":
                raise _Redirect((verb.text or "").strip(), verb.get("method", "POST"))
            case "Hangup":
                call.end("completed", by="product")
            case "Reject":
                # What status a rejection ends with is not documented (unknown).
                call.end("busy" if verb.get("reason") == "busy" else "no-answer", by="product")
            case "Gather":
                await self._gather(verb)
            case "Dial":
                await self._dial(dial_of(verb), base)
            case "Refer":
                told = await self._call.refer(address_of(verb))
                if verb.get("action"):
                    raise _Redirect(verb.get("action", ""), verb.get("method", "POST"), told)
            case "Start":
                call.record(twiml.recording_of(verb))
            case "Connect":
                await call.connect(twiml.stream_of(verb), base)
                if verb.get("action"):
                    raise _Redirect(verb.get("action", ""), verb.get("method", "POST"))

    async def _dial(self, dial: Dial, base: str) -> None:
        try:
            told = await self._call.dial(dial, base)
        except asyncio.CancelledError:
            if self._call.state == "ended":
                self._call.abandoned(dial, base)
            raise
        if dial.action and told is not None:
            raise _Redirect(dial.action, dial.method, told)

    async def _gather(self, verb: Element) -> None:
        """Collect digits until there are enough, until the finishing key, or until the timeout."""
        call = self._call
        for inner in verb:
            await self._verb(inner, "")
        digits, most = "", int(verb.get("numDigits", "0"))
        finish = verb.get("finishOnKey", "#")
        try:
            while not most or len(digits) < most:
                async with asyncio.timeout(float(verb.get("timeout", "5")) * call.timing.pause_scale):
                    digit = await call.digits.get()
                if digit == finish:
                    break
                digits += digit
        except TimeoutError:
            pass
        if digits:
            raise _Redirect(verb.get("action", ""), verb.get("method", "POST"), {"Digits": digits})
