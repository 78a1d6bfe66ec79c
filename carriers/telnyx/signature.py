"""Verify Telnyx's signatures: Ed25519 over `timestamp|body`, the body as its raw bytes.

Vendor: developers.telnyx.com, webhook fundamentals (`telnyx-signature-ed25519`, `telnyx-timestamp`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callflow.contracts.carrier import Request
from callflow.contracts.errors import Forged


HEADER: Final = "telnyx-signature-ed25519"
_TIMESTAMP: Final = "telnyx-timestamp"
TOLERANCE: Final = 300
"""Seconds by which a webhook's timestamp may lie in the past or in the future; the value of Telnyx's own SDKs."""
_FORM: Final = re.compile(r"[A-Za-z0-9+/]{86}==")
"""Base64 of 64 bytes."""


class Verifier:
    """Verifies webhooks with the public key of one account."""

    def __init__(self, public_key: bytes | None, clock: Callable[[], float]) -> None:
        """`public_key`: the raw 32 bytes of the Ed25519 key; None: every webhook is refused. `clock`: returns Unix time
        in seconds."""
        self._key = Ed25519PublicKey.from_public_bytes(public_key) if public_key else None
        self._clock = clock

    def check(self, request: Request) -> None:
        """Verify a webhook. Raises Forged."""
        signature, timestamp = request.headers.get(HEADER, ""), request.headers.get(_TIMESTAMP, "")
        if self._key is None:
            raise Forged("TELNYX_PUBLIC_KEY is not set, so no webhook can be verified")
        if not signature or not timestamp:
            raise Forged("the webhook carries no signature")
        if not (_FORM.fullmatch(signature) and timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
            raise Forged("the webhook's signature is not Telnyx's")
        age = abs(self._clock() - int(timestamp))
        if age > TOLERANCE:
            raise Forged(f"the webhook is {age:.0f} s off; {TOLERANCE} s are allowed (is this machine's clock right?)")
        try:
            self._key.verify(base64.b64decode(signature), timestamp.encode() + b"|" + request.body)
        except InvalidSignature:
            raise Forged("the webhook's signature is not Telnyx's") from None
