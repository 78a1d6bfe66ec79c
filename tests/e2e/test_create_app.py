"""`create_app` under an ASGI server of the user's own: Hypercorn, as it comes, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config

import server
from callflow.config.settings import Settings
from callflow.contracts.errors import SettingsError
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from tests.e2e.product import Exchange, exchange


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
TOKEN: Final = "a-token-of-24-characters"
BEARER: Final = {"Authorization": f"Bearer {TOKEN}"}


def settings(folder: Path, carrier: Exchange, realtime: Realtime, **more: Any) -> Settings:
    return Settings(**{
        "openai_api_key": realtime.api_key,
        "openai_realtime_url": realtime.url,
        **carrier.settings(),
        "data_dir": str(folder),
        "farewell_seconds": 2,
        "drain_seconds": 0.1,
        **more,
    })  # fmt: skip


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The address of an app that Hypercorn serves; it ends with its lifespan."""
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{bound.detach()}"]
    config.graceful_timeout = 0.1
    config.accesslog = config.errorlog = None
    closing = asyncio.Event()
    task = asyncio.create_task(serve(app, config, shutdown_trigger=closing.wait))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        closing.set()
        await asyncio.wait_for(task, 20)


async def whole_call(carrier: Exchange, ask: httpx.AsyncClient) -> None:
    """A caller rings, hears the agent and hangs up."""
    async with asyncio.timeout(10):
        while (await ask.get("/health")).status_code != 200:  # noqa: ASYNC110 - it starts to serve at any moment
            await asyncio.sleep(0.02)
    phone = Phone()
    call = await carrier.ring(phone=phone)
    await call.wait_streaming()
    await phone.hears(0.3)
    await call.hang_up()


@contextlib.asynccontextmanager
async def stage(
    folder: Path, *, console: bool = False, **more: Any
) -> AsyncIterator[tuple[Exchange, httpx.AsyncClient]]:
    realtime = Realtime(script=Script.tone(0.4), pace=Pace.instant())
    async with exchange() as carrier, realtime:
        app = server.create_app(settings(folder, carrier, realtime, **more), console=console)
        async with served(app) as address, httpx.AsyncClient(base_url=address, timeout=10) as ask:
            carrier.set_server(address)
            yield carrier, ask


async def test_the_public_app_answers_a_call_and_has_no_console(tmp_path: Path) -> None:
    async with stage(tmp_path, console_token=TOKEN) as (carrier, ask):
        await whole_call(carrier, ask)
        for path in ("/api/calls", "/tools", "/mcp", "/api/conversations", "/api/session"):
            assert (await ask.get(path, headers=BEARER)).status_code == 404, path


async def test_beside_the_public_app_the_console_asks_for_its_token(tmp_path: Path) -> None:
    async with stage(tmp_path, console=True, console_token=TOKEN) as (carrier, ask):
        await whole_call(carrier, ask)
        for headers in ({}, {"Authorization": "Bearer another-token-of-24-char"}):
            for path in ("/api/calls", "/tools", "/api/conversations", "/api/session"):
                refused = await ask.get(path, headers=headers)
                assert (refused.status_code, "error" in refused.json()) == (401, True), path
        refused = await ask.post("/mcp", json={})
        assert refused.status_code == 401
        (name,) = (await ask.get("/api/calls/live", headers=BEARER)).json()["recorded"]
        told = (await ask.get(f"/api/calls/{name}", headers=BEARER)).json()
        assert told["entries"][0]["event"]["event"] == "began"
        assert (await ask.get("/tools", headers=BEARER)).status_code == 200


async def test_the_public_paths_stay_the_public_apps_beside_the_console(tmp_path: Path) -> None:
    async with stage(tmp_path, console=True, console_token=TOKEN) as (carrier, ask):
        await whole_call(carrier, ask)
        assert (await ask.get("/health")).text == "OK", "not the console's, which is JSON"
        assert (await ask.get("/api/version")).json()["ok"] is True
        assert (await ask.get("/api/version/more")).status_code == 401
        assert (await ask.get("/")).json() == {"message": "Media Stream Server is running!"}
        assert (await ask.get("/nothing")).json()["success"] is False, "an error of the public app"


async def test_without_a_token_there_is_no_console_on_the_public_port(tmp_path: Path) -> None:
    async with exchange() as carrier, Realtime() as realtime:
        chosen = settings(tmp_path, carrier, realtime)
        server.create_app(chosen)
        with pytest.raises(SettingsError, match="CONSOLE_TOKEN is not set"):
            server.create_app(chosen, console=True)
