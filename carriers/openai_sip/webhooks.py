"""Read OpenAI's webhooks: an incoming call becomes one event of ours, and all others are noted.

Vendor: developers.openai.com/api/docs/guides/realtime-sip (`realtime.call.incoming`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from callflow.contracts.errors import Malformed
from callflow.contracts.events import CallInitiated
from carriers.openai_sip.headers import read_headers


INCOMING: Final = "realtime.call.incoming"
_CALL: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Incoming(NamedTuple):
    """A call that waits for an accept."""

    call: str
    """OpenAI's id of it, `rtc_…`."""
    event: CallInitiated
    at: str
    """OpenAI's own time, Unix seconds; "": it did not say."""


class Other(NamedTuple):
    """A webhook about something else."""

    kind: str


def read_webhook(body: bytes) -> Incoming | Other:
    """Read a webhook. Raises Malformed."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from None
    kind = document.get("type") if isinstance(document, Mapping) else None
    if not isinstance(kind, str):
        raise Malformed("no type: this is no event of OpenAI's")
    if kind != INCOMING:
        return Other(kind[:80])
    data: Any = document.get("data")
    call = data.get("call_id") if isinstance(data, Mapping) else None
    if not isinstance(call, str) or not _CALL.fullmatch(call):
        raise Malformed(f"{INCOMING} without a data.call_id that can be one")
    parties = read_headers(data.get("sip_headers"))
    created = document.get("created_at")
    event = CallInitiated(
        direction="incoming",
        from_number=parties.from_number,
        to_number=parties.to_number,
        sip_call_id=parties.call_id,
        linked=parties.linked,
    )
    return Incoming(call, event, str(created) if isinstance(created, int) else "")
