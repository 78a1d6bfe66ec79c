"""The phone of `serve`: an emulated carrier inside the server, of which the public port knows nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from callflow.cli.phone_line import phone_line
from callflow.sandbox.common.phone import is_loud
from callflow.sandbox.twilio import Twilio
from callflow.sandbox.twilio.emulator import API_KEY
from tests.e2e.product import PUBLIC, Product, product, until


STATUS = "/twilio/status"


@contextlib.asynccontextmanager
async def stage(**settings: Any) -> AsyncIterator[Product]:
    """A server with a real carrier beside its phone."""
    async with product(beside=phone_line, **settings) as the:
        yield the


def phone(the: Product, query: str = "", **options: Any) -> Any:
    return connect(f"ws://127.0.0.1:{the.app.console_at[1]}/api/phone{query}", proxy=None, **options)


async def hears(socket: Any, loud: int = 20) -> None:
    while loud > 0:
        message = await socket.recv()
        loud -= isinstance(message, bytes) and is_loud(message)


async def test_it_rings_over_the_operators_port_alone_and_reaches_nobody_else() -> None:
    profiles = {"bakery": {"numbers": ["+15550100042"], "instructions": "Sell bread."}}
    targets = "mia=+15550100077"
    async with stage(carrier=Twilio(PUBLIC), profiles=profiles, transfer_targets=targets, journal_seconds=2.0) as the:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{the.app.console_at[1]}") as client:
            about = (await client.get("/api/phone")).json()
        assert about["numbers"] == [{"profile": "bakery", "to": "+15550100042"}]
        async with phone(the, "?to=%2B15550100042&from=%2B15550100099") as socket:
            told = json.loads(await socket.recv())
            assert (told["to"], told["from"]) == ("+15550100042", "+15550100099")
            await hears(socket)
            call = the.call
            assert (call.carrier.name, call.from_number, call.config.profile) == ("phone", "+15550100099", "bakery")
            assert "transfer_call" not in [tool["name"] for tool in call.agent.tool_calls.definitions]

            line: Any = the.app.phone
            mount = line.mount
            ports = {"public": the.app.public_at[1], "operators": the.app.console_at[1]}
            form = {"CallSid": "CAx", "CallStatus": "completed"}
            paths = {"": f"{PUBLIC}{STATUS}", f"/phone/{mount.key}": f"https://phone.invalid/phone/{mount.key}{STATUS}"}
            answers = {}
            async with httpx.AsyncClient() as client:
                for port, number in ports.items():
                    for path, url in paths.items():
                        signed = line.line.exchange.signer.sign(url, form)
                        at = f"http://127.0.0.1:{number}{path}{STATUS}"
                        answers[port, bool(path)] = (await client.post(at, data=form, headers=signed)).status_code
                at = f"http://127.0.0.1:{ports['operators']}/phone/{mount.key}{STATUS}"
                assert (await client.post(at, data=form)).status_code == 403, "it is not signed"
                commands = line.line.exchange.base_url
                assert (await client.post(f"{commands}/sandbox/ring", json={})).status_code in (401, 404)
                calls = f"{commands}/2010-04-01/Accounts/{line.line.exchange.account_sid}/Calls.json"
                assert (await client.get(calls, auth=API_KEY)).status_code == 401, "the sandbox's usual key opens it"
            assert answers == {
                ("public", False): 403, ("public", True): 404, ("operators", False): 404, ("operators", True): 204,
            }  # fmt: skip
            token = call._streams.url.rpartition("/")[2]
            with pytest.raises(InvalidStatus, match="403"):
                async with connect(f"ws://127.0.0.1:{the.app.public_at[1]}/media-stream/{token}", proxy=None):
                    pass
            await socket.send('{"type": "hangup"}')
            await until(lambda: not the.app.switchboard.calls, "the call to be over")
        assert not the.carrier.calls, "the real carrier saw something of it"


async def test_where_the_model_costs_money_nobody_rings_without_a_token() -> None:
    async with stage(openai_realtime_url="wss://model.invalid/v1/realtime") as the:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{the.app.console_at[1]}") as client:
            assert (await client.get("/api/phone")).json()["needs_token"] is True
        with pytest.raises(InvalidStatus, match="401"):
            async with phone(the):
                pass
        assert not the.app.switchboard.calls
