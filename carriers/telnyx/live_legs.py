"""The live legs of our application. Vendor: developers.telnyx.com, List all active calls for given connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from callflow.contracts.carrier import ActiveCall
from callflow.contracts.events import LegIds
from carriers.common.http_client import Api
from carriers.telnyx.ids import call_of, ids_of


_PAGE: Final = 250
"""Calls on one page of the answer; Telnyx allows no more."""
_MOST_PAGES: Final = 8


async def of_connection(api: Api, connection: str) -> list[ActiveCall]:
    """List the live legs, page by page and at most 2,000, with what `client_state` says of each. `connection`: our
    application's id; "": it is not known, and none are listed. Raises CarrierError."""
    if not connection:
        return []
    path = f"/connections/{quote(connection, safe='')}/active_calls"
    found: list[ActiveCall] = []
    after = ""
    for _ in range(_MOST_PAGES):
        params = {"page[limit]": str(_PAGE), **({"page[after]": after} if after else {})}
        answer = await api.request("GET", path, params=params, retries=1)
        calls = answer.get("data") if isinstance(answer, dict) else None
        listed = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        found += [ActiveCall(ids_of(call), *call_of(call.get("client_state"))) for call in listed]
        after = _next_page(answer)
        if not after or not listed:
            break
    return found


def _next_page(answer: Any) -> str:
    """Return the cursor of the page that follows; "": none does."""
    meta = answer.get("meta") if isinstance(answer, dict) else None
    cursors = meta.get("cursors") if isinstance(meta, dict) else None
    after = cursors.get("after") if isinstance(cursors, dict) else None
    return after if isinstance(after, str) else ""


def find(live: Iterable[ActiveCall], call: str, leg: str) -> LegIds | None:
    """Return the ids of a leg of one of our calls; None: it is not listed."""
    return next((one.ids for one in live if (one.call, one.leg) == (call, leg)), None)
