"""Tools that the vendor runs: what it asks of us is answered in a form that it takes."""

from __future__ import annotations

import asyncio

import pytest

from callflow.contracts.engine import EngineEvent, ErrorReported, HostedTool, McpApproval, SessionContext, SessionReady
from callflow.contracts.secret_text import Secrets
from callflow.engines.common.channel import Channel
from callflow.engines.openai_realtime.adapter import OpenAIRealtime
from callflow.engines.openai_realtime.hosted_tools import HostedTools
from callflow.engines.openai_realtime.server_events import decode
from callflow.sandbox.openai_realtime import Ask, Pace, Realtime, Script, Turn
from tests.configs import realtime_config
from tests.engines.realtime_server import run


@pytest.mark.parametrize(("setting", "approved"), [("approve", True), ("decline", False)])
def test_the_answer_to_a_question_for_leave_has_an_id_of_its_own_without_which_it_is_refused(
    setting: str, approved: bool
) -> None:
    async def work() -> None:
        script = Script.of(Turn((Ask("buy", {"what": "tea"}),)), otherwise=Turn.silence())
        async with Realtime(script=script, pace=Pace.instant()) as realtime:
            told: list[EngineEvent] = []
            ready = asyncio.Event()

            def tell(event: EngineEvent) -> None:
                told.append(event)
                if isinstance(event, SessionReady):
                    ready.set()

            config = realtime_config(url=realtime.url, api_key=realtime.api_key, mcp_approval=setting)
            engine = OpenAIRealtime(config, SessionContext("call"), tell)
            running = asyncio.create_task(engine.run())
            session = await realtime.wait_session()
            await ready.wait()
            engine.request_response()
            asked = (await session.wait_sent("response.output_item.done")).event["item"]
            taken = {"type": "mcp_approval_response"}
            made = await session.wait_sent(
                "conversation.item.done", where=lambda event: event["item"].items() >= taken.items()
            )
            answer = made.event["item"]
            assert (answer["approval_request_id"], answer["approve"]) == (asked["id"], approved)
            assert session.violations == []
            assert McpApproval("shop", "buy", approved) in told
            await engine.close()
            await running

    run(work)


def test_what_hosted_tools_have_done_is_told_once_and_why_there_are_none() -> None:
    told: list[EngineEvent] = []
    channel = Channel(SessionContext("call"), told.append, Secrets(["sk-12345678"]))
    tools = HostedTools(channel)
    call = {"id": "m1", "type": "mcp_call", "server_label": "shop", "name": "buy", "arguments": '{"key":"sk-12345678"}'}
    for item in (call, call | {"output": "2 left"}, call | {"output": "2 left"}, None, {"id": 5, "type": "mcp_call"}):
        tools.item(item)
    tools.item(call | {"id": "m2", "arguments": None, "error": {"type": "http_error", "code": 500, "message": "down"}})
    tools.item({"id": "l1", "type": "mcp_list_tools", "server_label": "shop", "tools": []})
    tools.listing_failed(decode(b'{"type":"mcp_list_tools.failed","item_id":"l1"}'))
    first, failed, complaint, unlisted = told
    assert isinstance(first, HostedTool)
    assert first == ("m1", "shop", "buy", first.arguments, "2 left", True)
    assert "sk-1" not in first.arguments
    assert failed == HostedTool("m2", "shop", "buy", "", "down", ok=False)
    assert complaint == ErrorReported("mcp_call", "shop.buy has failed: down")
    assert isinstance(unlisted, ErrorReported)
    assert unlisted.message.startswith("the tools of shop (MCP) cannot be listed")


def test_events_about_hosted_tools_reach_the_call_from_the_socket() -> None:
    async def work() -> None:
        async with Realtime(script=Script.silent(), pace=Pace.instant()) as realtime:
            told: list[EngineEvent] = []
            moved = asyncio.Event()
            config = realtime_config(url=realtime.url, api_key=realtime.api_key)

            def tell(event: EngineEvent) -> None:
                told.append(event)
                moved.set()

            engine = OpenAIRealtime(config, SessionContext("call"), tell)
            running = asyncio.create_task(engine.run())
            session = await realtime.wait_session()
            listed = {"id": "l1", "type": "mcp_list_tools", "server_label": "shop"}
            call = {
                "id": "m1",
                "type": "mcp_call",
                "server_label": "shop",
                "name": "buy",
                "arguments": "{}",
                "output": "x",
            }
            session.send({"type": "conversation.item.added", "item": listed})
            session.send({"type": "mcp_list_tools.failed", "item_id": "l1"})
            session.send({"type": "response.output_item.done", "response_id": "r", "item": call})
            while not any(isinstance(event, HostedTool) for event in told):
                moved.clear()
                await moved.wait()
            assert [event for event in told if isinstance(event, ErrorReported) and "of shop" in event.message]
            await engine.close()
            await running

    run(work)
