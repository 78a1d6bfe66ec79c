"""The emulated model takes no more, and says no less, than the real one: models, hosted tools, the beta, SIP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Session
from callflow.sandbox.openai_realtime.sip import SipCall
from tests.sandbox.test_openai_realtime import Client, connected, hold, in_order
from tests.sandbox.test_openai_realtime_faults import status


BETA = {"OpenAI-Beta": "realtime=v1"}
SHOP: dict[str, Any] = {"type": "mcp", "server_label": "shop", "server_url": "https://shop.example"}


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Realtime, httpx.AsyncClient]]:
    """A server, and a client of its REST API for calls."""
    async with asyncio.timeout(10), Realtime(script=Script.silent(), pace=Pace.instant()) as realtime:
        realtime.sip.webhook_url = "http://127.0.0.1:9/"
        calls = f"{realtime.url.replace('ws', 'http', 1)}/calls"
        headers = {"Authorization": f"Bearer {realtime.api_key}"}
        async with httpx.AsyncClient(base_url=calls, headers=headers, trust_env=False) as rest:
            yield realtime, rest


async def accepted(realtime: Realtime, rest: httpx.AsyncClient, **session: Any) -> SipCall:
    call = await realtime.sip.ring()
    answer = await rest.post(f"/{call.id}/accept", json={"type": "realtime", **session})
    assert answer.status_code == 200, answer.text
    return call


@pytest.mark.parametrize(
    ("model", "is_one"),
    [
        ("gpt-realtime-2.1", True), ("gpt-realtime-2.1-mini", True), ("gpt-realtime-2025-08-28", True),
        ("gpt-realtime-mini-2025-12-15", True), ("gpt-realtime-9-typo", False), ("whisper-1", False),
        ("gpt-realtime-whisper", False), ("gpt-4o-realtime-preview-2024-12-17", False),
    ],
)  # fmt: skip
async def test_a_model_that_does_not_exist_is_refused_at_each_door(model: str, is_one: bool) -> None:
    async with serving() as (realtime, rest):
        assert await status(realtime, f"/v1/realtime?model={model}") == (101 if is_one else 404)
        call = await realtime.sip.ring()
        answer = await rest.post(f"/{call.id}/accept", json={"type": "realtime", "model": model})
        assert answer.status_code == (200 if is_one else 400)
        secrets = f"{realtime.url.replace('ws', 'http', 1)}/client_secrets"
        answer = await rest.post(secrets, json={"session": {"type": "realtime", "model": model}})
        assert answer.status_code == (200 if is_one else 400)


async def test_the_beta_is_over_for_calls_as_well() -> None:
    async with serving() as (realtime, rest):
        call = await realtime.sip.ring()
        for action in ("accept", "reject", "refer", "hangup"):
            answer = await rest.post(f"/{call.id}/{action}", json={"type": "realtime"}, headers=BETA)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "beta_api_shape_disabled")
        assert call.state == "ringing"
        call = await accepted(realtime, rest)
        headers = {"Authorization": f"Bearer {realtime.api_key}", **BETA}
        async with connect(f"{realtime.url}?call_id={call.id}", additional_headers=headers) as socket:
            assert json.loads(await socket.recv())["error"]["code"] == "beta_api_shape_disabled"
            await socket.wait_closed()
            assert socket.close_code == 4000


async def test_sockets_beside_a_call_hear_of_the_session_once_each_and_of_keys_with_their_times() -> None:
    async with serving() as (realtime, rest):
        call = await accepted(realtime, rest)
        query = f"?call_id={call.id}"
        async with connected(realtime, query=query, check=False) as one:
            await one.get("session.created")
            async with connected(realtime, query=query, check=False) as other:
                await other.get("session.created")
                await call.press("5")
                for each in (one, other):
                    key = await each.get("input_audio_buffer.dtmf_event_received")
                    assert abs(key["received_at"] - time.time()) < 10
                    assert len(each.of("session.created")) == 1


async def test_a_clear_is_answered_when_nothing_is_played_too() -> None:
    async with serving() as (realtime, rest):
        call = await accepted(realtime, rest)
        async with connected(realtime, query=f"?call_id={call.id}") as client:
            await client.get("session.created")
            await client.send("output_audio_buffer.clear")
            await client.get("output_audio_buffer.cleared")


def test_a_server_of_hosted_tools_is_asked_what_it_can_do_once() -> None:
    async def talk(client: Client, session: Session) -> None:
        tools = [{**SHOP, "allowed_tools": ["buy"]}]
        await client.send("session.update", session={"type": "realtime", "tools": tools})
        done = await client.get("conversation.item.done")
        assert [tool["name"] for tool in done["item"]["tools"]] == ["buy"]
        order = ("session.updated", "conversation.item.added", "mcp_list_tools.in_progress", "mcp_list_tools.completed")
        assert in_order(client.types(), *order)
        # Its label alone stands for it from now on.
        again = {"type": "realtime", "tools": [{"type": "mcp", "server_label": "shop"}]}
        await client.send("session.update", session=again)
        assert (await client.get("session.updated", 2))["session"]["tools"] == tools
        await client.ask("response.cancel")
        assert len(client.of("mcp_list_tools.completed")) == 1

    hold(talk)


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "mcp", "server_label": "shop"}, "server_label"),
        ({**SHOP, "connector_id": "connector_gmail"}, "connector_id"),
        ({**SHOP, "tunnel_id": "t"}, "tunnel_id"),
        ({**SHOP, "authorization": "a", "headers": {"Authorization": "Bearer b"}}, "authorization"),
    ],
)
def test_a_hosted_tool_that_is_nowhere_or_in_two_places_is_refused(tool: dict[str, Any], param: str) -> None:
    async def talk(client: Client, session: Session) -> None:
        error = await client.ask("session.update", session={"type": "realtime", "tools": [tool]})
        assert (error["code"], error["param"]) == ("invalid_value", f"session.tools[0].{param}")
        error = await client.ask("response.create", response={"tools": [tool]})
        assert error["param"] == f"response.tools[0].{param}"

    hold(talk)
