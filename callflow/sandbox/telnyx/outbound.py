"""Outgoing legs: dial and transfer, and how the person or machine at the other end reacts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from callflow.sandbox.common.callee import Callee, pick_up
from callflow.sandbox.telnyx.amd import Detector
from callflow.sandbox.telnyx.call import Call
from callflow.sandbox.telnyx.exchange import Exchange
from callflow.sandbox.telnyx.frames import StreamOptions
from callflow.sandbox.telnyx.limits import DialLimits


_RINGS_S: Final = 30
_LASTS_S: Final = 14400
"""Telnyx docs: the defaults of timeout_secs and time_limit_secs."""


class OutboundCalls:
    """Dials phones. Request bodies have been validated before."""

    def __init__(self, exchange: Exchange[Call]) -> None:
        self._exchange = exchange
        self._limits = DialLimits(exchange)

    def dial(self, body: Mapping[str, Any]) -> Call:
        """Start a new leg with a call session of its own (`POST /calls`). Raises ApiError when the account may not."""
        self._limits.check(body)
        number = body["to"] if isinstance(body["to"], str) else body["to"][0]
        one_too_many = self._limits.exceeded
        leg = self._leg(body["from"], number, None, body)
        options = StreamOptions.from_body(body) if body.get("stream_url") else None
        if body.get("record"):
            leg.recording_id = leg.recorder.from_answer(body)
        if options is not None:
            # Seen on live calls: the socket is opened while the phone still rings, `start` comes with the answer.
            leg.open_stream(options)
        self._ring(leg, body, lambda: leg.answered(options), one_too_many)
        return leg

    def transfer(self, call: Call, body: Mapping[str, Any]) -> Call:
        """Start a second leg for a call. Telnyx docs: on answer both are bridged; on failure only the new leg ends."""
        one_too_many = self._limits.exceeded
        leg = self._leg(body.get("from") or call.from_number, body["to"], call, body)
        leg.client_state = body.get("target_leg_client_state")
        call.park_after_unbridge = body.get("park_after_unbridge") == "self"
        if body.get("record"):
            leg.recorder.from_answer(body)

        def connect() -> None:
            if call.state == "ended":
                leg.end("originator_cancel", "caller", by="carrier")
            else:
                leg.answered()
                call.bridge(leg)

        self._ring(leg, body, connect, one_too_many)
        return leg

    def _leg(self, from_number: str, to_number: str, first: Call | None, body: Mapping[str, Any]) -> Call:
        leg = Call(
            self._exchange,
            from_number=from_number,
            to_number=to_number,
            direction="outgoing",
            phone=self._exchange.phones.get(to_number),
            session_id=first.session_id if first is not None else None,
        )
        leg.client_state = body.get("client_state") if first is None else None
        leg.webhook_url = first.webhook_url if first is not None else None
        leg.route_webhooks(body)
        leg.initiated()
        return leg

    def _ring(self, leg: Call, body: Mapping[str, Any], connect: Callable[[], None], one_too_many: bool) -> None:
        self._exchange.tasks.spawn(self._wait_for_answer(leg, body, connect, one_too_many), "ringing")

    async def _wait_for_answer(
        self, leg: Call, body: Mapping[str, Any], connect: Callable[[], None], one_too_many: bool
    ) -> None:
        timing = self._exchange.timing
        callee = self._exchange.callee_of(leg.to_number)
        rings = timing.ring_s if callee.ring_s is None else callee.ring_s
        longest = (body.get("timeout_secs") or _RINGS_S) * timing.second_s
        if callee.does == "no_answer":
            rings, longest = longest + 1, min(longest, timing.no_answer_s)
        if await leg.rings(timing.ring_s if one_too_many else min(rings, longest)):
            rings = 0
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
            connect()
            if leg.state == "answered":
                self._picked_up(leg, callee, body)

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
