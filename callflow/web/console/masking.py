"""Masks telephone numbers in everything that leaves the operators' listener for those who may only view.

All answers pass here as bytes, whatever made them: JSON, tables, streams of events, pages, MCP and the texts of
WebSockets. `+15550100001` becomes `+1555•••0001`. What counts as a number is a `+` with 5 to 15 digits, also with
blanks, dots, brackets or hyphens of any width between them, and a whole text of 7 to 15 digits, or such behind `sip:`
or `tel:`. Numbers that people say in words, or digit by digit, stay in what they said; sound is sound. So does a JSON
number, which may as well be a time or an id.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final


HIDDEN: Final = "•••"
_HIDDEN: Final = HIDDEN.encode()
_SHOWN, _LAST, _LEAST_HIDDEN = 4, 4, 3
"""Digits shown in front and at the end at most, and hidden at least."""
_BETWEEN: Final = (
    rb"(?:[ ().\-/]|\xc2\xa0|\xe2(?:\x80[\x87\x89\x90-\x95\xaf]|\x88\x92)"
    rb"|\\{1,2}u(?:00[aA]0|20(?:0[79]|1[0-5]|2[fF])|2212))"
)
"""One sign between two digits: of ASCII, or U+00A0, U+2007, U+2009, U+202F, U+2010 to U+2015 and U+2212, also as JSON
may escape them. Blanks that do not break and dashes are what models and word processors put into numbers."""
_BEGINNING: Final = rb"(?:\xc2|\xe2[\x80\x88]?|\\{1,2}(?:u[0-9A-Fa-f]{0,3})?)?"
"""The beginning of such a sign, or none."""
_SIGNS: Final = re.compile(_BETWEEN)
_NUMBER: Final = re.compile(rb"(\+|%%2[Bb])([0-9](?:%b{0,3}[0-9]){4,14}+)" % _BETWEEN)
_BARE: Final = re.compile(rb"([\"':])([0-9]{7,15}+)(?=[\\\"'@;?])")
"""Two patterns, each of which begins with few characters: one that begins with either takes fifteen times as long."""
_UNFINISHED: Final = re.compile(rb"(\+|%%(?:2[Bb]?)?|[\"':])(?:[0-9]|%b){0,60}%b\Z" % (_BETWEEN, _BEGINNING))
"""The end of a piece that may be the beginning of a number, the sign before it included."""
_LONGEST: Final = 60 * len(rb"\\u2011") + 10
_SLICE: Final = 32 << 10
"""Bytes that are looked through at a time: well below a millisecond."""
_REST: Final = re.compile(r"[^\w+]{0,3}[0-9](?:[^\w+]{0,3}[0-9])*")
"""The beginning of a text that may be the end of a number before it."""
_DIGIT: Final = re.compile(rb"[0-9]")
_CUT: Final = "…"
"""How a text ends of which a part is held back already: see `Redactor.unfinished`."""
_OTHER_KINDS: Final = (
    b"audio/", b"image/", b"font/", b"video/", b"text/css", b"text/javascript", b"application/javascript",
    b"application/wasm",
)  # fmt: skip
"""Of these nothing is masked: sound, and what is the same for everybody."""
_STATIC: Final = "/static/"


def masked(text: bytes) -> bytes:
    """Mask the numbers in a text."""
    return _BARE.sub(_mask, _NUMBER.sub(_mask, text))


def _mask(found: re.Match[bytes]) -> bytes:
    sign, number = found.groups()
    digits = number if number.isdigit() else _SIGNS.sub(b"", number)
    last = min(_LAST, len(digits) - _LEAST_HIDDEN)
    first = min(_SHOWN, len(digits) - _LEAST_HIDDEN - last)
    return bytes(sign + digits[:first] + _HIDDEN + digits[len(digits) - last :])


def masked_growing(text: str) -> str:
    """Mask the numbers in words that are still being spoken, and the whole of what may be the beginning of one: masked
    by its length of now, it would show one part after another."""
    whole = b'"' + text.removesuffix(_CUT).encode()
    found = _UNFINISHED.search(whole, max(0, len(whole) - _LONGEST))
    if found is not None and _DIGIT.search(whole, found.end(1)):
        return (masked(whole[: found.end(1)])[1:] + _HIDDEN).decode()
    return masked(text.encode()).decode()


def masked_cut(heard: str, unheard: str) -> tuple[str, str]:
    """Mask the numbers in what was heard of a text and in the rest of it, also one that is divided between them."""
    rest = _REST.match(unheard)
    if rest is None:
        return masked(heard.encode()).decode(), masked(unheard.encode()).decode()
    beginning = masked_growing(heard)
    if beginning == masked(heard.encode()).decode():  # what is heard ends with no number
        return beginning, masked(unheard.encode()).decode()
    return beginning, HIDDEN + masked(unheard[rest.end() :].encode()).decode()


class Pieces:
    """Masks a text that comes in pieces, of which a number may be divided."""

    def __init__(self) -> None:
        self._kept = b""

    def take(self, piece: bytes, *, is_last: bool) -> bytes:
        """Return what can be said after this piece; the beginning of what may be a number is kept for the next one."""
        text, self._kept = self._kept + piece, b""
        begin = max(0, len(text) - _LONGEST)
        if not is_last and (found := _UNFINISHED.search(text, begin)) is not None:
            text, self._kept = text[: found.start()], text[found.start() :]
        sign = self._kept[:1]  # a quotation mark may also be the end of the number before it
        return masked(text + sign).removesuffix(sign)


Send = Callable[[Any], Awaitable[None]]


def masking(scope: Any, send: Send) -> tuple[Any, Send]:
    """Return the scope and the `send` of ASGI for a request whose answer is to be masked."""
    if scope["path"].startswith(_STATIC):
        return scope, send
    plain = [(name, value) for name, value in scope["headers"] if name.lower() not in (b"accept-encoding", b"te")]
    pieces = Pieces()
    is_text = True

    async def sending(message: Any) -> None:
        nonlocal is_text
        kind = message["type"]
        if kind.endswith("response.start"):
            headers = [(name.lower(), value) for name, value in message["headers"]]
            is_text = not any(name == b"content-type" and value.startswith(_OTHER_KINDS) for name, value in headers)
            if is_text:  # it gets another length
                message = {**message, "headers": [each for each in headers if each[0] != b"content-length"]}
        elif kind.endswith("response.body") and is_text:
            body, more = message.get("body", b""), message.get("more_body", False)
            while len(body) > _SLICE:
                piece, body = body[:_SLICE], body[_SLICE:]
                await send({**message, "body": pieces.take(piece, is_last=False), "more_body": True})
                await asyncio.sleep(0)  # frames come between
            message = {**message, "body": pieces.take(body, is_last=not more)}
        elif kind == "websocket.send" and message.get("text"):
            message = {**message, "text": masked(message["text"].encode()).decode()}
        await send(message)

    return {**scope, "headers": plain}, sending
