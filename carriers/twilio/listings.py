"""Read Twilio's lists of calls and numbers. Vendor: /docs/voice/api/call-resource."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from callflow.contracts.carrier import ActiveCall
from callflow.contracts.events import LegIds
from carriers.common.http_client import Api


_PAGE: Final = 250
_MOST_PAGES: Final = 8
_LIVE: Final = ("queued", "ringing", "in-progress")
"""`Status` of calls that are live, in the order in which a call has them: one that goes on between two questions is
listed twice then, and not missed."""


def objects(answer: Any, name: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list in an answer."""
    listed = answer.get(name) if isinstance(answer, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


async def talks_with(api: Api, sid: str) -> bool:
    """Ask whether somebody is on the line whom Twilio rang for this call. Raises CarrierError."""
    params = {"ParentCallSid": sid, "Status": "in-progress", "PageSize": "20"}
    return bool(objects(await api.request("GET", "/Calls.json", params=params, retries=1), "calls"))


async def live_calls(api: Api) -> list[ActiveCall]:
    """List the account's live calls, at most 2,000 of each status. Raises CarrierError."""
    found: dict[str, ActiveCall] = {}
    for status in _LIVE:
        async for call in _pages(api, {"Status": status}):
            sid, number = str(call.get("sid") or ""), str(call.get("phone_number_sid") or "")
            found[sid] = ActiveCall(LegIds(control=sid, number=number))
    return list(found.values())


async def _pages(api: Api, params: Mapping[str, str]) -> AsyncIterator[Mapping[str, Any]]:
    """Yield calls, page by page. Raises CarrierError."""
    asked: dict[str, str] = {**params, "PageSize": str(_PAGE)}
    for _ in range(_MOST_PAGES):
        answer = await api.request("GET", "/Calls.json", params=asked, retries=1)
        for call in objects(answer, "calls"):
            yield call
        following = answer.get("next_page_uri") if isinstance(answer, dict) else None
        if not following or not isinstance(following, str):
            return
        # Only its query is followed, so that no answer sends our keys to another address.
        asked = dict(parse_qsl(urlsplit(following).query))
