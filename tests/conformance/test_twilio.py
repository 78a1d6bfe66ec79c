"""What we send to Twilio, against Twilio's own OpenAPI document."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl

import pytest
import respx

from callflow.contracts import commands
from tests.carriers.test_dialling import TWILIO_CALLS
from tests.carriers.test_dialling import order as dial_order
from tests.carriers.twilio_product import order, twilio
from tests.conformance.schemas import complaints, load


OPENAPI = "twilio/twilio_api_v2010.trimmed.json"
PATH = "/2010-04-01/Accounts/{AccountSid}/Calls/{Sid}.json"
_ESCAPED = PATH.replace("/", "~1")
POINTER = f"/paths/{_ESCAPED}/post/requestBody/content/application~1x-www-form-urlencoded/schema"


def sent(command: Any) -> list[dict[str, str]]:
    async def inner() -> list[dict[str, str]]:
        adapter = twilio(after_text="Goodbye.")
        with respx.mock:
            route = respx.route(method="POST").respond(json={"status": "in-progress"})
            await adapter.execute(order(command))
        await adapter.close()
        return [dict(parse_qsl(call.request.content.decode(), keep_blank_values=True)) for call in route.calls]

    return asyncio.run(inner())


@pytest.mark.parametrize(
    "command",
    [commands.StartStream(), commands.Speak(sentence="sorry"), commands.Hangup(), commands.Reject(cause="busy")],
)
def test_a_form_is_what_twilio_documents(command: Any) -> None:
    form = load(OPENAPI)["paths"][PATH]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
    form_schema = form["schema"]
    forms = sent(command)
    assert forms
    for each in forms:
        assert complaints(OPENAPI, POINTER, each) == []
        assert set(each) <= set(form_schema["properties"])
        assert not {"Url", "Twiml"} <= set(each)


@respx.mock
def test_a_stream_in_one_direction_is_what_twilio_documents() -> None:
    route = respx.route(method="POST").respond(201, json={"sid": "MZ1"})
    asyncio.run(twilio().execute(order(commands.Listen())))
    given = dict(parse_qsl(route.calls[0].request.content.decode(), keep_blank_values=True))
    path = PATH.replace("/{Sid}.json", "/{CallSid}/Streams.json")
    content = load(OPENAPI)["paths"][path]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
    assert set(given) <= set(content["schema"]["properties"])
    assert "Url" in content["schema"]["required"]


@respx.mock
def test_a_dial_is_what_twilio_documents() -> None:
    route = respx.post(TWILIO_CALLS).respond(201, json={"sid": "CA1"})
    asyncio.run(twilio().dial(dial_order(record=True, machines="message")))
    given = parse_qsl(route.calls[0].request.content.decode(), keep_blank_values=True)
    path = PATH.replace("/{Sid}", "")
    content = load(OPENAPI)["paths"][path]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
    known = content["schema"]["properties"]
    lists = {name: [value for each, value in given if each == name] for name, _ in given if known[name].get("items")}
    assert {name for name, _ in given} <= set(known)
    pointer = POINTER.replace(_ESCAPED, path.replace("/", "~1"))
    typed = {"Timeout": int(dict(given)["Timeout"]), "Record": dict(given)["Record"] == "true"}  # a form has texts only
    assert complaints(OPENAPI, pointer, {**dict(given), **lists, **typed}) == []


def test_the_check_itself_sees_mistakes() -> None:
    assert complaints(OPENAPI, POINTER, {"Status": "ended"})
