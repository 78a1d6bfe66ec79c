"""The media stream of the emulated Twilio: the frames that it sends, and what it does with the product's.

Vendor: www.twilio.com/docs/voice/media-streams/websocket-messages.
"""

from __future__ import annotations

import binascii
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from websockets.exceptions import InvalidStatus

from callflow.media.g711 import FRAME_BYTES, FRAME_MS
from callflow.sandbox.common.http_server import Tasks
from callflow.sandbox.common.media_socket import Frame, MediaSocket, b64
from callflow.sandbox.common.phone import SILENT_FRAME, Phone
from callflow.sandbox.twilio.errors import TwimlError
from callflow.sandbox.twilio.faults import Faults, Timing
from callflow.sandbox.twilio.frames import StreamOptions, parse
from callflow.sandbox.twilio.webhooks import Webhooks


_SILENCE: Final = b64(SILENT_FRAME)


class MediaStream(MediaSocket):
    """One WebSocket to the product. `errors` holds the code and the reason of what Twilio would warn of."""

    def __init__(
        self,
        options: StreamOptions,
        *,
        account_sid: str,
        call_sid: str,
        phone: Phone,
        faults: Callable[[], Faults],
        tasks: Tasks,
        timing: Timing,
        changed: Callable[[], None],
    ) -> None:
        super().__init__("MZ" + secrets.token_hex(16), faults=faults, tasks=tasks, changed=changed)
        self.options = options
        self._ids = {"accountSid": account_sid, "callSid": call_sid}
        self._phone = phone
        self._skipped = 0
        """How often 20 ms have passed without a frame."""
        self._own_faults = faults
        self._timing = timing

    async def connect(self, webhooks: Webhooks) -> None:
        """Open the socket and send `connected`. Raises TwimlError with the code of the stream's failure."""
        faults, url = self._own_faults(), self.options.url
        parts = urlsplit(url)
        if parts.scheme != "wss":
            raise TwimlError(31922, f"a stream's URL must be wss, not {parts.scheme or 'relative'}")
        if parts.query:
            raise TwimlError(31920, "a stream's URL has no query")
        if not parts.hostname:
            raise TwimlError(31923, f"no host in {url[:100]}")
        signed = webhooks.signer.sign(url + "/" if faults.media_slash else url, account=self._ids["accountSid"])
        headers = {} if faults.unsigned_media else {name.lower(): value for name, value in signed.items()}
        where: dict[str, Any] = {}
        if found := webhooks.server_of(parts.netloc):
            server = urlsplit(found)
            where = {"host": server.hostname, "port": server.port}
            url = f"ws{url.removeprefix('wss')}"
        try:
            if faults.connect_fails:
                raise OSError("the faults ask for it")
            opened = await self.open(url, headers, self._timing.connect_timeout_s, **where)
        except InvalidStatus as error:
            raise TwimlError(31920, f"the handshake was answered with HTTP {error.response.status_code}") from error
        except TimeoutError as error:
            raise TwimlError(31901, "no answer to the handshake") from error
        except OSError as error:
            raise TwimlError(31902, f"no connection: {error}") from error
        except Exception as error:  # anything else that the library finds wrong with the answer
            raise TwimlError(31920, f"the handshake failed: {error!r}") from error
        if opened:
            self.send("connected", '{"event":"connected","protocol":"Call","version":"1.0.0"}')
            self.changed()

    def start(self) -> None:
        """Send `start`; from now on the caller's frames are sent."""
        faults = self._own_faults()
        ids = {
            "accountSid": faults.foreign_account_sid or self._ids["accountSid"],
            "callSid": faults.foreign_call_sid or self._ids["callSid"],
        }
        self.begin(
            {
                "streamSid": self.stream_id,
                **ids,
                "tracks": list(self.options.tracks),
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": self.options.parameters,
            }
        )
        if not self.options.one_way:
            self._phone.attach(f"media {self.stream_id}", self.playout)

    def stop_fields(self) -> Mapping[str, Any]:
        """Return accountSid and callSid."""
        return self._ids

    # To the product

    def send_caller(self, ulaw: bytes, at: float) -> None:
        """Send 20 ms that were said at `at`."""
        if not self.started or self.ended:
            return
        self.apply_faults(at)
        if "outbound" in self.options.tracks:
            heard = self._phone.heard_between(at - FRAME_MS / 1000, at)[:FRAME_BYTES]
            self.send_media("outbound", heard.ljust(FRAME_BYTES, SILENT_FRAME[:1]))
        if "inbound" not in self.options.tracks:
            return
        if ulaw is SILENT_FRAME and self._own_faults().skip_silence:
            self._skipped += 1
        else:
            self.send_media("inbound", ulaw)

    def send_dtmf(self, digit: str) -> None:
        """Send a `dtmf` frame."""
        if self.started and not self.ended:
            self.event("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    def media_text(self, track: str, chunk: int, ulaw: bytes) -> str:
        """Encode a `media` frame."""
        payload = _SILENCE if ulaw is SILENT_FRAME else b64(ulaw)
        # Twilio's example begins at 5 ms.
        timestamp = 5 + (chunk - 1 + self._skipped) * FRAME_MS
        return (
            f'{{"event":"media","sequenceNumber":"{self.sequence}","streamSid":"{self.stream_id}","media":'
            f'{{"track":"{track}","chunk":"{chunk}","timestamp":"{timestamp}","payload":"{payload}"}}}}'
        )

    def event_text(self, event: str, content: Mapping[str, Any]) -> str:
        """Encode any other numbered frame."""
        message = {"event": event, "sequenceNumber": str(self.sequence), "streamSid": self.stream_id, **content}
        return msgspec.json.encode(message).decode()

    # From the product

    def receive(self, message: str | bytes, at: float) -> None:
        """Act on a message of the product, which arrived `at` that time (seconds of `time.monotonic`). One that breaks
        the protocol is ignored and added to `errors`."""
        if self.ended:
            return
        try:
            event, value = parse(message, self.stream_id if self.started else "")
        except TwimlError as error:
            self.errors.append((error.code, error.detail))
            self.changed()
            return
        if self.options.one_way:
            self.errors.append((31924, f"a {event} on a stream in one direction"))
            self.changed()
        elif event == "mark":
            self.mark(value, at)
        elif event == "clear":
            self.clear(at)
        else:
            self._play(value, at)

    def _play(self, payload: str, at: float) -> None:
        try:
            ulaw = binascii.a2b_base64(payload.encode("ascii"), strict_mode=True)
        except (binascii.Error, UnicodeEncodeError):
            self.errors.append((31931, "the payload is not base64"))
            return
        if ulaw.startswith(b"RIFF"):
            self.errors.append((31931, "the payload has a WAV header"))
        self.log_in.append(Frame(at, "media", len(ulaw)))
        self.odd_frames += len(ulaw) % FRAME_BYTES != 0
        if self._phone.on_media is not None:
            self._phone.on_media(at, ulaw)
        self.playout.pause_ms = self.faults().pause_ms
        self.playout.play(ulaw, at)
