"""Telnyx's ids of a leg, and ours, which the `client_state` of commands brings back with each webhook.

Vendor: developers.telnyx.com, Voice API webhooks (`client_state`).
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

from callflow.contracts import events
from callflow.contracts.carrier import CarrierRequest
from callflow.contracts.events import LegIds, WebhookEvent
from carriers.telnyx.webhooks import text


LED: Final = "sip"
"""The leg that rings a SIP address for a caller, in its `client_state`."""
_MOST_STATE: Final = 1000
"""Characters of a `client_state` of ours: a UUID, the name of a leg and who rings in base64 have fewer."""
_MOST_LEG: Final = 12


def ids_of(fields: Mapping[str, Any]) -> LegIds:
    """Read the ids of a leg from a webhook's or an answer's fields."""
    return LegIds(text(fields, "call_control_id"), text(fields, "call_leg_id"), text(fields, "call_session_id"))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def state(request: CarrierRequest, leg: str = "") -> str:
    """Return the `client_state` that brings our id of the call back with each webhook, and the leg if it is not the
    caller's. `leg`: of another leg than the request's."""
    leg = leg or request.command.leg
    return _base64(request.call if leg == events.CALLER else f"{request.call}:{leg}")


def led_state(request: CarrierRequest, *, is_callers: bool) -> str:
    """Return the `client_state` of a leg that rings a SIP address. `is_callers`: for a caller, who is no call here: it
    names them, so that any process can answer them if nobody does there."""
    if not is_callers:
        return state(request, LED)
    who = [request.ids.control, request.ids.leg, request.ids.session, request.from_number, request.to_number]
    told = _base64(f"{request.call}:{LED}:{json.dumps(who)}")
    return told if len(told) <= _MOST_STATE else state(request, LED)


def call_of(client_state: object) -> tuple[str, str]:
    """Return our id of a call, and the leg, from the state that Telnyx brings back; "" and the caller's: it is not one
    of ours."""
    call, leg, _ = _read(client_state)
    return call, leg


def caller_of(client_state: object, carrier: str) -> WebhookEvent | None:
    """Return the arrival of the caller for whom a leg rings a SIP address; None: its state does not name them."""
    try:
        told = json.loads(_read(client_state)[2] or "null")
    except ValueError:
        return None
    if not (isinstance(told, list) and len(told) == 5 and all(isinstance(each, str) for each in told) and told[0]):
        return None
    control, leg, session, caller, called = told
    arrival = events.CallInitiated(direction="incoming", from_number=caller, to_number=called)
    return WebhookEvent(carrier, "", LegIds(control, leg, session), arrival)


def _read(client_state: object) -> tuple[str, str, str]:
    """Return our id of a call, the leg, and what else a state says; "" and the caller's: it is not one of ours."""
    if isinstance(client_state, str) and len(client_state) <= _MOST_STATE:
        try:
            call, _, rest = base64.b64decode(client_state, validate=True).decode().partition(":")
            leg, _, more = rest.partition(":")
            if len(leg) <= _MOST_LEG:
                return str(uuid.UUID(call)), leg or events.CALLER, more
        except (binascii.Error, UnicodeDecodeError, ValueError):
            pass
    return "", events.CALLER, ""
