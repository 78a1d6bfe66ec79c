"""Plays documents on a call: one at a time, verb after verb; behind the last one it hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urldefrag, urljoin
from xml.etree.ElementTree import Element

from callflow.sandbox.twilio import twiml
from callflow.sandbox.twilio.errors import TwimlError


if TYPE_CHECKING:
    from callflow.sandbox.twilio.call import Call

APPLICATION_ERROR: Final = "We are sorry. An application error has occurred. Goodbye."
_MOST_DOCUMENTS: Final = 1000
"""Of one call: a document that redirects to itself must not run for ever."""


class _Elsewhere(Exception):
    """The document goes on at another URL."""

    def __init__(self, url: str, method: str, extra: Mapping[str, str] | None = None) -> None:
        self.url, self.method, self.extra = url, method, extra or {}


class Player:
    def __init__(self, call: Call) -> None:
        self._call = call

    async def fetch(self, url: str, method: str, extra: Mapping[str, str] | None = None) -> None:
        """Plays what the application answers, until the call is over."""
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
        call = self._call
        if call.state == "ended" or len(call.documents) >= _MOST_DOCUMENTS:
            call.end("failed", by="carrier")
            return
        call.documents.append(text)
        call.note("given a document")
        try:
            verbs = twiml.parse(text, call.warn)
            for verb in verbs:
                await self._verb(verb, url)
                if call.state == "ended":
                    return
        except _Elsewhere as other:
            target = urljoin(urldefrag(url).url, other.url) if other.url else url
            await self.fetch(target, other.method, other.extra)
            return
        except TwimlError as error:
            await self._failed(error, url)
            return
        call.answer()
        call.end("completed", by="product")

    async def _failed(self, error: TwimlError, url: str) -> None:
        """The fallback URL is asked; without one, or when it fails too, the caller hears of an application error."""
        call = self._call
        call.fail(error)
        if call.state == "ended":
            return
        (fallback, method), call.fallback = call.fallback, ("", "POST")
        if fallback:
            await self.fetch(fallback, method, {"ErrorCode": str(error.code), "ErrorUrl": url})
            return
        call.answer()
        await call.say(APPLICATION_ERROR)
        call.end("completed", by="carrier")

    async def _verb(self, verb: Element, base: str) -> None:
        call = self._call
        if verb.tag not in ("Pause", "Reject", "Redirect"):
            call.answer()  # a pause before anything else lets the phone ring on
        match verb.tag:
            case "Say":
                await call.say(verb.text or "")
            case "Play":
                await call.play()
            case "Pause":
                await asyncio.sleep(int(verb.get("length", "1")) * call.timing.pause_scale)
            case "Redirect":
                raise _Elsewhere((verb.text or "").strip(), verb.get("method", "POST"))
            case "Hangup":
                call.end("completed", by="product")
            case "Reject":
                # What status a rejection ends with is not documented (unknown).
                call.end("busy" if verb.get("reason") == "busy" else "no-answer", by="product")
            case "Gather":
                await self._gather(verb)
            case "Connect":
                await call.connect(twiml.stream_of(verb), base)
                if verb.get("action"):
                    raise _Elsewhere(verb.get("action", ""), verb.get("method", "POST"))

    async def _gather(self, verb: Element) -> None:
        """Digits until there are enough, the finishing key, or the timeout."""
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
            raise _Elsewhere(verb.get("action", ""), verb.get("method", "POST"), {"Digits": digits})
