"""One call leg at the emulated Telnyx: its states, webhooks, media streams and recordings.

Vendor: developers.telnyx.com, Voice API webhooks.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Callable, Collection, Mapping
from math import ceil
from time import monotonic
from typing import Any, Final, Literal

from websockets.exceptions import WebSocketException

from callflow.media.g711 import FRAME_MS
from callflow.sandbox.common.leg import Leg
from callflow.sandbox.common.phone import MUSIC_HZ, Phone, tone
from callflow.sandbox.common.referral import is_sip
from callflow.sandbox.telnyx.exchange import CONNECTION_ID, Exchange
from callflow.sandbox.telnyx.faults import Faults
from callflow.sandbox.telnyx.frames import StreamOptions
from callflow.sandbox.telnyx.media import MediaStream
from callflow.sandbox.telnyx.recorder import Recorder
from callflow.sandbox.telnyx.speak import Announcer
from callflow.sandbox.telnyx.webhooks import timestamp


USER_ID: Final = str(uuid.uuid4())
_ANSWERED_SECONDS: Final = 0.05
"""How long the media socket waits for call.answered to be delivered."""
_SIP_CAUSES: Final = {
    "originator_cancel": "487",
    "user_busy": "486",
    "call_rejected": "603",
    "normal_clearing": "200",
    "not_found": "404",
}


class Call(Leg[MediaStream, Faults]):
    """One leg. `state`: "parked" (incoming) or "bridging" (outgoing) until it is "answered", and "ended"."""

    def __init__(
        self,
        exchange: Exchange[Call],
        *,
        from_number: str,
        to_number: str,
        direction: Literal["incoming", "outgoing"] = "incoming",
        phone: Phone | None = None,
        codec: str = "PCMU",
        session_id: str | None = None,
        faults: Faults | None = None,
    ) -> None:
        super().__init__(exchange, phone, faults)
        self.control_id = self.key = f"v3:{secrets.token_urlsafe(42)}"
        self.leg_id = str(uuid.uuid1())
        self.session_id = session_id or str(uuid.uuid1())
        self.from_number = from_number
        self.to_number = to_number
        self.direction = direction
        self.codec = codec
        self.state = "parked" if direction == "incoming" else "bridging"
        self.suppresses_noise = ""
        """Whose noise is taken out: "inbound", "outbound", "both", or "" for nobody's. It is heard all the same."""
        self.digits_sent: list[str] = []
        """What the product sent with send_dtmf."""
        self.hangup_cause: str | None = None
        self.hangup_source: str | None = None
        self.start_time = timestamp()
        self.end_time: str | None = None
        self.client_state: str | None = None
        self.command_ids: dict[str, float] = {}
        """When each command_id was last used."""
        self.webhook_url: str | None = None
        self.failover_url = exchange.application.webhook_event_failover_url or ""
        """Where webhooks go that nobody takes at their own URL. That it also stands in for the URL of a command
        (`webhook_url` of an answer) is not documented (unknown)."""
        self.webhook_urls: dict[str, str] = {}
        """Webhook URLs by event type, which come before `webhook_url`."""
        self.peer: Call | None = None
        """The leg with which this one is bridged."""
        self.after_unbridge: Literal["hang_up", "park", "hold"] = "hang_up"
        """What becomes of it when its peer has gone."""
        self.on_hold = False
        self.targets: list[Call] = []
        """The legs that were dialled to transfer this one."""
        self.answering = False
        self.recording_id: str | None = None
        """Of the recording that was asked for with the dial."""
        self.has_stale_stream = False
        """Whether a stream whose socket is gone still counts as open (a fault)."""
        self.announcer = Announcer(self, exchange.tasks, exchange.timing)
        self.recorder = Recorder(self, exchange)
        self._sip = ""
        self._exchange = exchange
        exchange.calls[self.control_id] = self

    # What a test or a demo asks of a call

    @property
    def spoken(self) -> list[str]:
        """The payloads of `speak`, from when their speech began."""
        return self.announcer.spoken

    def ids(self) -> dict[str, str]:
        """Return {"call_control_id", "call_leg_id", "call_session_id"}."""
        return {
            "call_control_id": self.control_id,
            "call_leg_id": self.leg_id,
            "call_session_id": self.session_id,
        }

    async def hang_up(self, cause: str | None = None, source: str | None = None) -> None:
        """Hang up as the human does: before the answer a caller gives up and a callee rejects."""
        source = source or ("caller" if self.direction == "incoming" else "callee")
        usual = "normal_clearing"
        if self.answered_at is None:
            usual = "originator_cancel" if self.direction == "incoming" else "call_rejected"
        self.end(cause or usual, source, by=source)

    async def press(self, digit: str) -> None:
        """Press a key as the human does. Telnyx docs: a digit comes as a webhook and as a frame of the stream."""
        self.note(f"the caller pressed {digit}")
        self.emit("call.dtmf.received", {"digit": digit})
        if (stream := self.stream) is not None:
            stream.send_dtmf(digit)

    def story(self) -> str:
        """Describe what happened so far, for error messages."""
        lines = [super().story()]
        for delivery in self._exchange.deliveries_of(self.leg_id):
            if not delivery.ok:
                answer = delivery.status or delivery.error or "unanswered"
                lines.append(f"webhook {delivery.event_type} attempt {delivery.attempt}: {answer}")
        return f"{self.direction} call {self.from_number} to {self.to_number}, {self.state}: " + ", ".join(lines)

    # Webhooks

    def emit(
        self,
        event_type: str,
        extra: Mapping[str, Any] | None = None,
        *,
        numbers: bool = True,
        without: Collection[str] = (),
        undelivered: Callable[[], None] | None = None,
    ) -> None:
        """Send an event about this leg. `numbers`: with from and to, which some events do not have. `without`: fields
        that are left out. `undelivered`: called when nobody takes it."""
        payload: dict[str, Any] = {
            "call_control_id": self.control_id,
            "call_leg_id": self.leg_id,
            "call_session_id": self.session_id,
            "calling_party_type": "sip" if is_sip(self.from_number) else "pstn",
            "client_state": self.client_state,
            "connection_id": CONNECTION_ID,
        }
        if numbers:
            payload |= {"from": self.from_number, "to": self.to_number}
        payload |= extra or {}
        sent = {name: value for name, value in payload.items() if name not in without}
        url = self.webhook_urls.get(event_type) or self.webhook_url or self._exchange.webhook_url
        self._exchange.webhooks.emit(
            event_type, sent, url, self.faults, failover=self.failover_url,
            undelivered=undelivered,
        )  # fmt: skip

    def route_webhooks(self, body: Mapping[str, Any]) -> None:
        """Obey webhook_url and webhook_urls. Telnyx docs: they redirect the later webhooks of the call."""
        self.webhook_url = body.get("webhook_url") or self.webhook_url
        self.webhook_urls |= body.get("webhook_urls") or {}

    def initiated(self, extra: Mapping[str, Any] | None = None, undelivered: Callable[[], None] | None = None) -> None:
        """Send call.initiated. `undelivered`: as for `emit`."""
        self.note("ringing" if self.direction == "incoming" else "dialling")
        fields = {
            "caller_id_name": self.from_number,
            "connection_codecs": "PCMU,PCMA,G729",
            "direction": self.direction,
            "from_sip_uri": f"{self.from_number}@192.0.2.10:5060",
            "offered_codecs": f"{self.codec},G729",
            "start_time": self.start_time,
            "state": self.state,
            "to_sip_uri": f"{self.to_number}@192.0.2.20:5060",
        }
        self.emit("call.initiated", {**fields, **(extra or {})}, undelivered=undelivered)

    # States

    def answer(self, options: StreamOptions | None) -> None:
        """Begin to answer for the product: the leg is answered `Timing.answer_s` later, then the stream is opened."""
        self.answering = True
        self.note("answer commanded")
        self._exchange.tasks.spawn(self._answer(options), "answer")

    async def _answer(self, options: StreamOptions | None) -> None:
        await asyncio.sleep(self._exchange.timing.answer_s)
        if self.state != "ended":
            self.answered(options)
            if options is not None:
                # The order seen on real calls: call.answered, then the media socket. It is not guaranteed.
                await self._exchange.webhooks.attempted(self.leg_id, "call.answered", _ANSWERED_SECONDS)
                if self.state != "ended":
                    self.open_stream(options)

    def answered(self, options: StreamOptions | None = None) -> None:
        """Enter "answered" and send call.answered."""
        self.state = "answered"
        self.answered_at = monotonic()
        self.note("answered")
        self.recorder.answered()
        extra = {"codec": self.codec, "sampling_rate": 8000, "start_time": self.start_time}
        if options is not None:
            extra |= {"stream_url": options.url, "stream_track": options.track}
        self.emit("call.answered", extra)

    def end(self, cause: str, source: str, *, by: str, sip: str = "") -> None:
        """Enter "ended": the stream is stopped, then call.hangup is sent. Does nothing if the leg has ended.

        `sip` is the SIP status, when it is not the usual one of the cause.
        """
        if self.state == "ended":
            return
        self.state = "ended"
        self.hangup_cause, self.hangup_source, self.ended_by = cause, source, by
        self.ended_at = monotonic()
        self.end_time = timestamp()
        self._sip = sip or _SIP_CAUSES.get(cause, "unspecified")
        self._drop_chores()
        self.note(f"ended by the {by}: {cause}")
        self.announcer.stop()
        self._exchange.pacer.remove(self)
        self.stop_stream()
        self.phone.disconnect(self.ended_at)
        self.recorder.stop()
        for target in self.targets:
            if target.answered_at is None:
                target.end("originator_cancel", "caller", by="carrier")
        self._unbridge()
        self._exchange.tasks.spawn(self._send_hangup(), "call.hangup")

    async def _send_hangup(self) -> None:
        await asyncio.sleep(self._exchange.timing.hangup_webhook_s)
        fields: dict[str, Any] = {
            "end_time": self.end_time,
            "hangup_cause": self.hangup_cause,
            "hangup_source": self.hangup_source,
            "sip_hangup_cause": self._sip,
            "start_time": self.start_time,
        }
        if self.answered_at is not None:
            heard = sum(len(stream.log_in) for stream in self.streams)
            inbound = {"jitter_max_variance": "0.00", "jitter_packet_count": "0", "mos": "4.50"}
            packets = {"packet_count": str(self.phone.frames_taken), "skip_packet_count": "0"}
            outbound = {"packet_count": str(heard), "skip_packet_count": "0"}
            fields["call_quality_stats"] = {"inbound": {**inbound, **packets}, "outbound": outbound}
        self.emit("call.hangup", fields)
        if self._exchange.application.more.get("call_cost_in_webhooks"):
            await self._send_cost()

    async def _send_cost(self) -> None:
        if self.answered_at is None or self.ended_at is None:
            return
        total = self._exchange.price_of(self.ended_at - self.answered_at)
        if not total:
            return
        await asyncio.sleep(self._exchange.timing.cost_s)
        billed = max(ceil((self.ended_at - self.answered_at) / 60), 1) * 60
        part = {
            "billed_duration_secs": billed,
            "call_part": "call-control",
            "cost": total,
            "currency": "USD",
            "rate": f"{self._exchange.usd_per_minute:.5f}",
        }
        fields = {
            "billed_duration_secs": billed,
            "billing_group_id": None,
            "cost_parts": [part],
            "occurred_at": timestamp(),
            "status": "success",
            "total_cost": total,
        }
        self.emit("call.cost", fields, numbers=False)

    # Two legs

    def bridge(self, other: Call) -> None:
        """Connect this leg with another one: the two humans hear each other. Each leaves whom it was bridged with."""
        if self.faults.join_loses_leg:
            other.end("normal_clearing", "callee", by="callee")
            return
        for leg in (self, other):
            if leg.peer not in (None, self, other):
                leg._unbridge()
        for leg, peer in ((self, other), (other, self)):
            leg.peer, leg.heard_by = peer, [peer]
            if leg.answered_at is None:
                leg.answered()
            if leg.on_hold:
                leg.on_hold = False
                leg.emit("call.unhold")
            if leg.faults.bridge_stops_stream:
                leg.stop_stream()
            leg.note("bridged")
            leg.emit("call.bridged")
            self._exchange.pacer.add(leg)

    def _unbridge(self) -> None:
        peer, self.peer = self.peer, None
        self.heard_by = []
        if peer is None or peer.state == "ended":
            return
        peer.peer, peer.heard_by = None, []
        after, peer.after_unbridge = peer.after_unbridge, "hang_up"
        peer.note(f"its peer has gone: {after}")
        if after == "hang_up":
            peer.end("normal_clearing", self.hangup_source or "unknown", by="carrier")
        elif after == "hold":
            # Which webhook follows, and what is heard on hold, is not documented (unknown).
            peer.on_hold = True
            peer.emit("call.hold")
            peer.chore(peer._music(), "hold")

    async def _music(self) -> None:
        line = self.phone.line("hold")
        try:
            while self.on_hold:
                line.play(tone(FRAME_MS, MUSIC_HZ), monotonic())
                await asyncio.sleep(FRAME_MS / 1000)
        finally:
            line.stop(monotonic())

    def hearers(self, legs: str) -> list[Phone]:
        """Return the phones that `target_legs` stands for: "self", "opposite" (nobody without a bridge) or "both"."""
        own = [self.phone] if legs in ("self", "both") else []
        peer = [self.peer.phone] if self.peer is not None and legs in ("opposite", "both") else []
        return own + peer

    # Audio

    def tick(self, at: float) -> None:
        """Move 20 ms of what the human says. What is said while no stream is open is lost, as on a real call."""
        frame = self.phone.next_frame(at)
        if (stream := self.stream) is not None:
            stream.send_caller(frame, at, self.phone.heard_between)
        self.pass_on(frame, at)

    def open_stream(self, options: StreamOptions) -> None:
        """Begin to open a media stream, as the faults allow."""
        start: dict[str, Any] = {
            "user_id": USER_ID,
            "call_control_id": self.control_id,
            "call_session_id": self.session_id,
            "from": self.from_number,
            "to": self.to_number,
            "tags": [],
            "client_state": self.client_state,
        }
        stream = MediaStream(
            options,
            leg_codec=self.codec,
            start=start,
            listeners=lambda: self.hearers(options.target_legs),
            faults=lambda: self.faults,
            tasks=self._exchange.tasks,
            timing=self._exchange.timing,
            changed=self._exchange.changed,
        )
        self.streams.append(stream)
        if self.faults.never_connect:
            self.note("the media socket is never opened (fault)")
        else:
            self._exchange.tasks.spawn(self._run_stream(stream), "stream")

    async def _run_stream(self, stream: MediaStream) -> None:
        options = stream.options
        try:
            if self.faults.connect_fails:
                raise OSError("the faults ask for it")
            await stream.connect(self._exchange.webhooks.hosts)
        except (OSError, TimeoutError, ValueError, WebSocketException) as error:
            self.note(f"media socket failed: {type(error).__name__}: {error}")
            stream.fail()
            if self.state != "ended":
                self._stream_failed(stream, "connection_failed")
            return
        if stream.ended:
            return
        self.note("media socket connected")
        self.emit("streaming.started", {"stream_url": options.url}, numbers=False)
        # A stream that was asked for when dialling is opened at once, its start comes with the answer.
        await self._exchange.changed.until(lambda: self.state != "bridging" or stream.ended, None, self.story)
        if not self.faults.no_start and not stream.ended:
            stream.start()
            self.note("streaming")
            self._exchange.pacer.add(self)
        how = await stream.over()
        if how == "stopped":
            return
        if self.faults.stale_streams > 0:
            self.faults.stale_streams -= 1
            self.has_stale_stream = True
        # Which event follows a socket that the application closed or that broke is not documented (unknown).
        self.note(f"media socket {how}")
        if how == "closed":
            self.emit("streaming.stopped", {"stream_url": options.url}, numbers=False)
        else:
            self._stream_failed(stream, "connection_lost")
        if (pause := self.faults.reconnect_after_s) is not None:
            await asyncio.sleep(pause)
            if self.state == "answered" and self.stream is None:
                self.open_stream(options)

    def _stream_failed(self, stream: MediaStream, reason: str) -> None:
        params = {"stream_url": stream.options.url, "stream_track": stream.options.track}
        fields = {
            "failure_reason": reason,
            "stream_id": stream.stream_id,
            "stream_params": params,
            "stream_type": "websocket",
        }
        self.emit("streaming.failed", fields, numbers=False)

    def stop_stream(self) -> None:
        """Stop the stream that is open, if there is one."""
        if (stream := self.stream) is not None:
            stream.finish()
            if stream.connected:
                self.emit("streaming.stopped", {"stream_url": stream.options.url}, numbers=False)
