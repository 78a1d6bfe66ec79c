"""The Stream resource: streams in one direction, which go on beside the document of a call.

https://www.twilio.com/docs/voice/api/stream-resource
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.errors import ApiError
from callflow.sandbox.twilio.frames import StreamOptions
from callflow.sandbox.twilio.parameters import STREAM, TRACKS
from callflow.sandbox.twilio.validation import Form


def start(call: Call, form: Form, account: str) -> dict[str, Any]:
    """Start a stream, and return it as the API shows it. Raises ApiError. Which errors there are is not documented
    (unknown)."""
    values = dict(form)
    if unknown := sorted(set(values) - STREAM):
        raise ApiError(400, 20001, f"Unknown parameter {unknown[0]}")
    url, track = values.get("Url", ""), values.get("Track") or "inbound_track"
    if urlsplit(url).scheme != "wss" or urlsplit(url).query:
        raise ApiError(400, 20001, "Url must be a wss address without a query")
    if track not in TRACKS:
        raise ApiError(400, 20001, f"Track {track}")
    if call.status != "in-progress":
        raise ApiError(400, 21220, "Call is not in-progress. Cannot start a stream.")
    options = StreamOptions(
        url, values.get("Name", ""), values.get("StatusCallback", ""), values.get("StatusCallbackMethod", "POST"),
        tracks=TRACKS[track], one_way=True,
    )  # fmt: skip
    sid = call.listen(options)
    return {
        "sid": sid, "account_sid": account, "call_sid": call.sid, "name": options.name or None,
        "status": "in-progress", "date_updated": None, "uri": None,
    }  # fmt: skip
