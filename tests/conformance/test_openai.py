"""The Realtime client against the official models: their JSON Schemas, and the `openai` package itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from callflow.contracts.engine import (
    AudioDelta,
    ContextImage,
    ContextItem,
    ContextPart,
    EngineEvent,
    ErrorReported,
    ResponseDone,
    SessionLost,
    SpeechStarted,
    Transcript,
)
from callflow.contracts.tools import ToolCall
from callflow.engines.openai_realtime import server_events
from tests.configs import realtime_config
from tests.conformance.schemas import complaints, load, unknown_keys
from tests.engines.realtime_server import Peer, client, run


CLIENT_EVENTS = "openai/client-events.schema.json"
CONFIGS: dict[str, dict[str, Any]] = {
    "everything": {
        "instructions": "Be brief.",
        "voice": "cedar",
        "transcription_model": "gpt-transcribe",
        "noise_reduction": "near_field",
        "vad_threshold": 0.8,
        "vad_prefix_padding_ms": 200,
        "vad_silence_ms": 700,
    },
    "far field": {"noise_reduction": "far_field"},
    "as little as can be": {},
}


CONTEXT: list[ContextPart] = [
    ContextItem("caller", "Where is it?"),
    ContextItem("agent", "On its way."),
    ContextItem("system", "The caller pressed 1."),
    ContextImage("data:image/png;base64,iVBORw0KGgo=", "The parcel."),
    ToolCall("call_1", "find", "{}"),
]
QUESTION = {"id": "mcpr_1", "type": "mcp_approval_request", "server_label": "shop", "name": "buy", "arguments": "{}"}


@cache
def everything_sent(which: str) -> list[dict[str, Any]]:
    """One of every event that the client can send, taken from the wire: both sessions, audio, greeting, and so on."""
    sent: list[dict[str, Any]] = []

    async def refuse_the_full(peer: Peer, event: dict[str, Any]) -> None:
        if event["event_id"] == "session-full":
            await peer.refuse(about="session-full")
        else:
            await peer.send("session.updated", session=event["session"])

    async def work() -> None:
        async with client(refuse_the_full, **CONFIGS[which]) as one:
            one.engine.append("/////w==")
            one.start()
            peer = await one.peer()
            await one.until(lambda: peer.of("input_audio_buffer.append"))
            one.engine.request_response("Say hello.")
            one.engine.truncate("item_1", 0, 1500)
            one.engine.cancel("resp_1")
            one.engine.add_context(CONTEXT)
            one.engine.answer_tool("call_1", "{}", speak=False)
            one.engine.finish_turn()
            await peer.send("response.output_item.done", response_id="resp_2", output_index=0, item=QUESTION)
            await one.until(lambda: len(peer.events) == len(KINDS))
            sent.extend(peer.events)

    run(work)
    return sent


KINDS = [
    "session.update",
    "session.update",
    "input_audio_buffer.append",
    "response.create",
    "conversation.item.truncate",
    "response.cancel",
    *["conversation.item.create"] * (len(CONTEXT) + 1),
    "input_audio_buffer.commit",
    "conversation.item.create",
]
ITEMS = [
    *("user", "assistant", "system", "user", "function_call"),
    *("function_call_output", "mcp_approval_response"),
]


@pytest.mark.parametrize("which", CONFIGS)
def test_this_is_everything_that_the_client_sends(which: str) -> None:
    sent = everything_sent(which)
    assert [event["type"] for event in sent] == KINDS
    items = [event["item"] for event in sent if "item" in event]
    assert [item.get("role") or item["type"] for item in items] == ITEMS


@pytest.mark.parametrize("which", CONFIGS)
def test_what_we_send_is_in_the_schema(which: str) -> None:
    document = load(CLIENT_EVENTS)
    for event in everything_sent(which):
        assert complaints(CLIENT_EVENTS, "", event) == [], event
        assert unknown_keys(document, document, event) == [], event


def test_the_check_itself_sees_mistakes() -> None:
    document = load(CLIENT_EVENTS)
    full = everything_sent("everything")[0]

    def changed(change: Callable[[Any], None]) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(json.dumps(full))
        change(event["session"])
        return event

    for change, where in (
        (lambda session: session.update(temperature=0.8), "$.session.temperature"),
        (lambda session: session.update(modalities=["audio"]), "$.session.modalities"),
        (lambda session: session["audio"]["output"]["format"].update(rate=8000), "$.session.audio.output.format.rate"),
        (lambda session: session["audio"]["input"].update(vad={}), "$.session.audio.input.vad"),
    ):
        assert unknown_keys(document, document, changed(change)) == [where]
    assert complaints(CLIENT_EVENTS, "", {"type": "conversation.item.truncate", "item_id": "i"})
    wrong = changed(lambda session: session["audio"]["input"]["turn_detection"].update(threshold="high"))
    assert complaints(CLIENT_EVENTS, "", wrong)


# The official package


@pytest.fixture(scope="module")
def oracle() -> Any:
    """Reads a client event with the official package's models."""
    pydantic = pytest.importorskip("pydantic")
    realtime = pytest.importorskip("openai.types.realtime", reason="the openai package is an oracle of the tests only")
    return pydantic.TypeAdapter(realtime.RealtimeClientEvent)


def _extras(model: Any, at: str = "$") -> list[str]:
    """What the models kept without knowing it: they let every key through."""
    if isinstance(model, list):
        return [name for number, one in enumerate(model) for name in _extras(one, f"{at}[{number}]")]
    if not hasattr(type(model), "model_fields"):
        return []
    found = [f"{at}.{name}" for name in model.model_extra or ()]
    for name in type(model).model_fields:
        found += _extras(getattr(model, name), f"{at}.{name}")
    return found


@pytest.mark.parametrize("which", CONFIGS)
@pytest.mark.exhaustive
def test_the_official_package_reads_what_we_send(oracle: Any, which: str) -> None:
    for event in everything_sent(which):
        model = oracle.validate_python(event)
        assert model.type == event["type"]
        assert _extras(model) == [], event
        assert model.model_dump(exclude_unset=True, mode="json") == event


@pytest.mark.exhaustive
def test_the_official_package_knows_no_other_keys(oracle: Any) -> None:
    full = json.loads(json.dumps(everything_sent("everything")[0]))
    full["session"]["temperature"] = 0.8
    full["session"]["audio"]["output"]["format"]["rate"] = 8000
    found = _extras(oracle.validate_python(full))
    assert sorted(found) == ["$.session.audio.output.format.rate", "$.session.temperature"]


# What the server says


def _samples(part: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = load("openai/samples.json")["server"][part]
    return found


def _read(event: dict[str, Any]) -> EngineEvent | None:
    return server_events.read(server_events.decode(json.dumps(event)))


def test_every_sample_is_read() -> None:
    seen = {
        event["type"]: _read(event)
        for part in ("connect", "vad_turn", "function_call_turn", "barge_in", "idle", "sip", "errors")
        for event in _samples(part)
    }
    for kind in set(server_events._READERS) & set(seen):
        assert seen[kind] is not None or kind == "conversation.item.added", kind
    assert len(seen) > 25


def test_a_turn_of_the_samples_is_heard_as_a_turn() -> None:
    heard = [event for event in map(_read, _samples("vad_turn")) if event is not None]
    assert isinstance(heard[0], SpeechStarted)
    assert [event for event in heard if isinstance(event, AudioDelta) and event.audio and event.item and event.response]
    assert {event.who for event in heard if isinstance(event, Transcript) and event.final} == {"caller", "agent"}
    done = [event for event in heard if isinstance(event, ResponseDone)]
    assert [event.status for event in done] == ["completed"]


def test_an_interruption_of_the_samples_is_a_cancelled_response() -> None:
    heard = [_read(event) for event in _samples("barge_in")]
    assert [(one.status, one.detail) for one in heard if isinstance(one, ResponseDone)] == [
        ("cancelled", "turn_detected")
    ]


def test_the_errors_of_the_samples_are_told_apart() -> None:
    heard = [_read(event) for event in _samples("errors")]
    assert [type(one) for one in heard] == [ErrorReported, ErrorReported, SessionLost, ResponseDone]


@pytest.mark.exhaustive
def test_the_package_reads_the_samples_that_we_read() -> None:
    """Our samples are what the official package takes for server events, too."""
    pydantic = pytest.importorskip("pydantic")
    realtime = pytest.importorskip("openai.types.realtime", reason="the openai package is an oracle of the tests only")
    adapter = pydantic.TypeAdapter(realtime.RealtimeServerEvent)
    for event in _samples("vad_turn"):
        assert adapter.validate_python(event).type == event["type"]
        assert server_events.decode(json.dumps(event)).type == event["type"]


def test_no_beta_header_is_ever_sent() -> None:
    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.server.handshakes)
            assert not [name for name in one.server.handshakes[0].headers if name.lower().startswith("openai-beta")]
            assert "Sec-WebSocket-Protocol" not in one.server.handshakes[0].headers

    run(work)


def test_the_defaults_send_a_model_that_is_not_retired() -> None:
    assert realtime_config().model.startswith("gpt-realtime-2")
