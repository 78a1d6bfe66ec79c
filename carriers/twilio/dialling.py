"""What dialling through Twilio needs: the form of `POST /Calls`, our id in the URLs of webhooks, and the search for a
call whose answer was lost.

Vendor: www.twilio.com/docs/voice/api/call-resource.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, quote

from callflow.contracts.carrier import CarrierRequest
from callflow.contracts.commands import Dial
from callflow.contracts.events import CALLER
from carriers.twilio.twiml import CONNECTION_OVERRIDES
from carriers.twilio.webhooks import DIALLED, FALLBACK, MACHINE, RECORDING, STATUS, moment


_CALL: Final = "call"
"""The parameter in the query of our webhook URLs that holds our id of a dialled call."""
_LEG: Final = "leg"
_SKEW_SECONDS: Final = 30
"""How far Twilio's clock may be behind ours."""


def leg_query(request: CarrierRequest, leg: str = "") -> str:
    """Return the query that brings our id of the call back, and the leg if it is not the caller's. `leg`: of another
    leg than the request's."""
    leg = leg or request.command.leg
    return f"?{_CALL}={quote(request.call)}" + (f"&{_LEG}={quote(leg)}" if leg != CALLER else "")


def dial_form(request: CarrierRequest, command: Dial, address: str) -> dict[str, str | list[str]]:
    """Return the form that dials. `address`: our public address, without a path."""
    query = f"{leg_query(request)}{CONNECTION_OVERRIDES}"
    form: dict[str, str | list[str]] = {
        "To": request.to_number,
        "From": request.from_number,
        "Url": f"{address}{DIALLED}{query}",
        "Method": "POST",
        "FallbackUrl": f"{address}{FALLBACK}{query}",
        "FallbackMethod": "POST",
        "StatusCallback": f"{address}{STATUS}{query}",
        "StatusCallbackMethod": "POST",
        "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
        "Timeout": str(command.ring_seconds),
    }
    if command.record:
        form |= {"Record": "true", **record_form(request, address)}
    if command.machines:
        # AsyncAmd: the document is run at once, and the result comes later; else the callee would hear nothing for
        # seconds. DetectMessageEnd tells of a machine when its greeting is over, Enable as soon as it is recognised.
        form |= {
            "MachineDetection": "DetectMessageEnd" if command.machines == "message" else "Enable",
            "AsyncAmd": "true",
            "AsyncAmdStatusCallback": f"{address}{MACHINE}{query}",
            "AsyncAmdStatusCallbackMethod": "POST",
        }
    return form


def record_form(request: CarrierRequest, address: str) -> dict[str, str]:
    """Return the parameters that let Twilio record, both sides apart, and tell us of it. `address`: as for
    `dial_form`. Twilio docs: the usual is one channel, and a callback for `completed` alone."""
    return {
        "RecordingChannels": "dual",
        "RecordingStatusCallback": f"{address}{RECORDING}{leg_query(request)}{CONNECTION_OVERRIDES}",
        "RecordingStatusCallbackMethod": "POST",
        "RecordingStatusCallbackEvent": "in-progress completed absent",
    }


def search_params(request: CarrierRequest) -> dict[str, str]:
    """Return the query that lists the calls between these numbers since the day on which this call began."""
    since = datetime.fromtimestamp(request.at - _SKEW_SECONDS, UTC)
    return {
        "To": request.to_number, "From": request.from_number, "StartTime>": f"{since:%Y-%m-%d}", "PageSize": "50",
    }  # fmt: skip


def dialled_since(calls: Iterable[Mapping[str, Any]], at: float) -> str:
    """Return the SID of the one listed call that was dialled since `at` (Unix time, seconds); "": there is none, or
    there are several, which cannot be told apart."""
    found = [
        str(call.get("sid") or "")[:64]
        for call in calls
        if call.get("direction") == "outbound-api" and moment(call.get("date_created")) >= at - _SKEW_SECONDS
    ]
    return found[0] if len(found) == 1 else ""


def call_of(query: str) -> tuple[str, str]:
    """Return our id of a call that we dialled, and the leg, from the query of a webhook; "" and the caller's: there is
    none."""
    given = parse_qs(query)
    try:
        return str(uuid.UUID(given.get(_CALL, [""])[0])), given.get(_LEG, [CALLER])[0][:20]
    except ValueError:
        return "", CALLER


def is_marked(query: str, mark: str) -> bool:
    """Return whether the query of a webhook holds one of our marks: `JOINED`, `SAID`."""
    return mark in parse_qs(query)
