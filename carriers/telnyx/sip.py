"""Lead a caller to a SIP address: the body of a transfer, which is encrypted, and may be asked for before an answer.

Vendor: developers.telnyx.com, Call Control commands (Transfer call).
"""

from __future__ import annotations

import re
from typing import Any, Final

from callflow.contracts.carrier import CarrierRequest
from callflow.contracts.commands import LeadToSip
from carriers.telnyx.ids import led_state


_NUMBER: Final = re.compile(r"\+[0-9]{1,15}|sips?:.+")


def sender(number: str) -> dict[str, str]:
    """Return the parameter `from` of a `transfer`: none for what is no number, such as a caller who shows none, because
    that is refused (422, 10016). Without it the number that was called stands there."""
    return {"from": number} if _NUMBER.fullmatch(number) else {}


def led_to(address: str, ring_seconds: int, request: CarrierRequest) -> dict[str, Any]:
    """Return the body of a `transfer` of the caller of a request. The headers bring back who called whom."""
    is_callers = isinstance(request.command, LeadToSip) and bool(request.command.address)
    told = {
        "X-Callflow-From": request.from_number,
        "X-Callflow-To": request.to_number,
        "X-Callflow-Leg": f"telnyx:{request.ids.leg or request.ids.control}" if is_callers else f"call:{request.call}",
    }
    secure = ";transport=tls" in address
    return {
        "to": address,
        **sender(request.from_number),
        "timeout_secs": ring_seconds,
        "sip_transport_protocol": "TLS" if secure else "TCP" if ";transport=tcp" in address else "UDP",
        "media_encryption": "SRTP" if secure else "disabled",
        "custom_headers": [{"name": name, "value": value} for name, value in told.items() if value],
        "target_leg_client_state": led_state(request, is_callers=is_callers),
    }
