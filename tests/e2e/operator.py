"""An operator who keeps the session of coming calls, and a product for that."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx

from tests.e2e.product import Product
from tests.e2e.scenes import conversing, stage


class Operator:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/session"

    async def ask(self, method: str, body: Any = None, **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=20, verify=False) as client:
            return await client.request(method, self._url, **({"json": body} if body is not None else {}), **options)

    async def change(self, **body: Any) -> dict[str, Any]:
        answer = await self.ask("PATCH", body)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def told(self) -> dict[str, Any]:
        answer = await self.ask("GET")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def refused(self, body: Any) -> dict[str, Any]:
        answer = await self.ask("PATCH", body)
        assert answer.status_code == 400, answer.text
        told: dict[str, Any] = answer.json()
        return told


@contextlib.asynccontextmanager
async def line(**settings: Any) -> AsyncIterator[tuple[Product, Operator]]:
    async with stage(**settings) as the:
        yield the, Operator(the.app.console_at[1])


async def session_of_next_call(the: Product, **ring: Any) -> dict[str, Any]:
    call = await the.telnyx.ring(**ring)
    await conversing(the, call)
    config: dict[str, Any] = the.realtime.sessions[-1].config
    await call.hang_up()
    await call.wait_ended()
    return config
