"""A Twilio adapter as the tests want it, and what it is asked to do."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

from callflow.contracts.carrier import CarrierRequest, Request
from callflow.contracts.commands import Command
from callflow.contracts.events import LegIds
from carriers.twilio.carrier import Twilio
from tests.carriers.product import CALL, COMMAND, TLS
from tests.configs import twilio_config


ACCOUNT = "AC" + "0" * 32
SID = "CA" + "1" * 32
TOKEN = "12345"
BASE = "https://twilio.test"
PUBLIC = "https://phone.test"
STREAM = "wss://phone.test/media-stream/TOKEN"
INCOMING = {
    "CallSid": SID,
    "AccountSid": ACCOUNT,
    "From": "+15550100001",
    "To": "+15550100002",
    "Caller": "+15550100001",
    "Called": "+15550100002",
    "CallStatus": "ringing",
    "Direction": "inbound",
    "ApiVersion": "2010-04-01",
    "FromCity": "",
    "ToCity": "LOS ANGELES",
}


def twilio(**changes: Any) -> Twilio:
    settings: dict[str, Any] = {
        "account_sid": ACCOUNT,
        "auth_tokens": [TOKEN],
        "address": lambda: PUBLIC,
        "api_base": BASE,
        "sentences": {"sorry": "I am sorry."},
        **changes,
    }
    with patch("httpx._transports.default.create_ssl_context", return_value=TLS):
        return Twilio(twilio_config(**settings))


def request(
    path: str = "/",
    params: dict[str, str] | None = None,
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    public: str = PUBLIC,
) -> Request:
    """As Twilio sends it, without a signature unless `headers` bring one."""
    text = urlencode(INCOMING if params is None else params)
    query = text if method == "GET" else ""
    url = f"{public}{path}{f'?{query}' if query else ''}"
    return Request(method, path, headers or {}, b"" if query else text.encode(), url=url, query=query)


def signed(
    path: str = "/",
    params: dict[str, str] | None = None,
    *,
    method: str = "POST",
    token: str = TOKEN,
    signed_url: str | None = None,
    **headers: str,
) -> Request:
    """The same, signed by Twilio's own library."""
    wanted = INCOMING if params is None else params
    plain = request(path, wanted, method=method)
    signature = RequestValidator(token).compute_signature(signed_url or plain.url, wanted if method == "POST" else {})
    given = {"x-twilio-signature": signature} | {name.replace("_", "-"): value for name, value in headers.items()}
    return request(path, wanted, method=method, headers=given)


def order(command: Command, **changes: Any) -> CarrierRequest:
    told: dict[str, Any] = {
        "stream_url": STREAM,
        "stream_secret": "SECRET",
        "stream_name": "stream-1",
        "from_number": "+15550100001",
        "to_number": "+15550100002",
        **changes,
    }
    return CarrierRequest(command, COMMAND, CALL, LegIds(control=SID, number="PN1"), **told)
