"""Read Twilio's lists of calls and numbers. Vendor: /docs/voice/api/call-resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carriers.common.http_client import Api


def objects(answer: Any, name: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list in an answer."""
    listed = answer.get(name) if isinstance(answer, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


async def talks_with(api: Api, sid: str) -> bool:
    """Ask whether somebody is on the line whom Twilio rang for this call. Raises CarrierError."""
    params = {"ParentCallSid": sid, "Status": "in-progress", "PageSize": "20"}
    return bool(objects(await api.request("GET", "/Calls.json", params=params, retries=1), "calls"))
