"""Telnyx's ids of a leg, and ours, which the `client_state` of commands brings back with each webhook.

Vendor: developers.telnyx.com, Voice API webhooks (`client_state`).
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping
from typing import Any, Final

from callflow.contracts import events
from callflow.contracts.carrier import CarrierRequest
from callflow.contracts.events import LegIds
from carriers.telnyx.webhooks import text


_MOST_STATE: Final = 64
"""Characters of a `client_state` of ours: a UUID and the name of a leg in base64 have fewer."""


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


def call_of(client_state: object) -> tuple[str, str]:
    """Return our id of a call, and the leg, from the state that Telnyx brings back; "" and the caller's: it is not one
    of ours."""
    if not isinstance(client_state, str) or len(client_state) > _MOST_STATE:
        return "", events.CALLER
    try:
        call, _, leg = base64.b64decode(client_state, validate=True).decode().partition(":")
        return str(uuid.UUID(call)), leg or events.CALLER
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", events.CALLER
