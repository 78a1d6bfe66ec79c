"""Calls as the API shows them; the account's numbers and applications are in `numbers.py`.

Vendor: developers.telnyx.com, Retrieve a call status.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

from callflow.sandbox.telnyx.call import Call


_ACTIVE: Final = ("record_type", "call_control_id", "call_leg_id", "call_session_id", "call_duration", "client_state")


def call_status(call: Call) -> dict[str, Any]:
    """Return a call as `GET /calls/{id}` shows it.

    Telnyx docs: is_alive is false before the answer too, so only end_time, which is there then, says that a call has
    ended.
    """
    until = call.ended_at if call.ended_at is not None else monotonic()
    status = {
        "record_type": "call",
        "call_control_id": call.control_id,
        "call_leg_id": call.leg_id,
        "call_session_id": call.session_id,
        "client_state": call.client_state,
        "is_alive": call.state == "answered",
        "call_duration": int(until - call.answered_at) if call.answered_at is not None else 0,
        "start_time": call.start_time,
        "end_time": call.end_time,
    }
    return {name: value for name, value in status.items() if value is not None}


def active_call(call: Call) -> dict[str, Any]:
    """Return a call as the list of active calls shows it: the keys of `_ACTIVE`."""
    return {name: value for name, value in {"client_state": None, **call_status(call)}.items() if name in _ACTIVE}
