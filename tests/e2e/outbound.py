"""Outbound calls over real sockets: who is dialled, and how it is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx

from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.telnyx.exchange import CONNECTION_ID
from tests.e2e import product as products
from tests.e2e.product import Exchange, Product, product
from tests.e2e.talk import FAST


TOKEN: Final = "a-token-of-the-tests-1234"
THEIRS: Final = "+15550100007"
OURS: Final = "+15550100002"
DIALS: Final[dict[str, Any]] = {
    "telnyx_connection_id": CONNECTION_ID,
    "telnyx_from_number": OURS,
    "twilio_from_number": OURS,
    "console_token": TOKEN,
}
"""Settings under which calls are dialled."""


@contextlib.asynccontextmanager
async def dialling(
    *, carrier: Exchange | None = None, realtime: Realtime | None = None, **settings: Any
) -> AsyncIterator[Product]:
    realtime = realtime or Realtime(script=Script.tone(0.4), pace=Pace.instant())
    async with product(carrier=carrier, realtime=realtime, **{**FAST, **DIALS, **settings}) as the:
        if products.usual == "twilio":
            the.twilio.exchange.number(OURS)
        yield the


async def ask(the: Product, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    """Ask the operators' listener, with its token."""
    url = f"http://127.0.0.1:{the.app.console_at[1]}{path}"
    given = {"Authorization": f"Bearer {TOKEN}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return await client.request(method, url, json=body, headers=given)


async def dial(the: Product, key: str = "", **body: Any) -> httpx.Response:
    headers = {"Idempotency_Key": key} if key else {}
    return await ask(the, "POST", "/api/calls", {"toNumber": THEIRS, **body}, **headers)


async def dialled(the: Product, **body: Any) -> dict[str, Any]:
    answer = await dial(the, **body)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def callee(the: Product, what: str) -> None:
    """Set how the dialled phone behaves, in Telnyx's words."""
    word = what.replace("_", "-") if products.usual == "twilio" else what
    the.carrier.exchange.callee = {"rejects": "busy"}.get(word, word) if products.usual == "twilio" else word


def dials(the: Product) -> list[Any]:
    """The dials that the carrier has been sent."""
    return [one for one in the.carrier.commands if one.action in ("dial", "create")]
