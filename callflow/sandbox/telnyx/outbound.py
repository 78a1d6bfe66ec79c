"""Outgoing legs: dial and transfer, and the people at the other end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from callflow.sandbox.telnyx.call import Call
from callflow.sandbox.telnyx.exchange import Switch
from callflow.sandbox.telnyx.frames import StreamOptions


class Dialling:
    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def dial(self, body: Mapping[str, Any]) -> Call:
        """POST /calls: a new leg, of a session of its own."""
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
        """Telnyx docs: a second leg is called and bridged; if that fails only the new leg ends."""
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
            self._switch,
            from_number=from_number,
            to_number=to_number,
            direction="outgoing",
            phone=self._switch.phones.get(to_number),
            session_id=first.session_id if first is not None else None,
        )
        leg.client_state = body.get("client_state") if first is None else None
        leg.webhook_url = first.webhook_url if first is not None else None
        leg.route_webhooks(body)
        leg.initiated()
        return leg

    def _ring(self, leg: Call, body: Mapping[str, Any], connect: Callable[[], None]) -> None:
        self._switch.tasks.spawn(self._wait_for_answer(leg, body, connect), "ringing")

    async def _wait_for_answer(self, leg: Call, body: Mapping[str, Any], connect: Callable[[], None]) -> None:
        timing = self._switch.timing
        callee = self._switch.callee
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
