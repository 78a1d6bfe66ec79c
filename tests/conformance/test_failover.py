"""What `provision` sends, against the carriers' own OpenAPI documents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import respx

from callflow.contracts.failover import Failover
from callflow.contracts.numbers import Value
from carriers.twilio.failover import document
from carriers.twilio.twiml import Voice
from tests.carriers import product
from tests.carriers.test_numbers import APPLICATION
from tests.conformance.schemas import complaints, load, unknown_keys
from tests.conformance.test_numbers import TELNYX, TWILIO, body_schema


FORWARDING: dict[str, Value] = {
    "forwards_to": "+15550100010", "forwarding_type": "on-failure", "call_forwarding_enabled": True,
}  # fmt: skip


def sent(resource: str, values: Mapping[str, Value]) -> Any:
    async def change() -> None:
        carrier = product.telnyx()
        await carrier.failover.change(resource, values)
        await carrier.close()

    with respx.mock(assert_all_called=False) as router:
        router.get(url__startswith=product.BASE).mock(httpx.Response(200, json={"data": APPLICATION}))
        route = router.patch(url__startswith=product.BASE).mock(httpx.Response(200, json={"data": {}}))
        asyncio.run(change())
        return json.loads(route.calls[0].request.content)


@pytest.mark.parametrize(
    ("path", "resource", "values"),
    [
        (
            "/call_control_applications/{id}",
            "application/17",
            {"webhook_event_failover_url": "https://b.test/webhooks"},
        ),
        ("/call_control_applications/{id}", "application/17", {"webhook_event_failover_url": ""}),
        ("/phone_numbers/{id}/voice", "voice/17", FORWARDING),
        ("/phone_numbers/{id}/voice", "voice/17", {**FORWARDING, "forwards_to": "", "forwarding_type": ""}),
    ],
)
def test_what_changes_at_telnyx_is_as_documented(path: str, resource: str, values: dict[str, Value]) -> None:
    schema, body = body_schema(path), sent(resource, values)
    assert complaints(TELNYX, schema["$ref"].removeprefix("#"), body) == []
    assert unknown_keys(load(TELNYX), schema, body) == []


def test_what_changes_at_twilio_is_documented() -> None:
    path = "/2010-04-01/Accounts/{AccountSid}/IncomingPhoneNumbers/{Sid}.json"
    kind = "application/x-www-form-urlencoded"
    known = load(TWILIO)["paths"][path]["post"]["requestBody"]["content"][kind]["schema"]["properties"]
    assert {"VoiceFallbackUrl", "VoiceFallbackMethod"} <= set(known)


def test_a_second_server_has_a_path_of_each_carrier_and_a_document_has_its_own() -> None:
    assert Failover("", "https://backup.test").is_server
    assert not Failover("", "https://pages.test/down.xml").is_server
    assert not Failover("", "").is_server


def test_the_document_escapes_what_it_is_given() -> None:
    text = document("Mind the <gap> & wait.", "+15550100010", "Goodbye.", Voice("AWS.Polly.Joanna", "en-US"))
    assert "Mind the &lt;gap&gt; &amp; wait." in text
    assert "<Dial><Number>+15550100010</Number></Dial>" in text
    assert "<Dial" not in document("We are out.", "", "Goodbye.", Voice("", ""))
