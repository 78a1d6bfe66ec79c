"""What the emulated model refuses, in the words of the real one."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from callflow.sandbox import voices
from callflow.sandbox.openai_realtime import Pace, Quirks, Script, Session
from callflow.sandbox.openai_realtime.config import defaults, updated
from callflow.sandbox.openai_realtime.events import CLIENT_EVENTS, validate
from callflow.sandbox.openai_realtime.script import tone
from tests.sandbox.test_openai_realtime import PCMU, VAD, Client, hold


def audio_in(**settings: Any) -> dict[str, Any]:
    return {"type": "realtime", "audio": {"input": settings}}


def output(**settings: Any) -> dict[str, Any]:
    return {"type": "realtime", "audio": {"output": settings}}


def realtime(**settings: Any) -> dict[str, Any]:
    return {"type": "realtime", **settings}


TRANSCRIPTION = "session.audio.input.transcription"
TURNS = "session.audio.input.turn_detection"
UPDATES: list[tuple[dict[str, Any], str, str | None, str]] = [
    ({}, "missing_required_parameter", "session.type", "Missing required parameter: 'session.type'."),
    (
        realtime(temperature=0.8),
        "unknown_parameter",
        "session.temperature",
        "Unknown parameter: 'session.temperature'.",
    ),
    (realtime(voice="alloy"), "unknown_parameter", "session.voice", "Unknown parameter"),
    (realtime(modalities=["text"]), "unknown_parameter", "session.modalities", "Unknown parameter"),
    (realtime(id="sess_1"), "unknown_parameter", "session.id", "Unknown parameter"),
    (realtime(output_modalities=["text", "audio"]), "invalid_value", "session.output_modalities", "Invalid modalities"),
    (realtime(max_output_tokens=0), "integer_below_min_value", "session.max_output_tokens", ">= 1, but got 0"),
    (realtime(max_output_tokens=4097), "integer_above_max_value", "session.max_output_tokens", "<= 4096, but got 4097"),
    (realtime(instructions=None), "invalid_type", "session.instructions", "expected a string, but got null"),
    (realtime(tool_choice="always"), "invalid_value", "session.tool_choice", "'none', 'auto', and 'required'"),
    (realtime(truncation={"type": "retention_ratio", "retention_ratio": 2}), "decimal_above_max_value", None, "<= 1"),
    (realtime(tools=[{"type": "function", "function": {}}]), "missing_required_parameter", "session.tools[0].name", ""),
    (
        realtime(tools=[{"type": "function", "name": "a", "strict": True}]),
        "unknown_parameter",
        "session.tools[0].strict",
        "Unknown parameter",
    ),
    (realtime(tools=[{"type": "mcp", "server_label": "a", "headers": {}}]), "missing_required_parameter", None, ""),
    (realtime(model="gpt-realtime-1.5"), "cannot_update_model", "session.model", "model"),
    ({"type": "transcription"}, "invalid_session_type", "session.type", "transcription session"),
    (output(speed=2.0), "decimal_above_max_value", "session.audio.output.speed", "<= 1.5, but got 2.0"),
    (
        output(voice="nova"),
        "invalid_value",
        "session.audio.output.voice",
        "Invalid value: 'nova'. Supported values are:",
    ),
    (
        output(format={"type": "audio/pcmu", "rate": 8000}),
        "unknown_parameter",
        "session.audio.output.format.rate",
        "Unknown parameter",
    ),
    (audio_in(format={"type": "g711_ulaw"}), "invalid_value", "session.audio.input.format.type", "audio/pcmu"),
    (audio_in(format="g711_ulaw"), "invalid_type", "session.audio.input.format", "expected an object"),
    (audio_in(format={"type": "audio/pcm", "rate": 8000}), "integer_below_min_value", None, "24000"),
    (audio_in(turn_detection={"threshold": 0.5}), "missing_required_parameter", f"{TURNS}.type", "Missing required"),
    (
        audio_in(turn_detection={"type": "server_vad", "threshold": 1.1}),
        "decimal_above_max_value",
        f"{TURNS}.threshold",
        "<= 1, but got 1.1",
    ),
    (
        audio_in(turn_detection={"type": "server_vad", "idle_timeout_ms": 4000}),
        "integer_below_min_value",
        f"{TURNS}.idle_timeout_ms",
        ">= 5000",
    ),
    (
        audio_in(turn_detection={"type": "semantic_vad", "idle_timeout_ms": 6000}),
        "unknown_parameter",
        f"{TURNS}.idle_timeout_ms",
        "Unknown",
    ),
    (audio_in(transcription={"language": "en"}), "missing_required_parameter", f"{TRANSCRIPTION}.model", "Missing"),
    (audio_in(transcription={"model": "parrot"}), "invalid_value", f"{TRANSCRIPTION}.model", "'whisper-1'"),
    (
        audio_in(transcription={"model": "whisper-1", "keywords": ["Callflow"]}),
        "unsupported_parameter",
        f"{TRANSCRIPTION}.keywords",
        "'whisper-1'",
    ),
    (audio_in(transcription={"model": "gpt-realtime-whisper"}), "invalid_value", TURNS, "must be null"),
    (
        audio_in(noise_reduction={"type": "loud"}),
        "invalid_value",
        "session.audio.input.noise_reduction.type",
        "near_field",
    ),
]


def test_a_reusable_prompt_is_refused_since_there_are_none_any_more() -> None:
    async def talk(client: Client, session: Session) -> None:
        session.quirks = Quirks(prompts=False)
        prompt = {"id": "pmpt_1"}
        for kind, given in (
            ("session.update", {"session": realtime(prompt=prompt)}),
            ("response.create", {"response": {"prompt": prompt}}),
        ):
            error = await client.ask(kind, **given)
            assert (error["code"], error["param"]) == ("unsupported_parameter", f"{kind.partition('.')[0]}.prompt")
        session.quirks = Quirks(prompts=True)
        await client.send("session.update", session=realtime(prompt=prompt))
        await session.wait_sent("session.updated")

    hold(talk)


def test_a_bad_update_is_refused_and_nothing_of_it_is_applied() -> None:
    async def talk(client: Client, session: Session) -> None:
        before = json.dumps(session.config)
        for n, (update, code, param, message) in enumerate(UPDATES):
            good = {"instructions": "Applied."} if update else {}
            error = await client.ask("session.update", session=good | update, event_id=f"su_{n}")
            assert error["code"] == code, (update, error)
            assert param is None or error["param"] == param, (update, error)
            assert message in error["message"], (update, error)
            assert error["type"] == "invalid_request_error"
            assert error["event_id"] == f"su_{n}"
        assert json.dumps(session.config) == before
        assert len(session.violations) == len(UPDATES)
        assert "session.updated" not in client.types()

    hold(talk)


EVENTS: list[tuple[str, dict[str, Any], str | None, str]] = [
    ("input_audio_buffer.commit", {}, "input_audio_buffer_commit_empty", "but buffer only has 0.00ms of audio."),
    ("response.cancel", {}, "response_cancel_not_active", "Cancellation failed: no active response found"),
    ("output_audio_buffer.clear", {}, "invalid_value", "WebRTC and SIP"),
    ("transcription_session.update", {}, "invalid_value", "Invalid value: 'transcription_session.update'. Supported"),
    ("input_audio_buffer.append", {}, "missing_required_parameter", "Missing required parameter: 'audio'."),
    ("input_audio_buffer.append", {"audio": "not base64!"}, "invalid_value", "Expected base64-encoded audio bytes"),
    ("response.create", {"response": {"modalities": ["text"]}}, "unknown_parameter", "'response.modalities'"),
    ("response.create", {"urgent": True}, "unknown_parameter", "Unknown parameter: 'urgent'."),
    ("response.create", {"response": {"metadata": {"a": "b" * 513}}}, "string_above_max_length", "maximum length 512"),
    ("conversation.item.retrieve", {"item_id": "item_x"}, "item_retrieve_invalid_item_id", "item_x"),
    ("conversation.item.delete", {"item_id": "item_x"}, "item_delete_invalid_item_id", "item_x"),
    (
        "conversation.item.truncate",
        {"item_id": "item_x", "content_index": 0, "audio_end_ms": 1},
        "item_truncate_invalid_item_id",
        "Item with item_id not found: item_x",
    ),
    (
        "conversation.item.truncate",
        {"item_id": "item_x", "content_index": 0},
        "missing_required_parameter",
        "audio_end_ms",
    ),
    (
        "conversation.item.truncate",
        {"item_id": "item_x", "content_index": 0, "audio_end_ms": 1.5},
        "invalid_type",
        "expected an integer, but got a decimal",
    ),
    (
        "conversation.item.create",
        {"item": {"type": "function_call_output", "call_id": "call_x", "output": ""}},
        "invalid_tool_call_id",
        "call_x",
    ),
    (
        "conversation.item.create",
        {"item": {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "audio": ""}]}},
        "invalid_value",
        "'output_text'",
    ),
    (
        "conversation.item.create",
        {"item": {"type": "message", "role": "user", "content": [{"type": "text", "text": "hi"}]}},
        "invalid_value",
        "'input_text'",
    ),
    (
        "conversation.item.create",
        {"item": {"type": "mcp_approval_response", "approval_request_id": "mcpr_x", "approve": True}},
        "missing_required_parameter",
        "'item.id'",
    ),
    (
        "conversation.item.create",
        {"item": {"id": "a", "type": "mcp_approval_response", "approval_request_id": "mcpr_x", "approve": True}},
        "invalid_value",
        "mcpr_x",
    ),
    (
        "conversation.item.create",
        {"previous_item_id": "item_x", "item": {"type": "message", "role": "system", "content": []}},
        "invalid_value",
        "item_x",
    ),
]


_PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(16)).decode()


def test_the_sample_events_of_the_schemas_are_accepted() -> None:
    folder = os.environ.get("CALLFLOW_SCHEMAS")
    if not folder:
        pytest.skip("CALLFLOW_SCHEMAS does not name the folder of the JSON Schemas")
    text = (Path(folder) / "openai" / "samples.json").read_text("utf-8")
    # The sample of a picture is none.
    samples = json.loads(re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", f"data:image/png;base64,{_PNG}", text))[
        "client"
    ]["all"]
    assert {event["type"] for event in samples} == set(CLIENT_EVENTS)
    session = defaults("sess_1", "gpt-realtime-2.1", 0, Quirks(), transcription=False)
    for event in samples:
        validate(event)
        if event["type"] == "session.update":
            session = updated(session, event["session"], Quirks(), voice_locked=False)
    assert session["audio"]["input"]["turn_detection"]["idle_timeout_ms"] == 8000


def test_other_events_are_refused_and_the_session_goes_on() -> None:
    async def talk(client: Client, session: Session) -> None:
        for event_type, fields, code, message in EVENTS:
            error = await client.ask(event_type, **fields)
            assert error["code"] == code, (event_type, fields, error)
            assert message in error["message"], (event_type, fields, error)
        assert session.items == []
        assert len(session.violations) == len(EVENTS)

    hold(talk)


def test_frames_that_are_no_events_are_refused_and_the_session_goes_on() -> None:
    async def talk(client: Client, session: Session) -> None:
        frames: tuple[str | bytes, ...] = ('{"type":', "[]", '{"event_id":"e"}', b"\x00\x01")
        for n, frame in enumerate(frames):
            await client.socket.send(frame)
            assert (await client.get("error", n + 1))["error"]["type"] == "invalid_request_error"
        assert client.of("error")[2]["error"]["message"] == "The 'type' field is missing."
        await client.configure()

    hold(talk)


def test_the_voice_is_locked_by_the_first_audio() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.send("session.update", session=output(voice="marin"))
        await client.send("response.create")
        await client.get("response.done")
        error = await client.ask("session.update", session=output(voice="cedar") | {"instructions": "New."})
        assert error["code"] == "cannot_update_voice"
        assert error["message"] == "Cannot update a conversation's voice if assistant audio is present."
        assert error["param"] is None
        assert session.config["instructions"] != "New."
        await client.send("session.update", session=output(voice="marin"))
        await client.get("session.updated", 2)

    hold(talk, script=Script.tone(0.1))


def test_reasoning_is_for_newer_models_and_the_refusal_names_no_event() -> None:
    async def talk(client: Client, session: Session) -> None:
        update = realtime(reasoning={"effort": "low"})
        error = await client.ask("session.update", session=update, event_id="su_1")
        assert (error["event_id"], error["param"]) == (None, None)

    hold(talk, query="?model=gpt-realtime-1.5")


def test_one_response_at_a_time() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.send("response.create")
        response = (await client.get("response.created"))["response"]["id"]
        error = await client.ask("response.create", event_id="mine")
        assert error["code"] == "conversation_already_has_active_response"
        assert error["message"] == (
            f"Conversation already has an active response in progress: {response}. "
            "Wait until the response is finished before creating a new one."
        )
        assert error["event_id"] is None

    hold(talk, script=Script.tone(5.0), pace=Pace(speed=2))


@pytest.mark.parametrize("choice", ["reject", "reject_then_clamp"])
def test_truncation_beyond_the_audio(choice: Any) -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure()
        await client.send("response.create")
        item = (await client.get("response.done"))["response"]["output"][0]["id"]
        place = {"item_id": item, "content_index": 0}
        error = await client.ask("conversation.item.truncate", **place, audio_end_ms=1700, event_id="mine")
        assert error["message"] == "Audio content of 1500ms is already shorter than 1700ms"
        assert (error["code"], error["event_id"]) == ("invalid_value", None)
        if choice == "reject":
            await client.send("conversation.item.truncate", **place, audio_end_ms=1500)
        assert (await client.get("conversation.item.truncated"))["audio_end_ms"] == 1500
        await client.send("conversation.item.truncate", **place, audio_end_ms=0)
        assert (await client.get("conversation.item.truncated", 2))["audio_end_ms"] == 0
        error = await client.ask("conversation.item.truncate", **place, audio_end_ms=1)
        assert error["message"] == "Audio content of 0ms is already shorter than 1ms"

    hold(talk, script=Script.tone(1.5), quirks=Quirks(truncate_overrun=choice))


def test_only_the_models_audio_can_be_truncated() -> None:
    async def talk(client: Client, session: Session) -> None:
        item = {
            "id": "mine",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi"}],
        }
        await client.send("conversation.item.create", item=item)
        error = await client.ask("conversation.item.truncate", item_id="mine", content_index=0, audio_end_ms=0)
        assert (error["code"], error["message"]) == (None, "Only model output audio messages can be truncated")

    hold(talk)


def test_items_stand_where_they_were_put() -> None:
    async def talk(client: Client, session: Session) -> None:
        for item_id, after in (("one", None), ("two", None), ("zero", "root"), ("half", "zero")):
            item = {"id": item_id, "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
            place = {} if after is None else {"previous_item_id": after}
            await client.send("conversation.item.create", item=item, **place)
        await client.send("conversation.item.delete", item_id="one")
        await client.get("conversation.item.deleted")
        assert [item.id for item in session.items] == ["zero", "half", "two"]
        assert [one["previous_item_id"] for one in client.of("conversation.item.added")] == [None, "one", None, "zero"]
        error = await client.ask("conversation.item.create", item={**item, "id": "two"})
        assert error["param"] == "item.id"

    hold(talk)


def test_a_commit_without_turn_detection() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure(None)
        await client.hear(tone(0.08))
        error = await client.ask("input_audio_buffer.commit")
        assert error["message"].endswith("but buffer only has 80.00ms of audio.")
        await client.hear(tone(0.04))
        await client.send("input_audio_buffer.commit")
        item = (await client.get("input_audio_buffer.committed"))["item_id"]
        await client.send("input_audio_buffer.clear")
        await client.get("input_audio_buffer.cleared")
        assert session.items[0].id == item
        assert len(session.items[0].audio) == 960
        assert "response.created" not in client.types()

    hold(talk)


def test_audio_before_the_update_is_answered_with_the_defaults() -> None:
    """The race of phone bridges: 24 kHz PCM by default, so µ-law sent too early is noise that locks the voice."""

    async def talk(client: Client, session: Session) -> None:
        await client.hear(voices.load("agent/hours"))
        await client.send("response.create")
        await client.get("response.done")
        await client.send("session.update", session=output(voice="marin", format=PCMU))
        assert (await client.get("error"))["error"]["code"] == "cannot_update_voice"
        assert session.config["audio"]["input"]["turn_detection"]["silence_duration_ms"] != VAD["silence_duration_ms"]

    hold(talk, script=Script.tone(0.1))


def test_a_cancel_that_meets_the_end_of_its_response_is_refused_and_no_violation() -> None:
    """A client that cancels what it knows to be over, or cancels twice, could have known better."""

    async def talk(client: Client, session: Session) -> None:
        await client.send("response.create")
        await client.get("response.done")
        assert (await client.ask("response.cancel"))["code"] == "response_cancel_not_active"
        assert session.violations == []
        session.responses[0].ended_by_itself_at -= 1
        await client.ask("response.cancel", response_id=session.responses[0].id)
        assert len(session.violations) == 1
        session.script = Script.tone(60.0)
        await client.send("response.create")
        await client.get("response.created", 2)
        for _ in range(2):
            await client.send("response.cancel", response_id=session.responses[1].id)
        await client.get("error", 3)
        assert len(session.violations) == 2

    hold(talk, script=Script.tone(0.1))
