"""What is really sent in whole calls, held against the vendors' own contracts."""

from __future__ import annotations

import re
from typing import Any

import pytest

from callflow.contracts import events
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Faults as ModelFaults
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from callflow.sandbox.telnyx import ApiFault, Faults, Telnyx
from tests.conformance.schemas import complaints, folder, load, unknown_keys
from tests.e2e.product import Product, product, run, together
from tests.e2e.talk import FAST, noise, saying, talk


OPENAPI = "telnyx/call-control-openapi.json"
CLIENT_EVENTS = "openai/client-events.schema.json"


def carrier(*faults: ApiFault) -> Telnyx:
    return Telnyx(webhook_url="http://127.0.0.1:9/webhooks", faults=Faults(api=list(faults)))


async def interrupted(the: Product) -> None:
    one = await talk(the)
    await one.phone.hears(0.3)
    one.phone.say(tone(160))
    await one.session.wait_for("conversation.item.truncate")
    await one.call.press("5")
    await one.call.hang_up()


async def apologised(the: Product) -> None:
    call = await the.telnyx.ring()
    await call.wait_ended()


async def spoken_to_by_the_carrier(the: Product) -> None:
    """Without a stream nobody else can say it."""
    call = await the.telnyx.ring(faults=Faults(never_connect=True))
    await call.wait_ended()


async def dismissed(the: Product) -> None:
    await talk(the)
    the.call.post(events.GoodbyeRequested(reason="test"))


async def adopted(the: Product) -> None:
    """A call that somebody else has answered: its stream is asked for."""
    call = await the.telnyx.ring(faults=Faults(webhook_drop=["call.initiated"]))
    call.answer(None)
    await call.wait_streaming()
    await call.phone.hears(0.2)
    await call.hang_up()


async def turned_away(the: Product) -> None:
    one = await talk(the)
    await (await the.telnyx.ring()).wait_ended()
    await one.call.hang_up()


def talkative(**faults: Any) -> Realtime:
    script = Script.of(saying(noise(900, 1), noise(900, 2)), otherwise=Turn.silence())
    return Realtime(script=script, pace=Pace.instant(), faults=ModelFaults(**faults))


CALLS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "a caller who breaks in": (interrupted, talkative, {}),
    "a session that asks for less": (interrupted, lambda: talkative(refuse_session_update=1), {}),
    "no transcription, no noise reduction": (
        interrupted,
        talkative,
        {"transcription_model": "", "noise_reduction": "none"},
    ),
    "a model that refuses": (apologised, lambda: talkative(refuse_next=-1, refuse_status=401), {}),
    "a model that is lost": (apologised, lambda: talkative(drop_after_s=0.4), {}),
    "no stream": (spoken_to_by_the_carrier, talkative, {"stream_seconds": 0.5}),
    "a goodbye": (dismissed, talkative, {}),
    "a call found alive": (adopted, talkative, {}),
    "a call that the carrier records": (dismissed, talkative, {"carrier_record": True}),
    "one call too many": (turned_away, talkative, {"max_concurrent_calls": 1}),
}


@pytest.mark.one_node("each node has room of its own")
def test_whole_calls_send_only_what_the_vendors_document() -> None:
    folder()  # skips without the contracts
    commands: list[Any] = []
    client_events: list[tuple[str, dict[str, Any]]] = []

    async def scene(name: str, story: Any, realtime: Any, settings: dict[str, Any]) -> None:
        async with product(carrier=carrier(ApiFault(status=429)), realtime=realtime(), **{**FAST, **settings}) as the:
            await story(the)
            await the.quiet(5)
            commands.extend(the.telnyx.commands)
            for session in the.realtime.sessions:
                client_events.extend((name, one.event) for one in session.received)
                assert session.violations == []

    run(together({name: scene(name, *how) for name, how in CALLS.items()}))

    assert {"answer", "hangup", "speak", "streaming_start", "reject"} <= {one.action for one in commands}
    kinds = {"session.update", "response.create", "input_audio_buffer.append", "conversation.item.truncate",
             "input_audio_buffer.commit"}  # fmt: skip
    sent = {event["type"] for _, event in client_events}
    assert kinds - {"input_audio_buffer.commit"} <= sent <= kinds, "the commit is for a turn that the model missed"

    document = load(OPENAPI)
    bodies: dict[str, tuple[str, Any]] = {}
    for command in commands:
        if command.method == "GET":
            assert "get" in document["paths"][re.sub("(^/v2)|([?].*)", "", command.path)], command.path
            continue
        operation = document["paths"][f"/calls/{{call_control_id}}/actions/{command.action}"]["post"]
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        bodies[repr(command.body)] = (reference, command.body)
    for reference, body in bodies.values():
        assert complaints(OPENAPI, reference.removeprefix("#"), body) == [], body
        assert unknown_keys(document, {"$ref": reference}, body) == [], body

    schema = load(CLIENT_EVENTS)
    different = {repr(event): (name, event) for name, event in client_events}
    for name, event in different.values():
        whole = {**event, "audio": "/w=="} if event["type"] == "input_audio_buffer.append" else event
        assert complaints(CLIENT_EVENTS, "", whole) == [], f"{name}: {event}"
        assert unknown_keys(schema, schema, whole) == [], f"{name}: {event}"


def test_the_check_itself_sees_mistakes() -> None:
    folder()
    schema = load(CLIENT_EVENTS)
    cut = {"type": "conversation.item.truncate", "item_id": "item_1", "content_index": 0, "audio_end_ms": 5}
    assert complaints(CLIENT_EVENTS, "", cut) == []
    assert complaints(CLIENT_EVENTS, "", {**cut, "audio_end_ms": "5"})
    assert complaints(CLIENT_EVENTS, "", {"type": "conversation.item.truncate"})
    update = {"type": "session.update", "session": {"type": "realtime", "temperature": 0.8}}
    assert unknown_keys(schema, schema, update) == ["$.session.temperature"]
