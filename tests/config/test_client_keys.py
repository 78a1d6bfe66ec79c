"""Keys that a request brings are used on this machine alone."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.config import client_keys, unused_settings
from callflow.config.loader import load


HERE = {
    "OPENAI_REALTIME_URL": "ws://127.0.0.1:9/v1/realtime", "TELNYX_API_BASE": "http://localhost:9",
    "TELNYX_API_KEY": "KEY-of-the-tests", "TELNYX_PUBLIC_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
}  # fmt: skip
ON = {"ALLOW_CLIENT_CREDS": "true"}
TWILIO = {"TWILIO_ACCOUNT_SID": "AC" + "5a" * 16, "TWILIO_AUTH_TOKEN": "a-token-of-the-tests"}


@pytest.mark.parametrize(
    ("given", "holds", "why"),
    [
        ({**HERE, **ON}, True, ""),
        (HERE, False, ""),
        ({**HERE, **ON, "OPENAI_REALTIME_URL": "wss://example.com/v1"}, False, "OPENAI_REALTIME_URL is not"),
        ({**HERE, **ON, "OPENAI_API_BASE": "https://example.com/v1"}, False, "OPENAI_API_BASE is not"),
        ({**HERE, **ON, **TWILIO}, False, "TWILIO_API_BASE is not on this machine"),
        ({**HERE, **ON, **TWILIO, "TWILIO_API_BASE": "http://[::1]:9"}, True, ""),
        (ON, False, "OPENAI_REALTIME_URL is not on this machine"),
    ],
)  # fmt: skip
def test_only_where_engine_and_carriers_are_on_this_machine(
    given: dict[str, Any], holds: bool, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert client_keys.in_force(settings) is holds
    about = [line for line in unused_settings.lines(settings) if "ALLOW_CLIENT_CREDS" in line]
    assert len(about) == bool(why)
    assert why in "".join(about)
