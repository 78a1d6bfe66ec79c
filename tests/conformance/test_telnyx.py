"""The Telnyx adapter against Telnyx's own OpenAPI document, its examples, and what real calls were seen to send."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest
import respx

from callflow.contracts import events
from callflow.contracts.errors import Malformed
from carriers.telnyx.errors import read_error
from carriers.telnyx.media import TelnyxMediaProtocol
from tests.carriers.product import BASE, order, request, telnyx
from tests.carriers.test_dialling import order as dial_order
from tests.carriers.test_telnyx_commands import BODIES, IDS
from tests.conformance.schemas import complaints, folder, load, unknown_keys


OPENAPI = "telnyx/call-control-openapi.json"
FRAMES = "telnyx/media-stream-frames.schema.json"

# Commands


def _sent(command: Any) -> dict[str, Any]:
    async def inner() -> dict[str, Any]:
        adapter = telnyx()
        with respx.mock:
            route = respx.route(method="POST").respond(json={"data": {"result": "ok"}})
            await adapter.execute(order(command))
        await adapter.close()
        body: dict[str, Any] = json.loads(route.calls[0].request.content)
        return body

    return asyncio.run(inner())


def _pointer(action: str) -> str:
    """Where the schema of this action's body lies in the document."""
    operation = load(OPENAPI)["paths"][f"/calls/{{call_control_id}}/actions/{action}"]["post"]
    reference: str = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    return reference.removeprefix("#")


@pytest.mark.parametrize(("action", "command", "body"), BODIES, ids=IDS)
def test_a_command_is_what_telnyx_documents(action: str, command: Any, body: dict[str, Any]) -> None:
    pointer = _pointer(action)
    sent = _sent(command)
    assert complaints(OPENAPI, pointer, sent) == []
    assert unknown_keys(load(OPENAPI), {"$ref": f"#{pointer}"}, sent) == []
    assert set(body) <= set(sent)


@respx.mock
@pytest.mark.parametrize(("stream", "detection"), [(True, "premium"), (False, "standard")])
def test_a_dial_is_what_telnyx_documents(*, stream: bool, detection: str) -> None:
    route = respx.post(f"{BASE}/calls").respond(json={"data": {"call_control_id": "v3:a"}})
    carrier = telnyx(connection_id="17", machine_detection=detection)
    asyncio.run(carrier.dial(dial_order(stream=stream, record=True, machines="message")))
    sent = json.loads(route.calls[0].request.content)
    schema = load(OPENAPI)["paths"]["/calls"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    pointer = schema["$ref"].removeprefix("#")
    assert complaints(OPENAPI, pointer, sent) == []
    assert unknown_keys(load(OPENAPI), schema, sent) == []


def test_the_check_itself_sees_mistakes() -> None:
    pointer = _pointer("answer")
    sent = _sent(BODIES[0][1])
    assert complaints(OPENAPI, pointer, {**sent, "stream_track": "inbound"})
    assert complaints(OPENAPI, pointer, {**sent, "send_silence_when_idle": "yes"})
    assert complaints(OPENAPI, _pointer("reject"), {"cause": "busy"})
    assert complaints(OPENAPI, _pointer("speak"), {"payload": "no voice"})
    document, schema = load(OPENAPI), {"$ref": f"#{pointer}"}
    assert unknown_keys(document, schema, {**sent, "stream_auth_token": "x"}) == ["$.stream_auth_token"]
    nested = {"sound_modifications": {"pitch": 0.5, "pich": 0.5}}
    assert unknown_keys(document, schema, nested) == ["$.sound_modifications.pich"]


# Errors


def test_every_documented_error_is_read() -> None:
    groups = load("telnyx/error-examples.json")
    status = {"UnprocessableEntityResponse": 422, "BadRequestResponse": 400, "InternalServerErrorResponse": 500}
    seen = []
    for group, examples in groups.items():
        for name, body in examples.items():
            error = read_error(httpx.Response(status.get(group, 503), json=body))
            assert error.code == body["errors"][0]["code"], name
            assert error.gone == (name == "call_already_ended"), name
            seen.append(name)
    assert "call_already_ended" in seen


# Webhooks

ACTED_UPON: dict[str, type[events.Event]] = {
    "call.bridged": events.CallBridged,
    **dict.fromkeys(("call.refer.started", "call.refer.completed", "call.refer.failed"), events.CallReferred),
    "call.cost": events.CarrierCost,
    "call.recording.saved": events.CarrierRecording,
    "call.recording.error": events.CarrierRecording,
    "call.initiated": events.CallInitiated,
    "call.answered": events.CallAnswered,
    "call.hangup": events.CallHangup,
    "streaming.started": events.StreamAnnounced,
    "streaming.stopped": events.StreamAnnounced,
    "streaming.failed": events.StreamFailed,
    "call.speak.ended": events.SpeakEnded,
    "call.dtmf.received": events.Dtmf,
    "call.machine.detection.ended": events.AnsweredBy,
    "call.machine.greeting.ended": events.AnsweredBy,
    "call.machine.premium.detection.ended": events.AnsweredBy,
    "call.machine.premium.greeting.ended": events.AnsweredBy,
}


_IDS = ("call_control_id", "call_leg_id", "call_session_id")


def _parsed(data: dict[str, Any]) -> events.WebhookEvent:
    body = json.dumps({"data": data, "meta": {"attempt": 1, "delivered_to": "https://app.test/webhooks"}}).encode()
    (signal,) = telnyx().parse(request(body))
    payload = data["payload"]
    assert signal.id == data["id"]
    assert signal.occurred_at == (data.get("occurred_at") or "")
    assert signal.ids.control == (payload.get("call_control_id") or "")
    assert signal.ids.leg == (payload.get("call_leg_id") or "")
    assert signal.ids.session == (payload.get("call_session_id") or "")
    assert type(signal.event) is ACTED_UPON.get(data["event_type"], events.CarrierNotice)
    return signal


def test_every_documented_webhook_is_read() -> None:
    index = load("telnyx/webhook-events-index.json")
    assert set(ACTED_UPON) <= set(index), "we act upon events that Telnyx does not document"
    for kind, entry in index.items():
        if not any(entry["example"]["payload"].get(name) for name in _IDS):
            assert kind.startswith("conference."), f"{kind} is about no call"
            continue
        signal = _parsed(entry["example"])
        if isinstance(signal.event, events.CarrierNotice):
            assert signal.event.kind == kind


def test_what_real_calls_send_is_read() -> None:
    shapes = load("telnyx/observed-shapes.json")["events"]
    seen: set[type[events.Event]] = set()
    for shape in shapes:
        signal = _parsed(shape["data"])
        seen.add(type(signal.event))
        payload = shape["data"]["payload"]
        match signal.event:
            case events.CallInitiated(direction=direction, from_number=caller, to_number=called):
                assert (direction, caller, called) == (payload["direction"], payload["from"], payload["to"])
            case events.CallHangup(cause=cause, source=source, sip_cause=sip_cause):
                names = ("hangup_cause", "hangup_source", "sip_hangup_cause")
                assert (cause, source, sip_cause) == tuple(payload[name] for name in names)
    assert {events.CallInitiated, events.CallHangup} <= seen


def test_every_field_of_a_documented_webhook_may_be_missing_or_null() -> None:
    """All of them are optional in the document, and real ones do send null."""
    for kind, entry in load("telnyx/webhook-events-index.json").items():
        whole = entry["example"]
        for name in whole["payload"]:
            without = {key: value for key, value in whole["payload"].items() if key != name}
            for payload in (without, {**without, name: None}):
                body = json.dumps({"data": {**whole, "payload": payload}}).encode()
                try:
                    telnyx().parse(request(body))
                except Malformed:
                    ids = payload.get("call_control_id"), payload.get("call_leg_id")
                    assert ids == (None, None), f"{kind} without {name}"


# Media frames

UUID = "4f9c1a52-7a5c-4b0e-9c6e-2f5d5a1a0001"
FROM_TELNYX: list[dict[str, Any]] = [
    {"event": "connected", "version": "1.0.0"},
    {"event": "connected", "version": "1.0.0", "connected": {"x-telnyx-streaming-auth-token": "t"}},
    {
        "event": "start",
        "sequence_number": "1",
        "stream_id": UUID,
        "start": {
            "user_id": UUID,
            "call_control_id": "v3:x",
            "call_session_id": UUID,
            "from": None,
            "to": "+15550100002",
            "tags": [],
            "client_state": None,
            "custom_parameters": {},
            "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
        },
    },
    {
        "event": "media",
        "sequence_number": "4",
        "stream_id": UUID,
        "media": {"track": "inbound", "chunk": "2", "timestamp": "5", "payload": "/////w=="},
    },
    {
        "event": "dtmf",
        "stream_id": UUID,
        "occurred_at": "2026-01-02T03:04:05Z",
        "sequence_number": "5",
        "dtmf": {"digit": "1"},
    },
    {"event": "mark", "stream_id": UUID, "sequence_number": "5", "mark": {"name": "x"}},
    {"event": "error", "stream_id": UUID, "payload": {"code": 100003, "title": "malformed_frame", "detail": "d"}},
    {"event": "stop", "sequence_number": "5", "stream_id": UUID, "stop": {"user_id": UUID, "call_control_id": "v3:x"}},
]


@pytest.mark.parametrize("frame", FROM_TELNYX, ids=[frame["event"] for frame in FROM_TELNYX])
def test_documented_frames_are_read(frame: dict[str, Any]) -> None:
    assert complaints(FRAMES, "/$defs/fromTelnyx", frame) == [], "this test's own frame is not what is documented"
    meaning = TelnyxMediaProtocol().decode(json.dumps(frame))
    assert type(meaning).__name__ != "Ignored"


def test_the_documented_events_are_all_of_them() -> None:
    folder()
    named = {
        load(FRAMES)["$defs"][one["$ref"].rpartition("/")[2]]["properties"]["event"]["const"]
        for one in load(FRAMES)["$defs"]["fromTelnyx"]["oneOf"]
    }
    assert named == {frame["event"] for frame in FROM_TELNYX}


def test_our_frames_are_what_telnyx_documents() -> None:
    protocol = TelnyxMediaProtocol()
    for text in (protocol.audio(base64.b64encode(bytes(160)).decode()), protocol.mark('odd "name"'), protocol.clear()):
        assert complaints(FRAMES, "/$defs/toTelnyx", json.loads(text)) == []
    assert complaints(FRAMES, "/$defs/toTelnyx", {"event": "media", "media": {}}), "the check must see mistakes"
