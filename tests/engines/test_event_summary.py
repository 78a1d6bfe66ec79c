"""Every event of a model is in the debug log, in a few words: none of the audio, no instructions, no arguments."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import pytest

from callflow.contracts.engine import ResponseStarted, SessionReady
from callflow.engines.openai_realtime import server_events
from callflow.engines.openai_realtime.event_summary import in_short
from tests.engines.realtime_server import client, run


AUDIO = base64.b64encode(bytes(960)).decode()
SECRET = "never-to-be-shown"
WHERE: dict[str, Any] = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
SESSION = {"id": "sess_1", "model": "gpt-realtime-2.1", "instructions": SECRET, "tools": [{"authorization": SECRET}]}
ITEM = {"id": "item_1", "type": "message", "role": "user", "status": "completed", "content": [{"text": SECRET}]}
CALLS = {"id": "item_1", "type": "function_call", "name": "look_up", "call_id": "c", "arguments": SECRET}
DONE = {
    "id": "resp_1", "status": "failed", "output": [CALLS], "usage": {"input_tokens": 7, "output_tokens": 8},
    "status_details": {"error": {"code": "rate_limit_exceeded", "message": "m"}},
}  # fmt: skip
PART = {"type": "audio", "transcript": SECRET}
LIMITS = [{"name": "tokens", "limit": 40000, "remaining": 39705, "reset_seconds": 0.4}]
HEARD = "conversation.item.input_audio_transcription"
EVENTS: dict[str, tuple[dict[str, Any], str]] = {
    "error": ({"error": {"type": "t", "code": "odd", "message": "It is odd.", "event_id": "e1"}}, "odd: It is odd."),
    "session.created": ({"session": SESSION}, "sess_1 gpt-realtime-2.1"),
    "session.updated": ({"session": SESSION}, "sess_1 gpt-realtime-2.1"),
    "conversation.created": ({"conversation": {"id": "conv_1"}}, ""),
    "conversation.item.added": ({"item": ITEM}, "item_1 message user completed"),
    "conversation.item.done": ({"item": ITEM}, "item_1 message user completed"),
    "conversation.item.retrieved": ({"item": ITEM}, "item_1 message user completed"),
    "conversation.item.truncated": ({**WHERE, "audio_end_ms": 1500}, "at 1500 ms"),
    "conversation.item.deleted": ({"item_id": "item_1"}, "item_1"),
    f"{HEARD}.delta": ({**WHERE, "delta": SECRET}, f"{len(SECRET)} characters"),
    f"{HEARD}.completed": ({**WHERE, "transcript": "When do you open?"}, "17 characters"),
    f"{HEARD}.failed": ({**WHERE, "error": {"code": "audio_unintelligible"}}, "audio_unintelligible"),
    f"{HEARD}.segment": ({**WHERE, "text": SECRET, "speaker": "A"}, f"{len(SECRET)} characters"),
    "input_audio_buffer.committed": ({"item_id": "item_1"}, "item_1"),
    "input_audio_buffer.cleared": ({}, ""),
    "input_audio_buffer.speech_started": ({"audio_start_ms": 10, "item_id": "item_1"}, "item_1"),
    "input_audio_buffer.speech_stopped": ({"audio_end_ms": 900, "item_id": "item_1"}, "at 900 ms"),
    "input_audio_buffer.timeout_triggered": ({"audio_end_ms": 1234567, "item_id": "item_1"}, "at 1234567 ms"),
    "input_audio_buffer.dtmf_event_received": ({"event": SECRET}, ""),
    "output_audio_buffer.started": ({"response_id": "resp_1"}, "resp_1"),
    "output_audio_buffer.stopped": ({"response_id": "resp_1"}, "resp_1"),
    "output_audio_buffer.cleared": ({"response_id": "resp_1"}, "resp_1"),
    "response.created": ({"response": {"id": "resp_1", "status": "in_progress"}}, "resp_1 in_progress"),
    "response.done": ({"response": DONE}, "resp_1 failed because rate_limit_exceeded usage 7 8"),
    "response.output_item.added": ({**WHERE, "item": CALLS}, "item_1 function_call look_up"),
    "response.output_item.done": ({**WHERE, "item": CALLS}, "item_1 function_call look_up"),
    "response.content_part.added": ({**WHERE, "part": PART}, "item_1"),
    "response.content_part.done": ({**WHERE, "part": PART}, "item_1"),
    "response.output_audio.delta": ({**WHERE, "delta": AUDIO}, "960 bytes"),
    "response.output_audio.done": (WHERE, "item_1"),
    "response.output_audio_transcript.delta": ({**WHERE, "delta": SECRET}, f"{len(SECRET)} characters"),
    "response.output_audio_transcript.done": ({**WHERE, "transcript": "At nine."}, "8 characters"),
    "response.output_text.delta": ({**WHERE, "delta": SECRET}, f"{len(SECRET)} characters"),
    "response.output_text.done": ({**WHERE, "text": "At nine."}, "8 characters"),
    "response.function_call_arguments.delta": ({**WHERE, "delta": SECRET}, f"{len(SECRET)} characters"),
    "response.function_call_arguments.done": ({**WHERE, "arguments": SECRET, "name": "look_up"}, "item_1"),
    "response.mcp_call_arguments.delta": ({**WHERE, "delta": SECRET}, f"{len(SECRET)} characters"),
    "response.mcp_call_arguments.done": ({**WHERE, "arguments": SECRET}, "item_1"),
    **{f"response.mcp_call.{how}": ({"item_id": "item_1"}, "item_1") for how in ("in_progress", "completed", "failed")},
    **{f"mcp_list_tools.{how}": ({"item_id": "item_1"}, "item_1") for how in ("in_progress", "completed", "failed")},
    "rate_limits.updated": ({"rate_limits": LIMITS}, "tokens 39705 40000 0.4"),
    "response.of_next_year": ({"delta": SECRET, "secret": SECRET}, f"{len(SECRET)} characters"),
}


def test_every_event_is_logged_at_debug_and_at_info_only_what_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            for kind, (fields, _) in EVENTS.items():
                await peer.send(kind, **fields)
            await peer.ws.send("no JSON")
            await peer.send("conversation.item.created", item=ITEM)
            await peer.send("response.created", response={"id": "the last one"})
            await one.until(lambda: "the last one" in [each.response for each in one.of(ResponseStarted)])

    for level in (logging.DEBUG, logging.INFO):
        caplog.clear()
        caplog.set_level(level, "callflow")
        run(main)
        said = [each.getMessage() for each in caplog.records if ": engine 1: " in each.getMessage()]
        if level == logging.INFO:
            assert ["cannot be read" in line for line in said] == [True], said
            continue
        for kind, (_, shown) in EVENTS.items():
            lines = [line for line in said if f": {kind}" in line]
            assert any(shown in line for line in lines), (kind, shown, lines)
            assert all(line.startswith("call call: ") for line in lines)
        assert any("cannot be read" in line for line in said)
        assert not any(SECRET in line or AUDIO[:40] in line for line in said)
        assert not any("sk-test" in line for line in said)


@pytest.mark.parametrize("odd", [[], 5, "text", {"id": [1]}, {"id": {"a": 1}, "status": None}, None])
def test_whatever_stands_in_an_event_it_can_be_shown(odd: Any) -> None:
    parts = ("item", "response", "session", "error", "usage", "rate_limits")
    for kind in EVENTS:
        event = server_events.decode(json.dumps({"type": kind, **dict.fromkeys(parts, odd), "delta": odd, "text": odd}))
        assert in_short(event).startswith(event.type)
