"""Where the sound of a recording by Telnyx is, also of one whose webhook did not name it.

Vendor: developers.telnyx.com, Call Recordings. The links to files expire after ten minutes, so each request asks for a
fresh one.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from callflow.contracts.errors import CarrierError
from carriers.common.http_client import Api
from carriers.telnyx.webhooks import STAND_IN, moment, text


_FORMS: Final = {"mp3": "audio/mpeg", "wav": "audio/wav"}
"""The formats of recordings."""
_MOST: Final = 50
"""Recordings of one leg that are looked at, the newest first."""
_NEAR: Final = 1.0
"""Seconds that the two places where Telnyx says when a recording began may differ: the digits that they give do."""


async def sound_of(api: Api, name: str) -> tuple[str, str]:
    """Return a fresh link to a recording's file, and its content type. `name`: Telnyx's id, or a `STAND_IN`.

    Raises CarrierError; `gone`: there is no such recording, or not yet.
    """
    stand_in = STAND_IN.fullmatch(name)
    found = await _of_leg(api, stand_in[1], int(stand_in[2]) / 1000) if stand_in else await _one(api, name)
    links = found.get("download_urls")
    for form, kind in _FORMS.items():
        if isinstance(links, dict) and isinstance(link := links.get(form), str):
            return link, kind
    raise CarrierError("Telnyx has no file of this recording", gone=True)


async def _one(api: Api, name: str) -> dict[str, Any]:
    answer = await api.request("GET", f"/recordings/{quote(name, safe='')}", retries=1)
    found = answer.get("data") if isinstance(answer, dict) else None
    return found if isinstance(found, dict) else {}


async def _of_leg(api: Api, leg: str, began: float) -> dict[str, Any]:
    """Return the recording of a leg that began then (Unix time, seconds; 0: nobody knows when), or its only one."""
    params = {"filter[call_leg_id]": leg, "page[size]": str(_MOST)}
    answer = await api.request("GET", "/recordings", params=params, retries=1)
    listed = answer.get("data") if isinstance(answer, dict) else None
    found = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    if len(found) <= 1 or not began:
        return found[0] if found else {}
    away = [abs(moment(text(each, "recording_started_at")) - began) for each in found]
    nearest = min(away)
    return found[away.index(nearest)] if nearest <= _NEAR else {}
