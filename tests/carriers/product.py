"""A Telnyx adapter as the tests want it, and what it is asked to do."""

from __future__ import annotations

import base64
import ssl
from typing import Any
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callflow.contracts.carrier import CarrierRequest, Request
from callflow.contracts.commands import Command
from callflow.contracts.events import LegIds
from carriers.telnyx.carrier import Telnyx
from tests.configs import telnyx_config


BASE = "https://telnyx.test/v2"
CALL = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a111"
COMMAND = "a2f5c0de-0000-5000-8000-000000000001"
CONTROL = "v3:AbC-_d/e f%+9"
ESCAPED = "v3%3AAbC-_d%2Fe%20f%25%2B9"
NOW = 1_780_000_000
TLS = ssl.create_default_context()
"""One for all: loading the system's certificates takes longer than a test."""

PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = PRIVATE_KEY.public_key().public_bytes_raw()


def telnyx(**changes: Any) -> Telnyx:
    """The clock stands at NOW."""
    settings: dict[str, Any] = {
        "api_key": "KEY-of-the-tests",
        "public_key": PUBLIC_KEY,
        "address": lambda: "https://app.test",
        "api_base": BASE,
        "sentences": {"sorry": "I am sorry."},
        **changes,
    }
    with patch("httpx._transports.default.create_ssl_context", return_value=TLS):
        return Telnyx(telnyx_config(**settings), clock=lambda: float(NOW))


def sign(body: bytes, timestamp: str = str(NOW)) -> dict[str, str]:
    signature = base64.b64encode(PRIVATE_KEY.sign(timestamp.encode() + b"|" + body)).decode()
    return {"telnyx-signature-ed25519": signature, "telnyx-timestamp": timestamp}


def request(body: bytes, headers: dict[str, str] | None = None) -> Request:
    return Request("POST", "/webhooks", {} if headers is None else headers, body)


def order(command: Command, control: str = CONTROL) -> CarrierRequest:
    ids = LegIds(control, "leg-1", "session-1")
    return CarrierRequest(
        command, COMMAND, CALL, ids, text="12w#", stream_url="wss://app.test/media-stream/TOKEN", stream_secret="SECRET"
    )
