"""The product's messages on a media stream, and the parameters with which a stream is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from callflow.sandbox.twilio.errors import TwimlError


_SHAPES: Final[dict[str, dict[str, str]]] = {"media": {"media": "payload"}, "mark": {"mark": "name"}, "clear": {}}
"""The events that the product may send; each event's object and the one field of that object."""


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The noun `<Stream>` of a `<Connect>`, or a stream in one direction of the REST API."""

    url: str
    name: str = ""
    status_callback: str = ""
    status_method: str = "POST"
    parameters: dict[str, str] = field(default_factory=dict)
    tracks: tuple[str, ...] = ("inbound",)
    one_way: bool = False
    """It goes on beside the document, and nothing can be said on it."""


def parse(message: str | bytes, stream_id: str) -> tuple[str, str]:
    """Read a message: its event, and its payload or name ("" for `clear`). `stream_id` is "" before `start`.

    Raises TwimlError with the warning for a message that Twilio ignores.
    https://www.twilio.com/docs/voice/media-streams/websocket-messages
    """
    if isinstance(message, bytes):
        raise TwimlError(31950, "a binary message")
    try:
        frame = msgspec.json.decode(message)
    except msgspec.DecodeError:
        raise TwimlError(31951, f"not JSON: {message[:60]!r}") from None
    event = frame.get("event") if isinstance(frame, dict) else None
    if event not in _SHAPES:
        raise TwimlError(31951, f"there is no event {str(event)[:40]!r}")
    shape = _SHAPES[event]
    if frame.keys() != {"event", "streamSid", *shape}:
        raise TwimlError(31951, f"the fields of {event} are event, streamSid{''.join(f', {one}' for one in shape)}")
    if not stream_id or frame["streamSid"] != stream_id:
        raise TwimlError(31951, f"{frame['streamSid']!r} is not this stream")
    for name, inner in shape.items():
        value = frame[name]
        if not isinstance(value, dict) or value.keys() != {inner} or not isinstance(value[inner], str):
            raise TwimlError(31951, f"{name} must be an object with the text {inner}")
        return event, value[inner]
    return event, ""
