"""Outgoing legs: dial and transfer, and how the person or machine at the other end reacts.

Vendor: developers.telnyx.com, Dial, and Transfer call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final, Literal

from callflow.media.g711 import FRAME_MS
from callflow.sandbox.common.callee import Callee, pick_up
from callflow.sandbox.common.phone import RINGING_HZ, tone
from callflow.sandbox.telnyx.amd import Detector
from callflow.sandbox.telnyx.call import Call
from callflow.sandbox.telnyx.exchange import Exchange
from callflow.sandbox.telnyx.frames import StreamOptions
from callflow.sandbox.telnyx.limits import DialLimits


_RINGS_S: Final = 30
_LASTS_S: Final = 14400
"""Telnyx docs: the defaults of timeout_secs and time_limit_secs."""


def after_unbridge(body: Mapping[str, Any]) -> Literal["hang_up", "park", "hold"]:
    """Return what a command says becomes of its leg when the peer has gone. Telnyx docs: without a word, hang up."""
    if body.get("park_after_unbridge") == "self":
        return "park"
    return "hold" if body.get("hold_after_unbridge") else "hang_up"


def _is_dial(body: Mapping[str, Any]) -> bool:
    """Whether a body is that of a dial, not of a transfer."""
    return "connection_id" in body


class OutboundCalls:
    """Dials phones. Request bodies have been validated before."""

    def __init__(self, exchange: Exchange[Call]) -> None:
        self._exchange = exchange
        self._limits = DialLimits(exchange)

    def dial(self, body: Mapping[str, Any], link: Call | None) -> Call:
        """Start a new leg (`POST /calls`), in the session of `link` if there is one, else in one of its own.

        Raises ApiError when the account may not.
        """
        self._limits.check(body)
        number = body["to"] if isinstance(body["to"], str) else body["to"][0]
        one_too_many = self._limits.exceeded
        own = link.from_number if link is not None and body.get("bridge_intent") else body["from"]
        leg = self._leg(own, number, link, body, body.get("client_state"))
        leg.initiated()
        leg.after_unbridge = after_unbridge(body)
        options = StreamOptions.from_body(body) if body.get("stream_url") else None
        if body.get("record"):
            leg.recording_id = leg.recorder.from_answer(body)
        if options is not None:
            # Seen on live calls: the socket is opened while the phone still rings, `start` comes with the answer.
            leg.open_stream(options)
        bridges = link if body.get("bridge_on_answer") else None
        self._ring(leg, body, lambda: leg.answered(options), one_too_many, bridges)
        return leg

    def transfer(self, call: Call, body: Mapping[str, Any]) -> Call:
        """Start a second leg for a call. Telnyx docs: on answer both are bridged; on failure only the new leg ends."""
        one_too_many = self._limits.exceeded
        # Telnyx docs: `from` is the `to` of the original call when it is left out.
        leg = self._leg(body.get("from") or call.to_number, body["to"], call, body, body.get("target_leg_client_state"))
        leg.webhook_url = body.get("webhook_url") or call.webhook_url
        leg.initiated()
        call.targets.append(leg)
        if body.get("record"):
            leg.recorder.from_answer(body)
        self._ring(leg, body, leg.answered, one_too_many, call)
        return leg

    def forward(self, call: Call, number: str) -> None:
        """Connect a call that comes in with the number that its own one forwards to, in the caller's name. When that is
        busy, or gives no answer, the call ends likewise."""
        call.note(f"forwarded to {number}")
        leg = self._leg(call.from_number, number, call, {}, None)
        call.targets.append(leg)
        self._ring(leg, {}, leg.answered, False, call)
        call.chore(self._follow(call, leg), "forwarding")

    async def _follow(self, call: Call, leg: Call) -> None:
        await self._exchange.changed.until(lambda: leg.ended_at or leg.peer, None, call.story)
        if leg.peer is None and leg.hangup_cause is not None:
            call.end(leg.hangup_cause, "callee", by="carrier")

    def _leg(self, own: str, other: str, first: Call | None, body: Mapping[str, Any], state: str | None) -> Call:
        leg = Call(
            self._exchange,
            from_number=own,
            to_number=other,
            direction="outgoing",
            phone=self._exchange.phones.get(other),
            session_id=first.session_id if first is not None else None,
            faults=self._exchange.faults_of.get(other),
        )
        leg.client_state = state
        leg.route_webhooks(body)
        return leg

    def _ring(
        self,
        leg: Call,
        body: Mapping[str, Any],
        answered: Callable[[], None],
        one_too_many: bool,
        bridges: Call | None,
    ) -> None:
        """Let a phone ring; `answered` is what its answer does, then the leg is bridged with `bridges`."""
        work = self._wait_for_answer(leg, body, answered, one_too_many, bridges)
        self._exchange.tasks.spawn(work, "ringing")

    async def _wait_for_answer(
        self,
        leg: Call,
        body: Mapping[str, Any],
        answered: Callable[[], None],
        one_too_many: bool,
        bridges: Call | None,
    ) -> None:
        timing = self._exchange.timing
        callee = self._exchange.callee_of(leg.to_number)
        rings = timing.ring_s if callee.ring_s is None else callee.ring_s
        longest = (body.get("timeout_secs") or _RINGS_S) * timing.second_s
        if callee.does == "no_answer":
            rings, longest = longest + 1, min(longest, timing.no_answer_s)
        tones = self._exchange.tasks.spawn(self._ringback(leg, bridges, body), "ringing tone")
        if await leg.rings(timing.ring_s if one_too_many else min(rings, longest)):
            rings = 0
        tones.cancel()
        if leg.state == "ended":
            return
        if one_too_many:
            # Telnyx docs: SIP 403 "User channel limit exceeded D1"; the webhook's cause for it is not (unknown).
            leg.end("call_rejected", "unknown", by="carrier", sip="403")
        elif rings > longest:
            # Telnyx docs: with retry_on_timeout=false an unanswered call says no_answer instead of timeout.
            leg.end("no_answer" if body.get("retry_on_timeout") is False else "timeout", "caller", by="carrier")
        elif callee.does == "busy":
            leg.end("user_busy", "callee", by="callee")
        elif callee.does == "rejects":
            leg.end("call_rejected", "callee", by="callee")
        elif callee.does == "not_reachable":
            leg.end("not_found", "callee", by="carrier")
        else:
            answered()
            self._picked_up(leg, callee, body)
            if bridges is not None:
                await self._join(leg, body, bridges)

    async def _ringback(self, leg: Call, call: Call | None, body: Mapping[str, Any]) -> None:
        """Let the human of a transferred call hear that it rings. Telnyx docs: not with early_media=false."""
        if call is None or call.answered_at is None or _is_dial(body) or body.get("early_media") is False:
            return
        line = call.phone.line("ringing")
        try:
            while "ended" not in (call.state, leg.state):
                line.play(tone(FRAME_MS, RINGING_HZ), monotonic())
                await asyncio.sleep(FRAME_MS / 1000)
        finally:
            line.stop(monotonic())

    async def _join(self, leg: Call, body: Mapping[str, Any], call: Call) -> None:
        """Bridge a leg that has answered. Telnyx docs: audio_url is played to it before that."""
        if body.get("audio_url") or body.get("media_name"):
            leg.announcer.play({name: body[name] for name in ("audio_url", "media_name") if body.get(name)})
            await leg.announcer.played()
        if leg.state == "ended":
            return
        if call.state == "ended":
            leg.end("originator_cancel", "caller", by="carrier")
        elif body.get("prevent_double_bridge") and call.peer is not None:
            leg.end("normal_clearing", "unknown", by="carrier")
        else:
            if not _is_dial(body):
                call.after_unbridge = after_unbridge(body)
            call.bridge(leg)

    def _picked_up(self, leg: Call, callee: Callee, body: Mapping[str, Any]) -> None:
        self._exchange.pacer.add(leg)
        leg.chore(self._end_after(leg, body.get("time_limit_secs") or _LASTS_S), "time limit")
        leg.chore(pick_up(callee, leg), "callee")
        if digits := body.get("send_digits_on_answer"):
            leg.digits_sent.append(digits)
        if body.get("answering_machine_detection") not in (None, "disabled"):
            self._exchange.tasks.spawn(Detector(self._exchange, leg, callee, body).run(), "detection")

    async def _end_after(self, leg: Call, seconds: int) -> None:
        await asyncio.sleep(seconds * self._exchange.timing.second_s)
        leg.end("time_limit", "unknown", by="carrier")
