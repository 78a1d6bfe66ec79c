"""Verify OpenAI's webhooks, which are signed as Standard Webhooks: an HMAC-SHA256 over `id.timestamp.body`, the body as
its raw bytes.

Vendor: developers.openai.com/api/docs/guides/webhooks. Specification:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

from callflow.contracts.carrier import Request
from callflow.contracts.errors import Forged, Malformed


ID: Final = "webhook-id"
_TIMESTAMP: Final = "webhook-timestamp"
_SIGNATURE: Final = "webhook-signature"
TOLERANCE: Final = 300
"""Seconds by which a webhook's timestamp may lie in the past or in the future; the value of OpenAI's own packages."""
_MOST_SIGNATURES: Final = 16
"""A webhook has one, or two while its secret is being rotated."""
_SECONDS: Final = re.compile(r"[0-9]{1,11}")
_MOST_ID: Final = 100


class Verifier:
    """Verifies webhooks with the secrets of one project."""

    def __init__(self, secrets: str, clock: Callable[[], float]) -> None:
        """`secrets`: `whsec_` and base64 each, or raw; several separated by commas. "": every webhook is refused.
        `clock`: returns Unix time in seconds."""
        found = [each for each in secrets.split(",") if each]
        self._keys = [Webhook(each if each.startswith("whsec_") else each.encode()) for each in found]
        self._clock = clock

    def check(self, request: Request) -> None:
        """Verify a webhook. Raises Forged; Malformed where a header is missing."""
        if not self._keys:
            raise Forged("OPENAI_WEBHOOK_SECRET is not set, so no webhook can be verified")
        name, timestamp, signatures = (request.headers.get(each, "") for each in (ID, _TIMESTAMP, _SIGNATURE))
        missing = [each for each in (ID, _TIMESTAMP, _SIGNATURE) if not request.headers.get(each)]
        if missing:
            raise Malformed(f"the webhook has no {', no '.join(missing)}")
        if not _SECONDS.fullmatch(timestamp) or len(name) > _MOST_ID:
            raise Forged("the webhook's signature is not OpenAI's")
        age = abs(self._clock() - int(timestamp))
        if age > TOLERANCE:
            raise Forged(f"the webhook is {age:.0f} s off; {TOLERANCE} s are allowed (is this machine's clock right?)")
        if not self._is_signed(name, int(timestamp), request.body, signatures.split(" ")[:_MOST_SIGNATURES]):
            raise Forged("the webhook's signature is not OpenAI's")

    def _is_signed(self, name: str, timestamp: int, body: bytes, given: list[str]) -> bool:
        try:
            text = body.decode()
            at = datetime.fromtimestamp(timestamp, UTC)
            wanted = [key.sign(name, at, text).encode() for key in self._keys]
        except (ValueError, OverflowError, OSError):
            return False
        return any(hmac.compare_digest(one, each.encode()) for one in wanted for each in given)
