"""Twilio's media streams: frames are JSON text both ways, with base64 of µ-law at 8 kHz without headers.

Twilio is the client of the WebSocket. It sends `connected`, `start`, then `media`; counters are decimal strings. Each
of our frames must name the stream, whose id comes with `start`. Frames are built by concatenation, because everything
but the payload is constant for a socket. Vendor: www.twilio.com/docs/voice/media-streams/websocket-messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from callflow.contracts.errors import Malformed
from callflow.contracts.media import (
    DtmfFrame,
    Frame,
    IgnoredFrame,
    MarkReceived,
    StreamConnected,
    StreamStarted,
    StreamStopped,
)
from carriers.common.media_frames import caller_audio, field, number, read


_ENCODINGS: Final = {"audio/x-mulaw": "PCMU", "audio/x-alaw": "PCMA", "": "PCMU"}
"""Twilio documents the first only."""


class _Media(msgspec.Struct):
    payload: str
    track: Any = None
    chunk: Any = None


class _Frame(msgspec.Struct):
    event: str
    streamSid: Any = None  # noqa: N815 - the wire's own name
    media: _Media | None = None
    start: Any = None
    mark: Any = None
    dtmf: Any = None


class _OddFrame(_Frame):
    """One whose `media` is nothing that a media frame could have: it is not read."""

    media: None = msgspec.field(default=None, name="")


_decode: Final = msgspec.json.Decoder(_Frame).decode
_decode_odd: Final = msgspec.json.Decoder(_OddFrame).decode


class TwilioMediaProtocol:
    """The frames of one media socket."""

    def __init__(self, account: str = "", also: Callable[[str], bool] = lambda account: False) -> None:
        """`account`: the SID of the account whose streams are accepted; "": any. `also`: returns whether those of
        another one are, too."""
        self._account, self._also = account, also
        self._audio = self._mark = self._clear = ""

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
                return StreamConnected()
            case "start" if isinstance(frame.start, dict):
                return self._start(frame.start, frame.streamSid if isinstance(frame.streamSid, str) else "")
            case "stop":
                return StreamStopped("stop frame")
            case "media" | "start":
                raise Malformed(f"a {frame.event} frame without its body")
        return IgnoredFrame(frame.event[:40])

    def _start(self, start: dict[str, Any], stream: str) -> StreamStarted:
        form = start.get("mediaFormat")
        form = form if isinstance(form, dict) else {}
        account, call = field(start, "accountSid"), field(start, "callSid")
        is_foreign = bool(account and self._account) and account != self._account and not self._also(account)
        if is_foreign:
            call = f"one of the account {account}"
        stream = stream or field(start, "streamSid")
        if not self._audio:
            name = msgspec.json.encode(stream).decode()
            self._audio = f'{{"event":"media","streamSid":{name},"media":{{"payload":"'
            self._mark = f'{{"event":"mark","streamSid":{name},"mark":{{"name":'
            self._clear = f'{{"event":"clear","streamSid":{name}}}'
        encoding = field(form, "encoding")
        return StreamStarted(
            stream=stream,
            call=call,
            session="",
            encoding=_ENCODINGS.get(encoding.lower(), encoding),
            sample_rate=number(form.get("sampleRate")) or 8000,
            channels=number(form.get("channels")) or 1,
            is_foreign=is_foreign,
        )

    def audio(self, payload: str) -> str:
        """Return a frame that plays audio: base64 of µ-law at 8 kHz."""
        return f'{self._audio}{payload}"}}}}'

    def mark(self, name: str) -> str:
        """Return a frame that Twilio sends back when it has played everything before it."""
        return f"{self._mark}{msgspec.json.encode(name).decode()}}}}}"

    def clear(self) -> str:
        """Return the frame that drops what is queued; Twilio then sends back all marks in it at once."""
        return self._clear
