"""Campaigns over real sockets: lists of people who may be called at any time of the day."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx

from callflow.sandbox.common.callee import Callee
from tests.e2e.outbound import TOKEN, ask
from tests.e2e.product import Product


ALWAYS: Final[dict[str, Any]] = {
    "hours": "0-24", "weekdays": "mon-sun", "calls_per_second": 20,
    "pauses": {"busy": 0.1, "no_answer": 0.1, "failed": 0.1},
}  # fmt: skip
NUMBERS: Final = [f"+155501000{number:02}" for number in range(10, 40)]
SHORT: Final = Callee("answers", hangs_up_after_s=1.0)
"""A person who answers and hangs up soon, but not before a busy machine has learned of the answer."""


def rows(*numbers: str) -> list[dict[str, Any]]:
    return [{"number": number, "timezone": "UTC", "variables": {"name": f"N{number[-2:]}"}} for number in numbers]


async def make(the: Product, *numbers: str, **more: Any) -> dict[str, Any]:
    """Make a campaign, which begins at once."""
    answer = await ask(the, "POST", "/api/campaigns", {"rows": rows(*numbers), **ALWAYS, **more})
    assert answer.status_code == (200 if more.get("dry_run") else 201), answer.text
    told: dict[str, Any] = answer.json()
    return told


async def send_csv(the: Product, body: bytes, query: str = "") -> httpx.Response:
    url = f"http://127.0.0.1:{the.app.console_at[1]}/api/campaigns{query}"
    given = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/csv"}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.post(url, content=body, headers=given)


async def progress(the: Product, campaign: dict[str, Any]) -> dict[str, Any]:
    answer = await ask(the, "GET", campaign["url"])
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def reaches(the: Product, campaign: dict[str, Any], state: str = "finished") -> dict[str, Any]:
    """Wait until a campaign is in this state."""
    told: dict[str, Any] = {}
    try:
        async with asyncio.timeout(30):
            while told.get("state") != state:
                await asyncio.sleep(0.05)
                told = await progress(the, campaign)
    except TimeoutError:
        raise AssertionError(f"waited for a campaign to be {state}: {told}") from None
    return told


def called(the: Product) -> list[str]:
    """Whom the carrier has dialled, in order."""
    return [call.to_number for call in the.carrier.calls.values()]
