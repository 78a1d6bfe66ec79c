"""Outgoing calls, and how the person or machine at the other end reacts.

Vendor: www.twilio.com/docs/voice/api/call-resource.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Final

from callflow.sandbox.common.callee import Callee, pick_up
from callflow.sandbox.twilio.amd import Detector
from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.errors import TwimlError, refusal
from callflow.sandbox.twilio.exchange import Exchange
from callflow.sandbox.twilio.ringing import ring


_RINGS: Final = "60"
_LASTS: Final = "14400"
"""Twilio docs: the defaults of Timeout and TimeLimit, in seconds."""


class OutboundCalls:
    """Dials phones. The forms have been validated before."""

    def __init__(self, exchange: Exchange[Call]) -> None:
        self._exchange = exchange
        self._next_at = 0.0

    def dial(self, values: Mapping[str, str], events: Sequence[str], account_sid: str) -> Call:
        """Start a call (`POST /Calls.json`) of an account. `events` are those of which the status callback is told.

        Raises ApiError (429) when the account has as many calls as it may.
        """
        exchange, account = self._exchange, self._exchange.account
        alive = sum(call.direction != "inbound" and call.state != "ended" for call in exchange.calls.values())
        if account.calls_at_once is not None and alive >= account.calls_at_once:
            raise refusal(429)
        own, other = values["From"], values["To"]
        call = Call(
            exchange,
            exchange.number(own),
            from_number=own,
            to_number=other,
            direction="outbound-api",
            phone=exchange.phones.get(other),
            faults=exchange.faults_of.get(other),
        )
        call.account_sid = account_sid
        call.callback, call.fallback = ("", "POST"), ("", "POST")
        call.route_webhooks(values)
        call.callback_events = tuple(events) or ("completed",)
        exchange.tasks.spawn(self._ring(call, values, self._queued_s()), "dialling")
        return call

    def _queued_s(self) -> float:
        """How long the next call is queued."""
        pace, now = self._exchange.account.calls_per_second, monotonic()
        if pace is None:
            return 0.0
        at = max(now, self._next_at)
        self._next_at = at + 1 / pace
        return at - now

    async def _ring(self, call: Call, values: Mapping[str, str], queued_s: float) -> None:
        if queued_s:
            call.note("queued")
            call.queue_ms = round(queued_s * 1000)
            await asyncio.sleep(queued_s)
        if call.state == "ended":
            return
        longest = int(values.get("Timeout", _RINGS)) * self._exchange.timing.second_s
        if (callee := await ring(self._exchange, call, longest)) is not None:
            await self._picked_up(call, callee, values)

    async def _picked_up(self, call: Call, callee: Callee, values: Mapping[str, str]) -> None:
        call.answer()
        call.limit(call.time_limit or int(values.get("TimeLimit", _LASTS)))
        call.chore(pick_up(callee, call), "callee")
        if values.get("Record") == "true":
            call.recorder.start(values, "OutboundAPI")
        found: dict[str, str] = {}
        # Twilio docs: MachineDetection is ignored when there are digits to send.
        if values.get("MachineDetection") and not values.get("SendDigits"):
            detector = Detector(self._exchange, call, callee, values)
            if values.get("AsyncAmd") != "true":
                call.answered_by_is_told = True
                found = await detector.run()
            elif values.get("AsyncAmdStatusCallback"):
                self._exchange.tasks.spawn(detector.report(), "detection")
            else:
                call.warn(TwimlError(21262, "AsyncAmd without AsyncAmdStatusCallback"))
                self._exchange.tasks.spawn(detector.run(), "detection")
        if call.state == "ended":
            return
        if text := values.get("Twiml"):
            call.run_text(text)
        else:
            application = self._exchange.account.applications.get(values.get("ApplicationSid", ""), "")
            call.run_from(values.get("Url") or application, values.get("Method", "POST"), found)
