"""How a dialled phone rings, and what becomes of it before somebody answers.

Vendor: www.twilio.com/docs/voice/api/call-resource#call-status-values
"""

from __future__ import annotations

from datetime import UTC, datetime

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.twilio.call import DECLINED, Call
from callflow.sandbox.twilio.exchange import Exchange


async def ring(exchange: Exchange[Call], call: Call, longest: float) -> Callee | None:
    """Let the phone of a new leg ring at most so many seconds. Returns who picks up; None: the leg has ended."""
    timing, callee = exchange.timing, exchange.callee_of(call.to_number)
    call.started = datetime.now(UTC)
    call.note("dialling")
    call.send_status("initiated")
    if callee.does != "not_reachable":
        call.status = "ringing"
        call.send_status("ringing")
    rings = timing.ring_s if callee.ring_s is None else callee.ring_s
    if callee.does == "no_answer":
        rings, longest = longest + 1, min(longest, timing.no_answer_s)
    if await call.rings(min(rings, longest)):
        rings = 0
    if call.state == "ended":
        return None
    if rings > longest:
        call.end("no-answer", by="carrier")
    elif callee.does == "busy":
        call.end("busy", by="callee")
    elif callee.does == "rejects":
        call.end("busy", by="callee", sip=DECLINED)  # the status of a rejected call is not documented (unknown)
    elif callee.does == "not_reachable":
        call.end("failed", by="carrier")
    else:
        return callee
    return None
