"""One call leg at the emulated Twilio: its states, documents, callbacks and media streams.

Vendor: www.twilio.com/docs/voice/api/call-resource#call-status-values
"""

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
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.twilio.dial_verb import Dial
from callflow.sandbox.twilio.errors import TwimlError
from callflow.sandbox.twilio.exchange import Exchange, Number
from callflow.sandbox.twilio.faults import Faults, Timing
from callflow.sandbox.twilio.frames import StreamOptions
from callflow.sandbox.twilio.media import MediaStream
from callflow.sandbox.twilio.player import Player
from callflow.sandbox.twilio.recorder import Recorder
from callflow.sandbox.twilio.refer_verb import refer
from callflow.sandbox.twilio.speak import Announcer


TERMINAL: Final = ("completed", "busy", "failed", "no-answer", "canceled")
"""The values of `status` with which a call has ended."""
DECLINED: Final = "603"
_SIP: Final = {"completed": "200", "busy": "486", "no-answer": "487", "canceled": "487", "failed": "404"}
"""SipResponseCode by status. Twilio docs: unreachable 404, ring timeout 487."""
_PARTIES: Final = ("From", "To", "Caller", "Called")


class Call(Leg[MediaStream, Faults]):
    """One leg. `status` is that of Twilio's REST resource."""

    def __init__(
        self,
        exchange: Exchange[Call],
        number: Number,
        *,
        from_number: str,
        to_number: str,
        direction: Literal["inbound", "outbound-api", "outbound-dial"] = "inbound",
        phone: Phone | None = None,
        faults: Faults | None = None,
        params: Mapping[str, str] | None = None,
        parent: Call | None = None,
    ) -> None:
        super().__init__(exchange, phone, faults)
        self.sid = self.key = "CA" + secrets.token_hex(16)
        self.account_sid: str = parent.account_sid if parent is not None else exchange.account_sid
        """Whose call it is."""
        self.parent = parent
        """The call whose `<Dial>` began this one."""
        self.from_number, self.to_number = from_number, to_number
        self.direction = direction
        self.status = "ringing" if direction == "inbound" else "queued"
        self.number = number
        self.documents: list[str] = []
        """Every document that was given to it, in order."""
        self.errors: list[tuple[int, str]] = []
        """The errors that Twilio's debugger would show: code and reason."""
        self.warnings: list[tuple[int, str]] = []
        """The warnings that it would show."""
        self.created = datetime.now(UTC)
        self.started: datetime | None = self.created if direction == "inbound" else None
        """When it rang, of an incoming call when it was answered; None: it is still queued."""
        self.queue_ms = 0
        """How long it was queued, because the account dials too often."""
        self.time_limit = 0
        """The TimeLimit that was asked for, in seconds; 0: none."""
        self.answered_by: str | None = None
        """What answering machine detection found."""
        self.answered_by_is_told = False
        """Whether the status callback says it, too: the detection was not asynchronous."""
        self.finished: datetime | None = None
        self.fallback = (number.voice_fallback_url, number.voice_fallback_method)
        """URL and method of the document that is used when another one fails."""
        self.callback = (number.status_callback, number.status_callback_method)
        """URL and method of the status callback."""
        self.callback_events: tuple[str, ...] = ("completed",)
        self.digits: asyncio.Queue[str] = asyncio.Queue()
        """Keys that were pressed while no stream was open, and the call was not connected with another one."""
        self.digits_sent: list[str] = []
        """What Twilio pressed on this leg (sendDigits)."""
        self.redirected = False
        """Whether it was given a document of its own, not only that of a `<Number url>`."""
        self.on_star: Callable[[], None] | None = None
        """What the key * does while the call is connected with another one (hangupOnStar)."""
        self.announcer = Announcer(self, exchange.timing)
        self.recorder = Recorder(self, exchange)
        self._params = dict(params or {})
        self._exchange = exchange
        self._sequence = 0
        self._sip = ""
        self._player = Player(self)
        self._document: asyncio.Task[None] | None = None
        exchange.calls[self.sid] = self

    # What a test or a demo asks of a call

    @property
    def spoken(self) -> list[str]:
        """The texts of `<Say>`, from when their speech began."""
        return self.announcer.spoken

    @property
    def state(self) -> str:
        """ "ringing", "answered" or "ended"."""
        return "ended" if self.status in TERMINAL else "answered" if self.answered_at is not None else "ringing"

    def ids(self) -> dict[str, str]:
        """Return {"call_sid"}."""
        return {"call_sid": self.sid}

    async def hang_up(self) -> None:
        """Hang up as the human does."""
        by = "caller" if self.direction == "inbound" else "callee"
        if self.answered_at is not None:
            self.end("completed", by=by)
        elif self.direction == "inbound":
            # The status of an inbound call that the caller gives up while it rings is not documented (unknown).
            self.end("no-answer", by=by)
        else:
            self.end("busy", by=by, sip=DECLINED)

    async def press(self, digit: str) -> None:
        """Press a key as the human does: a frame of the stream, or a digit for a `<Gather>`."""
        self.note(f"the caller pressed {digit}")
        if (stream := self.stream) is not None:
            stream.send_dtmf(digit)
        elif self.on_star is not None and digit == "*":
            self.on_star()
        elif not self.heard_by:
            self.digits.put_nowait(digit)

    def story(self) -> str:
        """Describe what happened so far, for error messages."""
        lines = [super().story()]
        lines += [f"error {code}: {detail}" for code, detail in self.errors]
        return f"{self.direction} call {self.from_number} to {self.to_number}, {self.status}: " + ", ".join(lines)

    def fail(self, error: TwimlError) -> None:
        """Add an error to those that Twilio's debugger would show."""
        self.errors.append((error.code, error.detail))
        self.note(f"error {error.code}")

    def warn(self, error: TwimlError) -> None:
        """Add a warning to those that Twilio's debugger would show."""
        self.warnings.append((error.code, error.detail))

    # Documents

    def ring(self) -> None:
        """Request the number's VoiceUrl and run its document."""
        self.note("ringing")
        self.run_from(self.number.voice_url, self.number.voice_method)

    def run_from(self, url: str, method: str, extra: Mapping[str, str] | None = None) -> None:
        """Run the document at a URL instead of the present one. `extra` parameters go with its request."""
        self._replace(lambda: self._player.fetch(url, method, extra))

    def run_text(self, text: str) -> None:
        """Run a document instead of the present one."""
        self._replace(lambda: self._player.play(text, self.number.voice_url, self.number.voice_method))

    def _replace(self, work: Callable[[], Any]) -> None:
        """Start another document. Twilio docs: new TwiML discards what is running, a media stream included."""
        if self._document is not None:
            self._document.cancel()
        self.stop_stream()
        self.redirected = True
        self._document = self._exchange.tasks.spawn(work(), "document")
        self._exchange.changed()

    async def screen(self, url: str, method: str) -> None:
        """Play the document of a `<Number url>` to whoever has answered, until it is over or something else is."""
        self._document = self._exchange.tasks.spawn(Player(self, "whisper").fetch(url, method), "document")
        await asyncio.wait([self._document])

    async def wait_in(self, url: str, method: str, extra: Mapping[str, str]) -> None:
        """Play a conference's waitUrl. Raises TwimlError."""
        await Player(self, "wait").fetch(url, method, extra)

    async def dial(self, dial: Dial, base: str) -> dict[str, str] | None:
        """Run a `<Dial>` and return what its `action` is told."""
        told = await self._exchange.dial(self, dial, base)
        while not self.digits.empty():
            self.digits.get_nowait()  # keys that were pressed meanwhile are not for a later <Gather>
        return told

    async def refer(self, address: str) -> dict[str, str]:
        """Run a `<Refer>` and return what its `action` is told. Raises TwimlError."""
        return await refer(self, address, self._exchange.callee_of(address))

    def abandoned(self, dial: Dial, base: str) -> None:
        """Request the `action` of a `<Dial>` during which the caller has hung up, if the faults say so."""
        if self.faults.action_after_hangup and dial.action:
            url = urljoin(base, dial.action)
            params = self.params({"DialCallStatus": "completed"})
            self._exchange.webhooks.notify("voice", url, dial.method, params, self.faults)

    async def document(self, url: str, method: str, extra: Mapping[str, str]) -> str:
        """Request a document. Raises TwimlError."""
        return await self._exchange.webhooks.document(url, method, self.params(extra), self.faults)

    def params(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the parameters of a request about this call, with `extra` ones.

        The parameters of places are often blank; they are part of the signature all the same.
        """
        params = {
            "AccountSid": self.account_sid,
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
            for party in _PARTIES:
                params |= {f"{party}City": "", f"{party}State": "CA", f"{party}Zip": "", f"{party}Country": "US"}
            params["StirVerstat"] = "TN-Validation-Passed-A"
            params["CallToken"] = '{"parentCallInfoToken":"sandbox","identityHeaderTokens":[]}'
        if self.parent is not None:
            params["ParentCallSid"] = self.parent.sid
        return {**params, **self._params, **(extra or {})}

    def route_webhooks(self, values: Mapping[str, str]) -> None:
        """Obey FallbackUrl and StatusCallback of a REST request."""
        if "FallbackUrl" in values:
            self.fallback = (values["FallbackUrl"], values.get("FallbackMethod", "POST"))
        if "StatusCallback" in values:
            self.callback = (values["StatusCallback"], values.get("StatusCallbackMethod", "POST"))

    # States

    def answer(self) -> None:
        """Answer, unless that is done: the first verb does it that is neither a pause nor a rejection."""
        if self.answered_at is None and self.state != "ended":
            self.status = "in-progress"
            self.answered_at = monotonic()
            if self.direction == "inbound":
                self.started = datetime.now(UTC)
            self.note("answered")
            self._exchange.pacer.add(self)
            self.send_status("answered")

    def record(self, values: Mapping[str, str]) -> None:
        """Record from here on, as `<Start><Recording>` asks: with live calls always in two channels."""
        self.recorder.start({**values, "RecordingChannels": "dual"}, "StartCallRecordingTwiML")

    def limit(self, seconds: int) -> None:
        """End the call so many seconds after the answer: TimeLimit. A later limit replaces an earlier one."""
        self.time_limit = seconds
        if self.answered_at is not None:
            self.chore(self._end_after(self.answered_at, seconds), "time limit")

    async def _end_after(self, since: float, seconds: int) -> None:
        await asyncio.sleep(max(0.0, since + seconds * self.timing.second_s - monotonic()))
        if self.time_limit == seconds:
            self.end("completed", by="carrier")

    def end(self, status: str, *, by: str, sip: str = "") -> None:
        """Set the final status: the stream is stopped, and the status callback is sent. Does nothing after the end.

        `sip` is the SIP status, when it is not the usual one.
        """
        if self.state == "ended":
            return
        self.status, self.ended_by = status, by
        self.ended_at = monotonic()
        self.finished = datetime.now(UTC)
        self._sip = sip or _SIP.get(status, "")
        self._drop_chores()
        self.note(f"ended by the {by}: {status}")
        if self._document is not None and self._document is not asyncio.current_task():
            self._document.cancel()
        self._exchange.pacer.remove(self)
        self.stop_stream()
        self.phone.disconnect(self.ended_at)
        self.recorder.stop()
        self.send_status("completed")

    @property
    def duration(self) -> int:
        """Seconds from answer to end, up to now."""
        if self.answered_at is None:
            return 0
        return round((monotonic() if self.ended_at is None else self.ended_at) - self.answered_at)

    def send_status(self, event: str) -> None:
        """Send a status callback, if it was asked for; for inbound calls there is one about the end only."""
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
            if self.direction != "inbound":
                extra |= {"SipResponseCode": self._sip, **self.recorder.with_status()}
            if self.answered_by is not None and self.answered_by_is_told:
                extra["AnsweredBy"] = self.answered_by
        self._exchange.webhooks.notify("status", url, method, self.params(extra), self.faults, event)

    # Audio

    def tick(self, at: float) -> None:
        """Move 20 ms of what the human says. What is said while no stream is open is lost, as on a real call."""
        frame = self.phone.next_frame(at)
        if (stream := self.stream) is not None:
            stream.send_caller(frame, at)
        self.pass_on(frame, at)

    @property
    def timing(self) -> Timing:
        """How long the carrier takes."""
        return self._exchange.timing

    # The stream

    def listen(self, options: StreamOptions) -> str:
        """Open a stream in one direction, which goes on beside the document, and return its SID."""
        stream = self._make_stream(options)
        self.chore(self._run_stream(stream, ""), "one-way stream")
        return stream.stream_id

    async def connect(self, options: StreamOptions, base: str) -> None:
        """Open a media stream and wait, as `<Connect>` does, until it is over for any reason."""
        await self._run_stream(self._make_stream(options), base)

    def _make_stream(self, options: StreamOptions) -> MediaStream:
        stream = MediaStream(
            options,
            account_sid=self.account_sid,
            call_sid=self.sid,
            phone=self.phone,
            faults=lambda: self.faults,
            tasks=self._exchange.tasks,
            timing=self.timing,
            changed=self._exchange.changed,
        )
        self.streams.append(stream)
        return stream

    async def _run_stream(self, stream: MediaStream, base: str) -> None:
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
        """Stop the stream that is open, if there is one; one in one direction goes on until the call ends."""
        if (stream := self.stream) is not None and (self.state == "ended" or not stream.options.one_way):
            was_connected = stream.connected
            stream.finish()
            if was_connected:
                self._stream_event(stream, "stream-stopped", "", self.number.voice_url)

    def _stream_event(self, stream: MediaStream, event: str, error: str, base: str) -> None:
        options = stream.options
        if not options.status_callback:
            return
        params = {
            "AccountSid": self.account_sid,
            "CallSid": self.sid,
            "StreamSid": stream.stream_id,
            "StreamName": options.name or stream.stream_id,
            "StreamEvent": event,
            "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        if error:
            params["StreamError"] = error
        url = urljoin(base, options.status_callback)
        self._exchange.webhooks.notify("stream", url, options.status_method, params, self.faults, event)
