"""Answering machine detection on both carriers: what they are asked for, and what their words mean."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import respx
from msgspec import structs

from callflow.contracts import commands
from callflow.contracts.events import AnsweredBy, CallResumed
from carriers.twilio.twiml import CONNECTION_OVERRIDES
from tests.carriers import product, twilio_product
from tests.carriers.test_dialling import NAMED, TELNYX_CALLS, TWILIO_CALLS, dialled, form, order, told


HUMAN, UNSURE, FAX = AnsweredBy(who="human"), AnsweredBy(who="unsure"), AnsweredBy(who="fax")
MACHINE, READY = AnsweredBy(who="machine"), AnsweredBy(who="machine", ready=True)
OF_TELNYX = {
    "call.machine.detection.ended": {"human": HUMAN, "machine": MACHINE, "not_sure": UNSURE},
    "call.machine.greeting.ended": {"beep_detected": READY, "ended": READY, "not_sure": MACHINE},
    "call.machine.premium.detection.ended": {
        "human_residence": HUMAN, "human_business": HUMAN, "machine": MACHINE, "silence": UNSURE, "fax_detected": FAX,
        "not_sure": UNSURE,
    },
    "call.machine.premium.greeting.ended": {"beep_detected": READY, "no_beep_detected": READY},
}  # fmt: skip
OF_TWILIO = {
    "human": HUMAN, "fax": FAX, "unknown": UNSURE, "machine_start": MACHINE, "machine_end_beep": READY,
    "machine_end_silence": READY, "machine_end_other": READY,
}  # fmt: skip
ODD = ("", "machines of next year", "HUMAN", "x" * 500)


def telnyx_event(kind: str, **payload: Any) -> AnsweredBy:
    data = {"event_type": kind, "id": "1", "payload": {"call_control_id": "v3:a", **payload}}
    (webhook,) = product.telnyx().parse(product.request(json.dumps({"data": data}).encode()))
    assert isinstance(webhook.event, AnsweredBy)
    return webhook.event


def twilio_event(**params: str) -> AnsweredBy:
    asked = twilio_product.request("/twilio/amd", {"CallSid": twilio_product.SID, **params})
    (webhook,) = twilio_product.twilio().parse(replace(asked, query=f"call={product.CALL}"))
    assert webhook.call == product.CALL
    assert isinstance(webhook.event, AnsweredBy)
    return webhook.event


@pytest.mark.parametrize("kind", OF_TELNYX)
def test_telnyxs_words(kind: str) -> None:
    for word, meant in OF_TELNYX[kind].items():
        assert telnyx_event(kind, result=word) == structs.replace(meant, heard=word), word


@pytest.mark.parametrize("kind", OF_TELNYX)
def test_odd_words_of_telnyx_are_no_machine_and_no_beep(kind: str) -> None:
    odd: tuple[Any, ...] = (*ODD, None, 7, ["machine"], {})
    for word in odd:
        event = telnyx_event(kind, result=word)
        assert not event.ready, word
        assert event.who == ("machine" if "greeting" in kind else "unsure"), word
        assert len(event.heard) <= 40
    assert telnyx_event(kind).heard == ""


@pytest.mark.parametrize("word", OF_TWILIO)
def test_twilios_words(word: str) -> None:
    assert twilio_event(AnsweredBy=word) == structs.replace(OF_TWILIO[word], heard=word)


def test_odd_words_of_twilio_are_no_fax_and_no_beep() -> None:
    for word in ODD:
        event = twilio_event(AnsweredBy=word)
        assert not event.ready, word
        assert event.who in ("unsure", "machine"), word
    assert twilio_event() == UNSURE


@respx.mock
@pytest.mark.parametrize(
    ("way", "machines", "asked"),
    [
        ("premium", "hang_up", "premium"),
        ("premium", "message", "premium"),
        ("standard", "hang_up", "detect"),
        ("standard", "message", "detect_beep"),
        ("premium", "", None),
    ],
)
def test_what_telnyx_is_asked_for(way: str, machines: str, asked: str | None) -> None:
    route = respx.post(TELNYX_CALLS).respond(json=NAMED)
    dialled(product.telnyx(connection_id="17", machine_detection=way), order(machines=machines))
    assert json.loads(route.calls[0].request.content).get("answering_machine_detection") == asked


@respx.mock
@pytest.mark.parametrize(("machines", "asked"), [("hang_up", "Enable"), ("message", "DetectMessageEnd")])
def test_what_twilio_is_asked_for(machines: str, asked: str) -> None:
    route = respx.post(TWILIO_CALLS).respond(201, json={"sid": twilio_product.SID})
    dialled(twilio_product.twilio(), order(machines=machines))
    sent = form(route)
    assert {name: values for name, values in sent.items() if "Amd" in name or "Machine" in name} == {
        "MachineDetection": [asked],
        "AsyncAmd": ["true"],
        "AsyncAmdStatusCallback": [f"{twilio_product.PUBLIC}/twilio/amd?call={product.CALL}{CONNECTION_OVERRIDES}"],
        "AsyncAmdStatusCallbackMethod": ["POST"],
    }


@respx.mock
@pytest.mark.parametrize("quiet", [False, True])
def test_a_machine_does_not_record_twilios_last_words(*, quiet: bool) -> None:
    route = respx.post(url__startswith=TWILIO_CALLS.removesuffix(".json")).respond(200, json={})
    carrier = twilio_product.twilio(after_text="Thank you for calling.")
    asked = twilio_product.order(commands.Hangup(quiet=quiet))
    document = carrier.reply(CallResumed(), [asked]).body.decode()
    assert ("Thank you" in document) != quiet
    assert "<Hangup" in document
    told(carrier, lambda each: each.execute(asked))
    sent = form(route)
    assert ("Thank you" in str(sent)) != quiet
    assert sent.get("Status") == (["completed"] if quiet else None)
