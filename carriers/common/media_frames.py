"""What both media protocol need to read frames that somebody else wrote: leniently, and with bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

import msgspec

from callflow.contracts.errors import Malformed
from callflow.contracts.media import CallerAudio, IgnoredFrame


Parsed = TypeVar("Parsed")
MOST_PAYLOAD: Final = 30_000 * 8 * 4 // 3 + 4
"""Base64 characters of 30 s of audio: the most that one frame may hold in either direction."""
_MOST_CHARACTERS: Final = 200
"""Of a text that is kept: names, ids and causes are far shorter."""


class Media(Protocol):
    """The body of a media frame."""

    payload: str
    track: Any
    chunk: Any


def read(text: str | bytes, decode: Callable[[str], Parsed]) -> Parsed:
    """One frame. Raises Malformed for whatever is none."""
    if not isinstance(text, str):
        raise Malformed("a binary frame; carriers send text")
    try:
        return decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise Malformed(f"not a media stream's frame: {error}") from None


def heard(media: Media) -> CallerAudio | IgnoredFrame:
    """The caller's audio. Outbound tracks are not for us: they are our own voice. Raises Malformed."""
    if len(media.payload) > MOST_PAYLOAD:
        raise Malformed("a media frame of more than 30 s")
    if isinstance(media.track, str) and media.track and not media.track.startswith("inbound"):
        return IgnoredFrame("outbound media")
    return CallerAudio(number(media.chunk), media.payload)


def field(fields: Any, name: str) -> str:
    """A field as text, cut to 200 characters; empty when it is missing, null, a list or an object, or `fields` is no
    object."""
    value = fields.get(name) if isinstance(fields, dict) else None
    if isinstance(value, str):
        return value[:_MOST_CHARACTERS]
    return str(value) if isinstance(value, (int, float)) else ""


def number(value: Any) -> int:
    """A counter, which carriers send as a decimal string; 0 when it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    if isinstance(value, str) and value.isascii() and len(value) < 24:
        try:
            value = float(value)
        except ValueError:
            return 0
    return int(value) if isinstance(value, (int, float)) and 0 <= value < 1e15 else 0
