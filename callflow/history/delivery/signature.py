"""Signs what is sent to receivers of our own, as Standard Webhooks has it: `webhook-id`, `webhook-timestamp` and
`webhook-signature`, an HMAC-SHA256 over `id.timestamp.body`.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook


ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"


class Signer:
    """Signs a message with each of the secrets of EVENTS_SECRET."""

    def __init__(self, secrets: str) -> None:
        """`secrets`: as in EVENTS_SECRET: `whsec_…`, while they are rotated several with commas between them; each of
        them signs. Raises ValueError where there is none, because nothing is ever sent unsigned."""
        self._keys = [Webhook(each) for each in secrets.split(",") if each]
        if not self._keys:
            raise ValueError("there is no secret to sign with")

    def headers(self, name: str, body: str, now: float) -> Mapping[str, str]:
        """Return the headers of one request. `name`: the id of the message, the same in each try. `now`: Unix time, in
        seconds."""
        at = datetime.fromtimestamp(int(now), UTC)
        signatures = [key.sign(name, at, body) for key in self._keys]
        return {ID: name, TIMESTAMP: str(int(now)), SIGNATURE: " ".join(signatures)}
