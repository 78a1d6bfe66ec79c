"""Outgoing legs: dial and transfer, and how the person at the other end reacts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from callflow.sandbox.telnyx.call import Call
from callflow.sandbox.telnyx.exchange import Exchange
from callflow.sandbox.telnyx.frames import StreamOptions


class OutboundCalls:
    """Dials phones. Request bodies have been validated before."""

    def __init__(self, exchange: Exchange[Call]) -> None:
        self._exchange = exchange

    def dial(self, body: Mapping[str, Any]) -> Call:
        """Start a new leg with a call session of its own (`POST /calls`)."""
        number = body["to"] if isinstance(body["to"], str) else body["to"][0]
        leg = self._leg(body["from"], number, None, body)
        options = StreamOptions.from_body(body) if body.get("stream_url") else None
        if body.get("record"):
            leg.start_recording(body)
        if options is not None:
            # Seen on live calls: the socket is opened while the phone still rings, `start` comes with the answer.
            leg.open_stream(options)
        self._ring(leg, body, lambda: leg.answered(options))
        return leg

    def transfer(self, call: Call, body: Mapping[str, Any]) -> Call:
        """Start a second leg for a call. Telnyx docs: on answer both are bridged; on failure only the new leg ends."""
        leg = self._leg(body.get("from") or call.from_number, body["to"], call, body)
        leg.client_state = body.get("target_leg_client_state")
        call.park_after_unbridge = body.get("park_after_unbridge") == "self"

        def connect() -> None:
            if call.state == "ended":
                leg.end("originator_cancel", "caller", by="carrier")
            else:
                leg.answered()
                call.bridge(leg)

        self._ring(leg, body, connect)
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

    def _ring(self, leg: Call, body: Mapping[str, Any], connect: Callable[[], None]) -> None:
        self._exchange.tasks.spawn(self._wait_for_answer(leg, body, connect), "ringing")

    async def _wait_for_answer(self, leg: Call, body: Mapping[str, Any], connect: Callable[[], None]) -> None:
        timing = self._exchange.timing
        callee = self._exchange.callee
        await asyncio.sleep(timing.no_answer_s if callee == "no_answer" else timing.ring_s)
        if leg.state == "ended":
            return
        match callee:
            case "busy":
                leg.end("user_busy", "callee", by="callee")
            case "rejects":
                leg.end("call_rejected", "callee", by="callee")
            case "no_answer":
                # Telnyx docs: with retry_on_timeout=false an unanswered call says no_answer instead of timeout.
                leg.end("no_answer" if body.get("retry_on_timeout") is False else "timeout", "caller", by="carrier")
            case _:
                connect()
