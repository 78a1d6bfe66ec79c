"""The media stream of the emulated Telnyx: the frames that it sends, and what it does with the product's.

Vendor: developers.telnyx.com/docs/voice/programmable-voice/media-streaming.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from callflow.media.g711 import FRAME_BYTES, FRAME_MS
from callflow.sandbox.common.http_server import Tasks
from callflow.sandbox.common.media_socket import Frame, MediaSocket, b64
from callflow.sandbox.common.phone import SILENT_FRAME, Phone
from callflow.sandbox.telnyx.codecs import ENCODERS, SAMPLE_RATES, decode
from callflow.sandbox.telnyx.errors import FRAME_TITLES, FrameError
from callflow.sandbox.telnyx.faults import Faults, Timing
from callflow.sandbox.telnyx.frames import Mark, Media, StreamOptions, check_length, parse
from callflow.sandbox.telnyx.webhooks import timestamp


AUTH_HEADER: Final = "x-telnyx-streaming-auth-token"
"""Carries `stream_auth_token` in the handshake and in the `connected` frame."""


class MediaStream(MediaSocket):
    """One WebSocket to the product.

    Args:
        leg_codec: of the call leg, for a stream that asks for "default".
        start: the fields of the `start` frame that are the call's.
        listeners: returns the phones that hear what the product sends. Without any (mode mp3, or `opposite` and no
            second leg) the media is accepted and dropped, which is what Telnyx does.
    """

    def __init__(
        self,
        options: StreamOptions,
        *,
        leg_codec: str,
        start: Mapping[str, Any],
        listeners: Callable[[], list[Phone]],
        faults: Callable[[], Faults],
        tasks: Tasks,
        timing: Timing,
        changed: Callable[[], None],
    ) -> None:
        super().__init__(str(uuid.uuid4()), faults=faults, tasks=tasks, changed=changed)
        self.options = options
        self.ignored_bytes = 0
        """Bytes of the product's audio that no phone could play."""
        wanted = faults().media_format or (leg_codec if options.codec == "default" else options.codec)
        self.encoding = wanted
        self._encode = ENCODERS.get(wanted, ENCODERS["OPUS"])
        self._silence = b64(self._encode(SILENT_FRAME))
        self._start = dict(start)
        self._listeners = listeners
        self._own_faults = faults
        self._timing = timing

    async def connect(self, hosts: Mapping[str, str]) -> None:
        """Open the socket and send `connected`. Raises OSError, TimeoutError, ValueError or WebSocketException.

        `hosts`: see `Webhooks.hosts`.
        """
        token, url = self.options.auth_token, self.options.url
        where: dict[str, Any] = {}
        if (found := hosts.get(urlsplit(url).netloc)) is not None:
            server = urlsplit(found)
            where = {"host": server.hostname, "port": server.port or (443 if server.scheme == "https" else 80)}
            if server.scheme == "http" and url.startswith("wss:"):
                url = f"ws{url.removeprefix('wss')}"
        headers = {AUTH_HEADER: token} if token else {}
        if not await self.open(url, headers, self._timing.connect_timeout_s, **where):
            return
        hello: dict[str, Any] = {"event": "connected", "version": "1.0.0"}
        if token:
            hello["connected"] = {AUTH_HEADER: token}
        self.send("connected", msgspec.json.encode(hello).decode())
        self.changed()

    def start(self) -> None:
        """Send `start`; from now on the caller's frames are sent."""
        rate = SAMPLE_RATES.get(self.encoding, 8000)
        media_format = {"encoding": self.encoding, "sample_rate": rate, "channels": 1}
        extra = {"custom_parameters": self.options.custom_parameters, "media_format": media_format}
        if (foreign := self._own_faults().foreign_call_control_id) is not None:
            extra["call_control_id"] = foreign
        self.begin({**self._start, **extra})

    def stop_fields(self) -> Mapping[str, Any]:
        """Return user_id and call_control_id."""
        return {"user_id": self._start.get("user_id"), "call_control_id": self._start["call_control_id"]}

    # To the product

    def send_caller(self, ulaw: bytes, at: float, heard: Callable[[float, float], bytes]) -> None:
        """Send 20 ms that were said at `at`. `heard(since, until)` returns the audio of the outbound track."""
        if not self.started or self.ended:
            return
        self.apply_faults(at)
        if self.options.track != "outbound_track":
            self.send_media("inbound", ulaw)
        if self.options.track != "inbound_track":
            audio = heard(at - FRAME_MS / 1000, at)[:FRAME_BYTES]
            self.send_media("outbound", audio.ljust(FRAME_BYTES, SILENT_FRAME[:1]))

    def send_dtmf(self, digit: str) -> None:
        """Send a `dtmf` frame."""
        if self.started and not self.ended:
            self.event("dtmf", occurred_at=timestamp(), dtmf={"digit": digit})

    def media_text(self, track: str, chunk: int, ulaw: bytes) -> str:
        """Encode a `media` frame."""
        payload = self._silence if ulaw is SILENT_FRAME else b64(self._encode(ulaw))
        # The unit of the timestamp is not documented (unknown): milliseconds of audio here.
        return (
            f'{{"event":"media","sequence_number":"{self.sequence}","stream_id":"{self.stream_id}","media":'
            f'{{"track":"{track}","chunk":"{chunk}","timestamp":"{chunk * FRAME_MS}","payload":"{payload}"}}}}'
        )

    def event_text(self, event: str, content: Mapping[str, Any]) -> str:
        """Encode any other numbered frame."""
        message = {"event": event, "sequence_number": str(self.sequence), "stream_id": self.stream_id, **content}
        return msgspec.json.encode(message).decode()

    def _error(self, code: int, detail: str) -> None:
        self.errors.append((code, detail))
        payload = {"code": code, "title": FRAME_TITLES[code], "detail": detail}
        message = {"event": "error", "stream_id": self.stream_id, "payload": payload}
        self.send("error", msgspec.json.encode(message).decode(), str(code))
        self.changed()

    # From the product

    def receive(self, message: str | bytes, at: float) -> None:
        """Act on a message of the product; one that breaks the protocol is answered with an `error` frame."""
        if self.ended:
            return
        try:
            frame = parse(message)
            if isinstance(frame, Media):
                self.log_in.append(Frame(at, "media", len(frame.audio)))
                self._play(frame.audio, at)
            elif isinstance(frame, Mark):
                self.mark(frame.name, at)
            else:
                self.clear(at)
        except FrameError as error:
            self._error(error.code, error.detail)

    def _play(self, audio: bytes, at: float) -> None:
        # One-way audio, a common mistake: without mode rtp all frames are accepted, no error is sent, nothing is heard.
        options = self.options
        listeners = self._listeners() if options.mode == "rtp" else []
        if options.mode == "rtp":
            self.odd_frames += not check_length(audio, options)
        ulaw = decode(options.bidirectional_codec, options.sampling_rate, audio)
        if ulaw is None or not listeners:
            self.ignored_bytes += len(audio)
            return
        for phone in listeners:
            phone.attach(f"media {self.stream_id}", self.playout)
            if phone.on_media is not None:
                phone.on_media(at, ulaw)
        self.playout.pause_ms = self.faults().pause_ms
        self.playout.play(ulaw, at)
