"""What we send to Twilio, against Twilio's own OpenAPI document."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl

import pytest
import respx

from callflow.contracts import commands
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


def test_the_check_itself_sees_mistakes() -> None:
    assert complaints(OPENAPI, POINTER, {"Status": "ended"})
