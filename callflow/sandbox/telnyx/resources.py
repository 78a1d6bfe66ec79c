"""The API's resources as JSON: calls, the account's one Voice API application, and its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Final

from callflow.sandbox.telnyx.call import Call
from callflow.sandbox.telnyx.exchange import CONNECTION_ID, Exchange


_SINCE: Final = "2026-01-01T00:00:00Z"
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
    """Return a call as the list of active calls shows it."""
    return {name: value for name, value in {"client_state": None, **call_status(call)}.items() if name in _ACTIVE}


def application(exchange: Exchange[Call]) -> dict[str, Any]:
    """Return the CallControlApplication. Its webhook URL is the one to which the emulator sends its webhooks."""
    about = exchange.application
    return {
        "record_type": "call_control_application",
        "id": CONNECTION_ID,
        "application_name": "sandbox",
        "active": about.active,
        "anchorsite_override": "Latency",
        "call_cost_in_webhooks": False,
        "dtmf_type": "RFC 2833",
        "first_command_timeout": False,
        "first_command_timeout_secs": 30,
        "inbound": {"channel_limit": None, "shaken_stir_enabled": False},
        "outbound": {
            "channel_limit": about.channel_limit,
            "outbound_voice_profile_id": about.outbound_voice_profile_id,
        },
        "redact_dtmf_debug_logging": False,
        "webhook_api_version": about.webhook_api_version,
        "webhook_event_failover_url": None,
        "webhook_event_url": exchange.webhook_url,
        "webhook_timeout_secs": None,
        "created_at": _SINCE,
        "updated_at": _SINCE,
    }


def numbers(exchange: Exchange[Call], query: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Return the phone numbers that match the filters filter[connection_id] and filter[phone_number] of a query."""
    if query.get("filter[connection_id]", [CONNECTION_ID])[-1] != CONNECTION_ID:
        return []
    wanted = query.get("filter[phone_number]", [""])[-1]
    return [
        {
            "record_type": "phone_number",
            "id": f"15550200000000000{place:02d}",
            "phone_number": number,
            "status": "active",
            "connection_id": CONNECTION_ID,
            "connection_name": "sandbox",
        }
        for place, number in enumerate(exchange.application.numbers)
        if wanted in ("", number)
    ]


def page(items: Sequence[Any]) -> dict[str, Any]:
    """Return a list as the only page of its resource."""
    meta = {"page_number": 1, "page_size": max(len(items), 20), "total_pages": 1, "total_results": len(items)}
    return {"data": list(items), "meta": meta}
