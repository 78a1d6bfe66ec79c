"""Outgoing calls, and how the person at the other end reacts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.exchange import Exchange


class OutboundCalls:
    """Dials phones. The forms have been validated before."""

    def __init__(self, exchange: Exchange[Call]) -> None:
        self._exchange = exchange

    def dial(self, values: Mapping[str, str], events: Sequence[str]) -> Call:
        """Start a call (`POST /Calls.json`). `events` are those of which the status callback is told."""
        exchange = self._exchange
        own, other = values["From"], values["To"]
        call = Call(
            exchange,
            exchange.number(own),
            from_number=own,
            to_number=other,
            direction="outbound-api",
            phone=exchange.phones.get(other),
        )
        call.callback, call.fallback = ("", "POST"), ("", "POST")
        call.route_webhooks(values)
        call.callback_events = tuple(events) or ("completed",)
        exchange.tasks.spawn(self._ring(call, values), "dialling")
        return call

    async def _ring(self, call: Call, values: Mapping[str, str]) -> None:
        timing, callee = self._exchange.timing, self._exchange.callee
        call.send_status("initiated")
        call.status = "ringing"
        call.note("dialling")
        call.send_status("ringing")
        if callee != "answers":
            await asyncio.sleep(timing.no_answer_s if callee == "no-answer" else timing.ring_s)
            call.end(callee, by="callee")
            return
        await asyncio.sleep(timing.ring_s)
        if call.state == "ended":
            return
        call.answer()
        if text := values.get("Twiml"):
            call.run_text(text)
        else:
            call.run_from(values["Url"], values.get("Method", "POST"))
