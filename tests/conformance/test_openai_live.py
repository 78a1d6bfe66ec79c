"""The full-duplex client and its emulator against the official models: every event that either sends."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, Final

import pytest

from callflow.config.settings import Settings
from callflow.contracts.engine import ContextItem, EngineEvent, SessionContext, SessionReady, ToolCalls
from callflow.contracts.tools import ToolCall
from callflow.engines.openai_live.adapter import OpenAILive
from callflow.sandbox.openai_realtime import Call, Pace, Realtime, Script, Turn
from callflow.switchboard.engine_choice import live_config
from tests.conformance.schemas import complaints, folder, load, unknown_keys
from tests.e2e.product import until


CLIENT: Final = "openai/live-client-events.schema.json"
SERVER: Final = "openai/live-server-events.schema.json"
NOTE: Final = {
    "type": "function", "name": "note", "description": "Write something down.",
    "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}  # fmt: skip


async def _spoken(realtime: Realtime, config: Any, context: SessionContext) -> tuple[list[Any], list[Any]]:
    """One session in which everything is sent that the client can send. Returns what each side has sent."""
    told: list[EngineEvent] = []
    engine = OpenAILive(config, context, told.append)
    earlier = ToolCall("call_before", "note", "{}")
    said = [ContextItem("caller", "Hello?"), ContextItem("agent", "Good day."), ContextItem("system", "It is Monday.")]
    engine.add_context([*said, earlier])
    running = asyncio.create_task(engine.run())
    await until(lambda: SessionReady() in told, "the session")
    engine.request_response("Greet the caller.")
    if context.tools:
        await until(lambda: any(isinstance(event, ToolCalls) for event in told), "a tool to be called")
        call = next(event for event in told if isinstance(event, ToolCalls)).calls[0]
        engine.answer_tool(call.id, '{"done": true}')
    engine.append("/////w==")
    engine.set_turn_detection(on=False)
    engine.set_turn_detection(on=True)
    engine.update({"instructions": "Speak more slowly."})
    engine.add_context([ContextItem("system", "The line is bad.")])
    engine.answer_tool("call_before", "written down")
    session = realtime.live_sessions[-1]
    await session.wait_for(lambda live: live.spoken_ms > 100)
    engine.wind_up(speaking=False)
    await session.closed.wait()
    await engine.close()
    await running
    assert session.violations == []
    assert session.audio_in
    audio = [{"type": "session.input_audio.append", "audio": "/////w=="}]
    return session.received + audio, session.sent


@pytest.mark.e2e
async def test_both_sides_send_only_what_the_vendor_documents() -> None:
    folder()  # skips without the contracts
    received: list[Any] = []
    sent: list[Any] = []
    script = Script.of(Turn((Call("note", {"text": "x"}),)), otherwise=Turn.say("One moment."))
    async with Realtime(script=script, pace=Pace.instant()) as realtime:
        base = dataclasses.replace(live_config(Settings()), api_key=realtime.api_key, url=realtime.live_url)
        tools = SessionContext("call", tools=[NOTE])
        for config, context in (
            (dataclasses.replace(base, delegation_model="gpt-5", voice="voice_ours", instructions="Be brief."), tools),
            (dataclasses.replace(base, delegation_model="gpt-5", tool_choice="note", parallel_tool_calls="off"), tools),
            (base, SessionContext("call")),
        ):
            ours, theirs = await _spoken(realtime, config, context)
            received += ours
            sent += theirs
    assert {
        *("session.start", "session.input_audio.append", "session.input_audio.mute", "session.input_audio.unmute"),
        *("session.instructions.append", "session.thinking.append", "response.item.create", "response.create"),
        "session.close",
    } == {event["type"] for event in received}
    for name, events in ((CLIENT, received), (SERVER, sent)):
        schema = load(name)
        for event in {repr(event): event for event in events}.values():
            assert complaints(name, "", event) == [], event
            assert unknown_keys(schema, schema, event) == [], event
