"""Streams in one direction, which go on beside the document of a call. Vendor: /docs/voice/api/stream-resource."""

from __future__ import annotations

from urllib.parse import quote

from callflow.contracts.carrier import CarrierRequest
from carriers.common.http_client import Api


async def listen(api: Api, request: CarrierRequest, told_at: str) -> None:
    """Start a stream of both sides. `told_at`: the URL that is told how it goes. Raises CarrierError."""
    form = {
        "Url": request.stream_url,
        "Name": request.stream_name,
        "Track": "both_tracks",
        "StatusCallback": told_at,
        "StatusCallbackMethod": "POST",
    }
    path = f"/Calls/{quote(request.ids.control, safe='')}/Streams.json"
    await api.request("POST", path, repeatable=False, data=form)
