"""What keeps the account from dialling: its application, its money, and how often and how much it dials.

Vendor: developers.telnyx.com, concurrent limits.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from callflow.sandbox.telnyx.call import Call
from callflow.sandbox.telnyx.errors import ApiError
from callflow.sandbox.telnyx.exchange import CONNECTION_ID, Exchange


_WINDOW_S: Final = 5.0


class DialLimits:
    """Refuses what the account may not dial. Call `check` once for each dial that would take effect."""

    def __init__(self, exchange: Exchange[Call]) -> None:
        self._exchange = exchange
        self._dials: deque[float] = deque()

    def check(self, body: Mapping[str, Any]) -> None:
        """Raise ApiError for a dial that the account may not make."""
        about = self._exchange.application
        self._application(body)
        if not about.has_funds:
            raise ApiError(403, "20100", "Insufficient Funds", "You have insufficient funds to perform this action.")
        self._rate(about.dials_per_second)
        if self.exceeded and about.over_limit == "refused":
            raise ApiError(
                403, "90043", "Connection channel limit exceeded", "All channels of the connection are used."
            )

    @property
    def exceeded(self) -> bool:
        """Whether one more outgoing leg is one too many."""
        limit = self._exchange.application.channel_limit
        legs = self._exchange.calls.values()
        used = sum(leg.direction == "outgoing" and leg.state != "ended" for leg in legs)
        return limit is not None and used >= limit

    def _application(self, body: Mapping[str, Any]) -> None:
        about = self._exchange.application
        if body["connection_id"] != CONNECTION_ID or not about.active:
            detail = "The requested connection_id (Call Control App ID) is either invalid or does not exist."
            title = "Invalid value for connection_id (Call Control App ID)"
            raise ApiError(422, "10015", title, detail, "/connection_id")
        url = body.get("webhook_url") or self._exchange.webhook_url
        if urlsplit(url).scheme not in ("http", "https"):
            detail = "The Call Control App has no valid webhook URL."
            raise ApiError(422, "10015", "Bad Request", detail, "/connection_id")
        if about.outbound_voice_profile_id is None:
            # Which code Telnyx has for this is not documented (unknown).
            detail = "The connection has no outbound voice profile assigned."
            raise ApiError(403, "10010", "Authorization failed", detail, "/connection_id")

    def _rate(self, per_second: int) -> None:
        now, most = monotonic(), round(per_second * _WINDOW_S)
        while self._dials and now - self._dials[0] >= _WINDOW_S:
            self._dials.popleft()
        if len(self._dials) >= most:
            reset = str(max(1, math.ceil(self._dials[0] + _WINDOW_S - now))) if self._dials else "1"
            detail = f"More than {most} dials within {_WINDOW_S:g} seconds."
            limits = {"x-ratelimit-limit": str(most), "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
            raise ApiError(429, "90103", "Dials per second limit exceeded", detail, headers=limits)
        self._dials.append(now)
