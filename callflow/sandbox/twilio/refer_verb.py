"""`<Refer>` with its noun `<Sip>`: the caller's telephone system calls a SIP address in our place.

https://www.twilio.com/docs/voice/twiml/refer, https://www.twilio.com/docs/api/errors/13801
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol
from xml.etree.ElementTree import Element

from callflow.sandbox.common import referral
from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.leg import LegState
from callflow.sandbox.twilio.errors import TwimlError
from callflow.sandbox.twilio.faults import Faults, Timing


REFER: Final = ("action", "method")
_MOST: Final = 254
"""Twilio docs: an address has less than 255 characters."""
_STATUS: Final = {486: "busy", 408: "no-answer"}
"""ReferCallStatus by the SIP status of the new call; any other that is no success: failed."""


class ReferredCall(LegState, Protocol):
    """The part of a call that is referred."""

    from_number: str

    @property
    def faults(self) -> Faults: ...

    @property
    def timing(self) -> Timing: ...

    def chore(self, work: Coroutine[Any, Any, Any], name: str) -> None: ...

    def end(self, status: str, *, by: str) -> None: ...


def address_of(verb: Element, warn: Callable[[TwimlError], None] | None = None) -> str:
    """Return the address that a `<Refer>` names. Raises TwimlError."""
    if len(verb) != 1 or verb[0].tag != "Sip" or len(verb[0]):
        raise TwimlError(12100, "a <Refer> has exactly one <Sip>")
    for name in (*(name for name in verb.attrib if name not in REFER), *verb[0].attrib):
        if warn is not None:
            warn(TwimlError(12200, f"<Refer> has no attribute {name}"))
    address = (verb[0].text or "").strip()
    if not referral.is_sip(address) or len(address) > _MOST:
        raise TwimlError(12100, f"<Sip>{address}</Sip> is no SIP address")
    return address


async def refer(call: ReferredCall, address: str, callee: Callee) -> dict[str, str]:
    """Refer a call, and return what the `action` is told. Raises TwimlError for a call that did not come over SIP."""
    if not referral.is_sip(call.from_number):
        raise TwimlError(13801, "Refer not allowed on non-SIP call legs")
    if (refused := call.faults.refer_refused) is not None:
        call.note(f"the REFER is refused: {refused}")
        return {"ReferCallStatus": "failed", "ReferSipResponseCode": str(refused)}
    call.note(f"referred to {address}")
    status = await referral.calls(callee, call.timing.ring_s, call.timing.no_answer_s)
    call.note(f"the referral ends with {status}")
    became = "in-progress" if status == referral.CONNECTED else _STATUS.get(status, "failed")
    if status == referral.CONNECTED:
        call.chore(_bye(call), "bye")
    return {
        "ReferCallStatus": became, "ReferSipResponseCode": str(referral.ACCEPTED), "NotifySipResponseCode": str(status),
    }  # fmt: skip


async def _bye(call: ReferredCall) -> None:
    await asyncio.sleep(referral.BYE_S)
    call.end("completed", by="caller")
