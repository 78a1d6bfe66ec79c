"""Telnyx's media streams: frames are JSON text both ways, with base64 of the codec's bytes, without RTP headers.

Telnyx is the client of the WebSocket. It sends `connected`, `start`, then `media`; counters are decimal strings. Our
frames need no stream id, and are built by concatenation, because everything but the payload is constant. Vendor:
developers.telnyx.com/docs/voice/programmable-voice/media-streaming.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from callflow.contracts.errors import Malformed
from callflow.contracts.media import (
    DtmfFrame,
    Frame,
    IgnoredFrame,
    MarkReceived,
    MediaError,
    StreamConnected,
    StreamStarted,
    StreamStopped,
)
from carriers.common.media_frames import caller_audio, field, number, read


STREAM_SECRET: Final = "x-telnyx-streaming-auth-token"
"""The header of the handshake, and the field of `connected`, in which the stream's secret comes back."""


class _Media(msgspec.Struct):
    payload: str
    track: Any = None
    chunk: Any = None


class _Frame(msgspec.Struct):
    event: str
    stream_id: Any = None
    media: _Media | None = None
    start: Any = None
    connected: Any = None
    mark: Any = None
    dtmf: Any = None
    payload: Any = None


class _OddFrame(_Frame):
    """One whose `media` is nothing that a media frame could have: it is not read."""

    media: None = msgspec.field(default=None, name="")


_decode: Final = msgspec.json.Decoder(_Frame).decode
_decode_odd: Final = msgspec.json.Decoder(_OddFrame).decode


class TelnyxMediaProtocol:
    """The frames of one media socket."""

    def decode(self, text: str | bytes) -> Frame:
        """Read one frame; an unknown one is an IgnoredFrame. Raises Malformed."""
        frame = read(text, _decode, _decode_odd)
        if frame.event == "media" and frame.media is not None:
            return caller_audio(frame.media)
        return self._other(frame)

    def _other(self, frame: _Frame) -> Frame:
        match frame.event:
            case "mark":
                return MarkReceived(field(frame.mark, "name"))
            case "dtmf":
                return DtmfFrame(field(frame.dtmf, "digit")[:1])
            case "connected":
                return StreamConnected(field(frame.connected, STREAM_SECRET))
            case "start" if isinstance(frame.start, dict):
                return _start(frame.start, frame.stream_id if isinstance(frame.stream_id, str) else "")
            case "stop":
                return StreamStopped("stop frame")
            case "error":
                return MediaError(field(frame.payload, "code"), field(frame.payload, "title"))
            case "media" | "start":
                raise Malformed(f"a {frame.event} frame without its body")
        return IgnoredFrame(frame.event[:40])

    def audio(self, payload: str) -> str:
        """Return a frame that plays audio: base64 of µ-law at 8 kHz, 20 ms to 30 s."""
        return f'{{"event":"media","media":{{"payload":"{payload}"}}}}'

    def mark(self, name: str) -> str:
        """Return a frame that Telnyx sends back when it has played everything before it."""
        return f'{{"event":"mark","mark":{{"name":{msgspec.json.encode(name).decode()}}}}}'

    def clear(self) -> str:
        """Return the frame that drops what is queued; Telnyx then sends back all marks in it at once."""
        return '{"event":"clear"}'


def _start(start: dict[str, Any], stream: str) -> StreamStarted:
    form = start.get("media_format")
    form = form if isinstance(form, dict) else {}
    return StreamStarted(
        stream=stream or field(start, "stream_id"),
        call=field(start, "call_control_id"),
        session=field(start, "call_session_id"),
        encoding=field(form, "encoding").upper() or "PCMU",
        sample_rate=number(form.get("sample_rate")) or 8000,
        channels=number(form.get("channels")) or 1,
    )
