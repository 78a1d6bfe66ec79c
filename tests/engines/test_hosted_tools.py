"""Tools that the vendor runs: what it asks of us is answered in a form that it takes."""

from __future__ import annotations

import asyncio

import pytest

from callflow.contracts.engine import EngineEvent, McpApproval, SessionContext, SessionReady
from callflow.engines.openai_realtime.adapter import OpenAIRealtime
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
