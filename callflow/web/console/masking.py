"""Masks telephone numbers in everything that leaves the operators' listener for those who may only view.

All answers pass here as bytes, whatever made them: JSON, tables, streams of events, pages, MCP and the texts of
WebSockets. `+15550100001` becomes `+1555•••0001`. What counts as a number is a `+` with 5 to 15 digits, also with
blanks, dots, brackets or hyphens between them, and a whole text of 7 to 15 digits, or such behind `sip:` or `tel:`.
Numbers that people say in words, or digit by digit, stay in what they said; sound is sound.
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
_NUMBER: Final = re.compile(rb"(\+|%2[Bb])([0-9](?:[ ().\-/]{0,3}[0-9]){4,14}+)")
_BARE: Final = re.compile(rb"([\"':])([0-9]{7,15}+)(?=[\\\"'@;?])")
"""Two patterns, each of which begins with few characters: one that begins with either takes fifteen times as long."""
_UNFINISHED: Final = re.compile(rb"(?:\+|%(?:2[Bb]?)?|[\"':])[0-9 ().\-/]{0,60}\Z")
"""The end of a piece that may be the beginning of a number, the sign before it included."""
_LONGEST: Final = 64
_SLICE: Final = 32 << 10
"""Bytes that are looked through at a time: well below a millisecond."""
_DIGIT: Final = re.compile(rb"[0-9]")
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
    digits = number if number.isdigit() else b"".join(_DIGIT.findall(number))
    last = min(_LAST, len(digits) - _LEAST_HIDDEN)
    first = min(_SHOWN, len(digits) - _LEAST_HIDDEN - last)
    return bytes(sign + digits[:first] + _HIDDEN + digits[len(digits) - last :])


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
