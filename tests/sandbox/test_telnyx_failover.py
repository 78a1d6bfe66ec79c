"""The emulated Telnyx when nobody takes its webhooks: the failover URL, then the number's forwarding, then the ringing
goes on until the caller gives up."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.telnyx import CONNECTION_ID, Call
from tests.conformance import schemas
from tests.sandbox.telnyx_product import product


NOBODY = "http://127.0.0.1:9/webhooks"
PERSON = "+15550100010"
OPENAPI = "telnyx/call-control-openapi.json"


def to_person(app: Any) -> list[Call]:
    return [call for call in app.telnyx.calls.values() if call.to_number == PERSON]


async def test_the_failover_url_is_tried_as_often_as_the_first_one() -> None:
    async with product() as app:
        there = app.telnyx.webhook_url
        app.telnyx.webhook_url, app.telnyx.account.webhook_event_failover_url = NOBODY, there
        call = await app.telnyx.ring()
        await app.telnyx.until(lambda: any(each.ok for each in app.telnyx.deliveries))
        assert [(each.url, each.attempt) for each in app.telnyx.deliveries] == [
            (NOBODY, 1), (NOBODY, 2), (NOBODY, 3), (there, 1),
        ]  # fmt: skip
        assert len({each.event_id for each in app.telnyx.deliveries}) == 1
        await call.hang_up()


@pytest.mark.parametrize("failover", ["", "http://127.0.0.1:9/backup"])
async def test_a_call_that_nobody_takes_is_forwarded_if_its_number_says_so(failover: str) -> None:
    async with product() as app:
        app.telnyx.webhook_url, app.telnyx.account.webhook_event_failover_url = NOBODY, failover or None
        number = app.telnyx.number()
        number.forwards_to, number.forwarding_type = PERSON, "on-failure"
        app.telnyx.callees[PERSON] = Callee(speaks_s=1.0)
        call = await app.telnyx.ring()
        await app.telnyx.until(lambda: to_person(app) and to_person(app)[0].peer is call)
        initiated = [each for each in app.telnyx.deliveries if each.event_type == "call.initiated"]
        assert len([each for each in initiated if each.payload["call_leg_id"] == call.leg_id]) == (6 if failover else 3)
        await call.phone.hears(0.2, source=to_person(app)[0].voice)
        await call.hang_up()
        await to_person(app)[0].wait_ended(3)


async def test_a_forwarding_that_comes_to_nothing_ends_the_call_likewise() -> None:
    async with product() as app:
        app.telnyx.webhook_url = NOBODY
        number = app.telnyx.number()
        number.forwards_to, number.forwarding_type = PERSON, "on-failure"
        app.telnyx.callees[PERSON] = Callee("busy")
        call = await app.telnyx.ring()
        await call.wait_ended(3)
        assert call.hangup_cause == "user_busy"


async def test_without_forwarding_it_rings_on_and_a_call_that_is_taken_is_not_forwarded() -> None:
    async with product() as app:
        there, app.telnyx.webhook_url = app.telnyx.webhook_url, NOBODY
        call = await app.telnyx.ring()
        await app.telnyx.until(lambda: sum(each.latency is not None for each in app.telnyx.deliveries) == 3)
        assert (call.state, call.answered_at) == ("parked", None)
        await call.hang_up()
        app.telnyx.webhook_url = there
        number = app.telnyx.number()
        number.forwards_to, number.forwarding_type = PERSON, "on-failure"
        taken = await app.telnyx.ring()
        await app.telnyx.until(lambda: any(each.ok for each in app.telnyx.deliveries))
        assert to_person(app) == []
        await taken.hang_up()
        number.forwarding_type = "always"
        always = await app.telnyx.ring()
        await app.telnyx.until(lambda: to_person(app))
        await always.hang_up()


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"forwarding": {}}, "10015"),
        ({"call_forwarding": {"forwards_to": "15550100010"}}, "10016"),
        ({"call_forwarding": {"forwarding_type": "never"}}, "10032"),
        ({"call_forwarding": {"forwarding_type": "on-failure", "to": PERSON}}, "10015"),
    ],
)
async def test_voice_settings_are_checked(body: dict[str, Any], refused: str) -> None:
    async with product() as app:
        path = f"/phone_numbers/{app.telnyx.number().id}/voice"
        answer = await app.http.patch(path, json=body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, refused)


async def test_voice_settings_are_shown_as_the_official_schema_says() -> None:
    schemas.folder()
    async with product() as app:
        path = f"/phone_numbers/{app.telnyx.number().id}/voice"
        forwarding = {"forwards_to": PERSON, "forwarding_type": "on-failure", "call_forwarding_enabled": True}
        for shown in (await app.http.get(path), await app.http.patch(path, json={"call_forwarding": forwarding})):
            data = shown.json()["data"]
            assert schemas.complaints(OPENAPI, "/components/schemas/PhoneNumberWithVoiceSettings", data) == []
        assert data["call_forwarding"] == forwarding
        assert (await app.http.get("/phone_numbers/1/voice")).status_code == 404
        assert data["connection_id"] == CONNECTION_ID
