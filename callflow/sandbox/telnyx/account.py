"""What the emulated account has beside calls: one Voice API application, and its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from callflow.sandbox.telnyx.exchange import CONNECTION_ID, Switch


_SINCE: Final = "2026-01-01T00:00:00Z"


def application(switch: Switch) -> dict[str, Any]:
    """CallControlApplication. Its webhook URL is wherever the emulator sends its webhooks."""
    about = switch.application
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
        "outbound": {"channel_limit": None, "outbound_voice_profile_id": about.outbound_voice_profile_id},
        "redact_dtmf_debug_logging": False,
        "webhook_api_version": about.webhook_api_version,
        "webhook_event_failover_url": None,
        "webhook_event_url": switch.webhook_url,
        "webhook_timeout_secs": None,
        "created_at": _SINCE,
        "updated_at": _SINCE,
    }


def numbers(switch: Switch, query: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """As the filters say: filter[connection_id], filter[phone_number]."""
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
        for place, number in enumerate(switch.application.numbers)
        if wanted in ("", number)
    ]


def page(items: Sequence[Any]) -> dict[str, Any]:
    meta = {"page_number": 1, "page_size": max(len(items), 20), "total_pages": 1, "total_results": len(items)}
    return {"data": list(items), "meta": meta}
