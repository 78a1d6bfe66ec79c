"""Read frames of media streams: leniently in what they hold, strictly in how much."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import msgspec

from callflow.contracts import lenient_json
from callflow.contracts.errors import Malformed
from callflow.contracts.media import CallerAudio, OtherAudio


Parsed = TypeVar("Parsed")
MOST_PAYLOAD: Final = 30_000 * 8 * 4 // 3 + 4
"""Base64 characters of 30 s of µ-law audio at 8 kHz: the most that one frame may hold."""
_MOST_ODD: Final = 4096
"""Characters of a frame that is read leniently, which is slow; a `start` frame has some 1,000."""
_MOST_CHARACTERS: Final = 200
"""Characters of a text that is kept; names, ids and causes are far shorter."""

_new_audio: Final = partial(tuple.__new__, CallerAudio)
"""Makes one without a function of Python."""


class Media(Protocol):
    """The body of a media frame."""

    payload: str
    track: Any
    chunk: Any


def read(text: str | bytes, decode: Callable[[str], Parsed], otherwise: Callable[[str], Parsed]) -> Parsed:
    """Decode one frame; one that the strict decoder refuses as far as it can be read: half a character in a name must
    not cost a `start` frame, and with it the call. `otherwise`: decodes it if its `media` is none; of a media frame
    that is Malformed, but others do not need it. Raises Malformed for bytes, and for text that is no frame."""
    if not isinstance(text, str):
        raise Malformed("a binary frame; carriers send text")
    try:
        return _read(text, decode, otherwise)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        refusal = str(error)
    try:
        if len(text) <= _MOST_ODD:
            return _read(msgspec.json.encode(lenient_json.read(text)).decode(), decode, otherwise)
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass
    raise Malformed(f"not a media stream's frame: {refusal}")


def _read(text: str, decode: Callable[[str], Parsed], otherwise: Callable[[str], Parsed]) -> Parsed:
    try:
        return decode(text)
    except msgspec.ValidationError:
        return otherwise(text)


def caller_audio(media: Media) -> CallerAudio | OtherAudio:
    """Return the caller's audio, or that of an outbound track, which holds what the caller hears.

    Raises Malformed for a frame of more than 30 s.
    """
    if len(media.payload) > MOST_PAYLOAD:
        raise Malformed("a media frame of more than 30 s")
    track = media.track
    if track != "inbound" and isinstance(track, str) and track and not track.startswith("inbound"):
        return OtherAudio(media.payload)
    return _new_audio((number(media.chunk), media.payload))


def field(fields: Any, name: str) -> str:
    """Return a field as text of 200 characters at most; "" for one that is missing, null, a list or an object.

    `fields` may be any JSON value.
    """
    value = fields.get(name) if isinstance(fields, dict) else None
    if isinstance(value, str):
        return value[:_MOST_CHARACTERS]
    return str(value) if isinstance(value, (int, float)) else ""


def number(value: Any) -> int:
    """Return a counter, which carriers send as a decimal string; 0 for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    if isinstance(value, str) and value.isascii() and len(value) < 24:
        try:
            value = float(value)
        except ValueError:
            return 0
    return int(value) if isinstance(value, (int, float)) and 0 <= value < 1e15 else 0
