"""The product's frames on a media stream, and the parameters with which a stream is asked for."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

import msgspec

from callflow.sandbox.telnyx.codecs import bytes_per_second
from callflow.sandbox.telnyx.errors import FrameError


SHORTEST_S: Final = 0.02
LONGEST_S: Final = 30.0
"""Telnyx docs: RTP mode takes 20 ms to 30 s of audio per media frame."""


@dataclass(slots=True)
class StreamOptions:
    """The streaming parameters of answer, dial and streaming_start, with Telnyx's defaults. Vendor:
    https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming"""

    url: str
    track: str = "inbound_track"
    codec: str = "default"
    mode: str = "mp3"
    bidirectional_codec: str = "PCMU"
    target_legs: str = "opposite"
    sampling_rate: int = 8000
    auth_token: str | None = None
    custom_parameters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read the parameters from a validated request body; null is as good as missing."""

        def get(name: str, default: Any) -> Any:
            value = body.get(name)
            return default if value is None else value

        return cls(
            url=get("stream_url", ""),
            track=get("stream_track", "inbound_track"),
            codec=get("stream_codec", "default"),
            mode=get("stream_bidirectional_mode", "mp3"),
            bidirectional_codec=get("stream_bidirectional_codec", "PCMU"),
            target_legs=get("stream_bidirectional_target_legs", "opposite"),
            sampling_rate=get("stream_bidirectional_sampling_rate", 8000),
            auth_token=get("stream_auth_token", None),
            custom_parameters={each["name"]: each["value"] for each in get("custom_parameters", [])},
        )


class Media(NamedTuple):
    """A `media` frame; its audio is in the stream's bidirectional codec."""

    audio: bytes


class Mark(NamedTuple):
    """A `mark` frame."""

    name: str


class Clear(NamedTuple):
    """A `clear` frame."""


def parse(message: str | bytes) -> Media | Mark | Clear:
    """Read a frame. Telnyx docs: a text message with one JSON object of event media, mark or clear.

    Raises FrameError.
    """
    if isinstance(message, bytes):
        raise FrameError(100003, "Binary frames are not part of the protocol.")
    try:
        frame = msgspec.json.decode(message)
        event = frame["event"]
    except (msgspec.DecodeError, TypeError, KeyError):
        raise FrameError(100003, "The frame is not a JSON object with an event.") from None
    if event == "media":
        payload = _text(frame, "media", "payload")
        try:
            return Media(binascii.a2b_base64(payload.encode("ascii"), strict_mode=True))
        except (binascii.Error, UnicodeEncodeError):
            raise FrameError(100004, "The payload is not base64.") from None
    if event == "mark":
        return Mark(_text(frame, "mark", "name"))
    if event == "clear":
        return Clear()
    raise FrameError(100003, f"Unknown event {str(event)[:40]!r}.")


def check_length(audio: bytes, options: StreamOptions) -> bool:
    """Return whether audio is a multiple of 20 ms. Raises FrameError when it is not 20 ms to 30 s long."""
    rate = bytes_per_second(options.bidirectional_codec, options.sampling_rate)
    if not SHORTEST_S <= len(audio) / rate <= LONGEST_S:
        raise FrameError(100004, f"{len(audio)} bytes are not 20 ms to 30 s of audio.")
    return len(audio) % (rate // 50) == 0


def _text(frame: Mapping[str, Any], event: str, key: str) -> str:
    content = frame.get(event)
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, str):
        raise FrameError(100003, f"A {event} frame needs {event}.{key}.")
    return value
