"""`actions/refer`: the caller's telephone system calls a SIP address in our place, and Telnyx tells how that goes.

https://developers.telnyx.com/api-reference/call-commands/sip-refer-a-call
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from callflow.sandbox.common import referral
from callflow.sandbox.telnyx.call import Call
from callflow.sandbox.telnyx.errors import ApiError
from callflow.sandbox.telnyx.exchange import Exchange


def refer(exchange: Exchange[Call], call: Call, body: Mapping[str, Any]) -> None:
    """Begin to refer a call; its stream goes on meanwhile. Raises ApiError.

    Which error a call gets that did not come over SIP is not documented, nor who hangs up in the end (unknown).
    """
    if not referral.is_sip(body["sip_address"]):
        raise ApiError(422, "10015", "Bad Request", "The 'sip_address' is no SIP URI.", "/sip_address")
    if not referral.is_sip(call.from_number):
        raise ApiError(422, "10015", "Bad Request", "Only calls that came over SIP can be referred.")
    call.chore(_run(exchange, call, body["sip_address"]), "refer")


async def _run(exchange: Exchange[Call], call: Call, address: str) -> None:
    refused = call.faults.refer_refused
    if refused is None:
        call.note(f"referred to {address}")
        call.emit("call.refer.started", {"sip_notify_response": referral.TRYING})
    callee, timing = exchange.callee_of(address), exchange.timing
    status = refused or await referral.calls(callee, timing.ring_s, timing.no_answer_s)
    connected = status == referral.CONNECTED
    call.note(f"the referral ends with {status}")
    call.emit(f"call.refer.{'completed' if connected else 'failed'}", {"sip_notify_response": status})
    if connected:
        await asyncio.sleep(referral.BYE_S)
        call.end("normal_clearing", "caller", by="caller")
