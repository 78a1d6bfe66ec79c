"""What is asked and changed of numbers, against the carriers' own OpenAPI documents."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import respx

from callflow.contracts.numbers import PointingPlan
from tests.carriers import product, test_numbers, twilio_product
from tests.carriers.test_numbers import APPLICATION, AT_TELNYX, AT_TWILIO, HERE, NUMBER, asked
from tests.conformance.schemas import complaints, load, unknown_keys


TELNYX = "telnyx/call-control-openapi.json"
TWILIO = "twilio/twilio_api_v2010.trimmed.json"
_ACCOUNT = "/2010-04-01/Accounts/{AccountSid}/IncomingPhoneNumbers"


def body_schema(path: str) -> dict[str, Any]:
    found: dict[str, Any] = load(TELNYX)["paths"][path]["patch"]["requestBody"]
    if "$ref" in found:
        found = load(TELNYX)["components"]["requestBodies"][found["$ref"].rpartition("/")[2]]
    schema: dict[str, Any] = found["content"]["application/json"]["schema"]
    return schema


@pytest.mark.parametrize("path", ["/call_control_applications/{id}", "/phone_numbers/{id}"])
def test_what_changes_at_telnyx_is_as_documented(path: str) -> None:
    schema = body_schema(path)
    old = {**APPLICATION, "webhook_event_url": "https://old.test", "webhook_api_version": "1", "active": False}
    number = {**AT_TELNYX, "connection_id": "99"}
    plan: PointingPlan = test_numbers.telnyx([old], [number], lambda one: one.plan(NUMBER, HERE))
    kind = "application/" if "application" in path else "number/"
    (part,) = (each for each in plan.parts if each.resource.startswith(kind))
    with respx.mock(assert_all_called=False) as router:
        router.get(url__startswith=product.BASE).mock(httpx.Response(200, json={"data": old}))
        route = router.patch(url__startswith=product.BASE).mock(httpx.Response(200, json={"data": {}}))
        asked(product.telnyx(), lambda one: one.change(part.resource, part.changes))
        sent = json.loads(route.calls[0].request.content)
    assert set(part.changes) <= set(sent)
    reference = schema["$ref"].removeprefix("#")
    assert complaints(TELNYX, reference, sent) == []
    assert unknown_keys(load(TELNYX), schema, sent) == []
    assert unknown_keys(load(TELNYX), schema, {**sent, "webhook": "x"}) == ["$.webhook"]


def test_what_changes_at_twilio_is_as_documented() -> None:
    path = f"{_ACCOUNT}/{{Sid}}.json"
    kind = "application/x-www-form-urlencoded"
    known = load(TWILIO)["paths"][path]["post"]["requestBody"]["content"][kind]["schema"]["properties"]
    held = {"voice_url": "https://old.test", "voice_method": "GET", "status_callback": "", "trunk_sid": "TK1"}
    held |= {"status_callback_method": "GET", "voice_application_sid": "AP1"}
    plan: PointingPlan = test_numbers.twilio([{**AT_TWILIO, **held}], lambda one: one.plan(NUMBER, HERE))
    (part,) = plan.parts
    with respx.mock:
        route = respx.post(f"{test_numbers.TWILIO}/PN1.json").mock(httpx.Response(200, json=AT_TWILIO))
        asked(twilio_product.twilio(), lambda one: one.change(part.resource, part.changes))
        sent = dict(parse_qsl(route.calls[0].request.content.decode(), keep_blank_values=True))
    assert set(sent) == set(part.after), "all of them were otherwise"
    assert set(sent) <= set(known)
    pointer = f"/paths/{path.replace('/', '~1')}/post/requestBody/content/{kind.replace('/', '~1')}/schema"
    # The document demands that a SID has its form, also where an empty one takes it away.
    assert (sent["TrunkSid"], sent["VoiceApplicationSid"]) == ("", "")
    shaped = {**sent, "TrunkSid": "TK" + "0" * 32, "VoiceApplicationSid": "AP" + "0" * 32}
    assert complaints(TWILIO, pointer, shaped) == []


def test_the_parameters_of_lists_are_documented() -> None:
    names = {one["name"] for one in load(TWILIO)["paths"][f"{_ACCOUNT}.json"]["get"]["parameters"]}
    assert {"PhoneNumber", "PageSize", "Page", "PageToken"} <= names
    page = load(TELNYX)["components"]["parameters"]["numbers_PageConsolidated"]["schema"]["properties"]
    assert page["size"]["maximum"] == 250
    assert page["number"]["minimum"] == 1
    assert {"get", "patch", "delete"} <= set(load(TELNYX)["paths"]["/phone_numbers/{id}"])
    assert {"get", "post", "delete"} <= set(load(TWILIO)["paths"][f"{_ACCOUNT}/{{Sid}}.json"])
