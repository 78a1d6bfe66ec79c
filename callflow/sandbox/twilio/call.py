"""One call leg at the emulated Twilio: the documents that it runs through, its stream, its end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from time import monotonic
from typing import Any, Final, Literal
from urllib.parse import urljoin

from callflow.sandbox.common.leg import Leg
from callflow.sandbox.common.phone import Phone, tone
from callflow.sandbox.twilio.errors import TwimlError
from callflow.sandbox.twilio.exchange import Exchange, Number
from callflow.sandbox.twilio.faults import Faults, Timing
from callflow.sandbox.twilio.media import MediaStream
from callflow.sandbox.twilio.player import Player
from callflow.sandbox.twilio.twiml import StreamOptions


TERMINAL: Final = ("completed", "busy", "failed", "no-answer", "canceled")
_PLACES: Final = ("From", "To", "Caller", "Called")
SPEECH_HZ: Final = 620.0
PLAYBACK_HZ: Final = 880.0
"""What the carrier's voice and its recordings sound like in the sandbox: a tone."""


class Call(Leg[MediaStream, Faults]):
    """One leg. `status` is that of Twilio's REST resource; `state` is "ringing", "answered" or "ended"."""

    def __init__(
        self,
        exchange: Exchange,
        number: Number,
        *,
        from_number: str,
        to_number: str,
        direction: Literal["inbound", "outbound-api"] = "inbound",
        phone: Phone | None = None,
        faults: Faults | None = None,
        params: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(exchange, phone, faults)
        self.sid = "CA" + secrets.token_hex(16)
        self.from_number, self.to_number = from_number, to_number
        self.direction = direction
        self.status = "ringing" if direction == "inbound" else "queued"
        self.number = number
        self.spoken: list[str] = []
        """The texts of `<Say>`, from when their speech began."""
        self.documents: list[str] = []
        """Every document that was given to it, in order."""
        self.errors: list[tuple[int, str]] = []
        """What Twilio's debugger would show: code and reason."""
        self.warnings: list[tuple[int, str]] = []
        self.created = self.started = datetime.now(UTC)
        self.finished: datetime | None = None
        self.fallback = (number.voice_fallback_url, number.voice_fallback_method)
        self.callback = (number.status_callback, number.status_callback_method)
        self.callback_events: tuple[str, ...] = ("completed",)
        self.digits: asyncio.Queue[str] = asyncio.Queue()
        self._params = dict(params or {})
        self._exchange = exchange
        self._sequence = 0
        self._player = Player(self)
        self._script: asyncio.Task[None] | None = None
        exchange.calls[self.sid] = self

    # What a test or a demo asks of a call.

    @property
    def state(self) -> str:
        return "ended" if self.status in TERMINAL else "answered" if self.answered_at is not None else "ringing"

    def ids(self) -> dict[str, str]:
        return {"call_sid": self.sid}

    async def hang_up(self) -> None:
        """The human hangs up."""
        by = "caller" if self.direction == "inbound" else "callee"
        # What an inbound caller who gives up while it rings is called is not documented (unknown).
        self.end("completed" if self.answered_at is not None else "no-answer", by=by)

    async def press(self, digit: str) -> None:
        self.note(f"the caller pressed {digit}")
        if (stream := self.stream) is not None:
            stream.send_dtmf(digit)
        else:
            self.digits.put_nowait(digit)

    def story(self) -> str:
        """What happened so far, for error messages."""
        lines = [super().story()]
        lines += [f"error {code}: {detail}" for code, detail in self.errors]
        return f"{self.direction} call {self.from_number} to {self.to_number}, {self.status}: " + ", ".join(lines)

    def fail(self, error: TwimlError) -> None:
        self.errors.append((error.code, error.detail))
        self.note(f"error {error.code}")

    def warn(self, error: TwimlError) -> None:
        self.warnings.append((error.code, error.detail))

    # Documents

    def ring(self) -> None:
        """The number's VoiceUrl is asked what to do."""
        self.note("ringing")
        self.run_from(self.number.voice_url, self.number.voice_method)

    def run_from(self, url: str, method: str) -> None:
        self._replace(lambda: self._player.fetch(url, method))

    def run_text(self, text: str) -> None:
        self._replace(lambda: self._player.play(text, self.number.voice_url, self.number.voice_method))

    def _replace(self, work: Callable[[], Any]) -> None:
        """Twilio docs: new TwiML discards what is running, a media stream included."""
        if self._script is not None:
            self._script.cancel()
        self.stop_stream()
        self._script = self._exchange.tasks.spawn(work(), "document")

    async def document(self, url: str, method: str, extra: Mapping[str, str]) -> str:
        """Raises TwimlError."""
        return await self._exchange.webhooks.document(url, method, self.params(extra), self.faults)

    def params(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """What every request says; the places are often blank, and count in the signature all the same."""
        params = {
            "AccountSid": self._exchange.account_sid,
            "ApiVersion": "2010-04-01",
            "CallSid": self.sid,
            "CallStatus": self.status,
            "Direction": self.direction,
            "From": self.from_number,
            "To": self.to_number,
            "Caller": self.from_number,
            "Called": self.to_number,
        }
        if self.direction == "inbound":
            for who in _PLACES:
                params |= {f"{who}City": "", f"{who}State": "CA", f"{who}Zip": "", f"{who}Country": "US"}
            params["StirVerstat"] = "TN-Validation-Passed-A"
            params["CallToken"] = '{"parentCallInfoToken":"sandbox","identityHeaderTokens":[]}'
        return {**params, **self._params, **(extra or {})}

    # Life

    def answer(self) -> None:
        """The first verb but a pause or a rejection answers."""
        if self.answered_at is None and self.state != "ended":
            self.status = "in-progress"
            self.answered_at = monotonic()
            self.started = datetime.now(UTC)
            self.note("answered")
            self._exchange.pacer.add(self)
            self.tell("answered")

    def end(self, status: str, *, by: str) -> None:
        """The leg is over, for whatever reason: the stream ends, and the status callback tells."""
        if self.state == "ended":
            return
        self.status, self.ended_by = status, by
        self.ended_at = monotonic()
        self.finished = datetime.now(UTC)
        self.note(f"ended by the {by}: {status}")
        if self._script is not None and self._script is not asyncio.current_task():
            self._script.cancel()
        self._exchange.pacer.remove(self)
        self.stop_stream()
        self.phone.disconnect(self.ended_at)
        self.tell("completed")

    @property
    def duration(self) -> int:
        """Seconds from answer to end, up to now."""
        if self.answered_at is None:
            return 0
        return round((monotonic() if self.ended_at is None else self.ended_at) - self.answered_at)

    def tell(self, event: str) -> None:
        """A status callback; inbound calls tell of their end only."""
        url, method = self.callback
        if event not in self.callback_events or not url:
            return
        extra = {
            "Timestamp": format_datetime(datetime.now(UTC)),
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(self._sequence),
        }
        self._sequence += 1
        if event == "initiated":
            extra["CallStatus"] = "initiated"
        if event == "completed":
            extra |= {"CallDuration": str(self.duration), "Duration": str(-(-self.duration // 60))}
        self._exchange.webhooks.tell("status", url, method, self.params(extra), self.faults)

    # Sound

    def tick(self, at: float) -> None:
        """20 ms of the caller's voice. What is said while no stream is up is lost, as in life."""
        frame = self.phone.next_frame(at)
        if (stream := self.stream) is not None:
            stream.send_caller(frame, at)

    async def say(self, text: str) -> None:
        self.spoken.append(text)
        self.note("says something")
        await self._sound(len(text) * self.timing.speak_s_per_char, SPEECH_HZ)

    async def play(self) -> None:
        await self._sound(self.timing.playback_s, PLAYBACK_HZ)

    async def _sound(self, seconds: float, hz: float) -> None:
        line = self.phone.line("carrier")
        line.play(tone(seconds * 1000, hz), monotonic())
        try:
            await asyncio.sleep(seconds)
        finally:
            line.stop(monotonic())

    @property
    def timing(self) -> Timing:
        return self._exchange.timing

    # The stream

    async def connect(self, options: StreamOptions, base: str) -> None:
        """Blocks as `<Connect>` does, until the stream is over for whatever reason."""
        stream = MediaStream(
            options,
            account_sid=self._exchange.account_sid,
            call_sid=self.sid,
            phone=self.phone,
            faults=lambda: self.faults,
            tasks=self._exchange.tasks,
            timing=self.timing,
            changed=self._exchange.changed,
        )
        self.streams.append(stream)
        if self.faults.never_connect:
            self.note("the media socket is never opened (fault)")
            await asyncio.Event().wait()
        try:
            await stream.connect(self._exchange.webhooks)
        except TwimlError as error:
            stream.fail()
            self.fail(error)
            self._stream_event(stream, "stream-error", f"{error.code}: {error.detail}", base)
            return
        if stream.ended:
            return
        self._stream_event(stream, "stream-started", "", base)
        if not self.faults.no_start:
            stream.start()
            self.note("streaming")
        how = await stream.over()
        self.note(f"media socket {how}")
        if how == "lost":
            self.fail(TwimlError(31903, "Connection Reset By Peer"))
            self._stream_event(stream, "stream-error", "31903: Connection Reset By Peer", base)
        elif how == "closed":
            self.fail(TwimlError(31921, "the server closed the connection"))
            self._stream_event(stream, "stream-stopped", "", base)

    def stop_stream(self) -> None:
        if (stream := self.stream) is not None:
            told = stream.connected
            stream.finish()
            if told:
                self._stream_event(stream, "stream-stopped", "", self.number.voice_url)

    def _stream_event(self, stream: MediaStream, event: str, error: str, base: str) -> None:
        options = stream.options
        if not options.status_callback:
            return
        params = {
            "AccountSid": self._exchange.account_sid,
            "CallSid": self.sid,
            "StreamSid": stream.stream_id,
            "StreamName": options.name or stream.stream_id,
            "StreamEvent": event,
            "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        if error:
            params["StreamError"] = error
        url = urljoin(base, options.status_callback)
        self._exchange.webhooks.tell("stream", url, options.status_method, params, self.faults)
