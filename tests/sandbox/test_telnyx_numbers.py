"""The emulated Telnyx's numbers and applications: pages, changes as strict as the carrier's, and where calls go."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from callflow.sandbox.telnyx import CONNECTION_ID
from callflow.sandbox.telnyx.numbers import Application
from tests.conformance import schemas
from tests.sandbox.telnyx_product import product


OPENAPI = "telnyx/call-control-openapi.json"
APPLICATION = f"/call_control_applications/{CONNECTION_ID}"
WHOLE = {"application_name": "mine", "webhook_event_url": "https://phone.example/webhooks"}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


async def test_numbers_come_in_pages() -> None:
    async with product() as app:
        wanted = ["+15550100002", *(app.telnyx.number(f"+155502{place:05d}").phone_number for place in range(44))]
        found, sizes = [], []
        for page in (1, 2, 3):
            answer = (await app.http.get("/phone_numbers", params={"page[number]": page})).json()
            found += [one["phone_number"] for one in answer["data"]]
            sizes.append(len(answer["data"]))
            assert answer["meta"] == {"page_number": page, "page_size": 20, "total_pages": 3, "total_results": 45}
        assert (found, sizes) == (wanted, [20, 20, 5])
        assert len((await app.http.get("/phone_numbers", params={"page[size]": 250})).json()["data"]) == 45
        assert (await app.http.get("/phone_numbers", params={"page[number]": 4})).json()["data"] == []
        for odd in ({"page[size]": 251}, {"page[size]": 0}, {"page[number]": "x"}):
            assert code(await app.http.get("/phone_numbers", params=odd)) == (422, "10033")


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"webhook_event_url": "https://phone.example/webhooks"}, "10004"),
        ({"application_name": "mine", "active": True}, "10004"),
        ({**WHOLE, "webhook_url": "https://phone.example"}, "10015"),
        ({**WHOLE, "webhook_api_version": 2}, "10015"),
        ({**WHOLE, "webhook_api_version": "3"}, "10032"),
        ({**WHOLE, "webhook_event_url": "phone.example"}, "10015"),
    ],
)
async def test_a_change_of_an_application_is_refused(body: dict[str, Any], refused: str) -> None:
    async with product() as app:
        before = (await app.http.get(APPLICATION)).json()
        assert code(await app.http.patch(APPLICATION, json=body)) == (422, refused)
        assert (await app.http.get(APPLICATION)).json() == before


async def test_an_application_is_changed_and_the_rest_of_it_stays() -> None:
    async with product() as app:
        before = (await app.http.get(APPLICATION)).json()["data"]
        changed = await app.http.patch(APPLICATION, json={**WHOLE, "dtmf_type": "Inband"})
        assert changed.json()["data"] == {**before, **WHOLE, "dtmf_type": "Inband"}
        assert app.telnyx.webhook_url == WHOLE["webhook_event_url"]
        assert (await app.http.patch("/call_control_applications/17", json=WHOLE)).status_code == 404


async def test_a_number_is_assigned_only_to_a_connection_that_exists() -> None:
    async with product() as app:
        number = app.telnyx.number()
        path = f"/phone_numbers/{number.id}"
        assert code(await app.http.patch(path, json={"connection_id": "17"})) == (422, "10013")
        assert code(await app.http.patch(path, json={"connection": CONNECTION_ID})) == (422, "10015")
        app.telnyx.exchange.account.connections["17"] = "trunk to the office"
        shown = (await app.http.patch(path, json={"connection_id": "17"})).json()["data"]
        assert (shown["connection_id"], shown["connection_name"]) == ("17", "trunk to the office")
        assert (await app.http.patch("/phone_numbers/1", json={"connection_id": "17"})).status_code == 404


async def test_a_number_is_given_back_unless_it_is_locked() -> None:
    async with product() as app:
        number = app.telnyx.number()
        number.deletion_lock_enabled = True
        assert (await app.http.delete(f"/phone_numbers/{number.id}")).status_code == 422
        number.deletion_lock_enabled = False
        assert (await app.http.delete(f"/phone_numbers/{number.id}")).status_code == 200
        assert (await app.http.get(f"/phone_numbers/{number.id}")).status_code == 404


async def test_a_call_goes_where_its_number_leads() -> None:
    async with product() as app:
        account = app.telnyx.exchange.account
        account.applications["17"] = Application("17", "other", webhook_event_url="http://127.0.0.1:9/other")
        number = app.telnyx.number()
        number.connection_id = "17"
        call = await app.telnyx.ring()
        await app.telnyx.until(lambda: app.telnyx.deliveries)
        assert [each.url for each in app.telnyx.deliveries] == ["http://127.0.0.1:9/other"]
        await call.hang_up()
        for away in ("", "18"):
            number.connection_id = away
            assert "nobody is told" in (await app.telnyx.ring()).story()
        number.connection_id = CONNECTION_ID
        account.application.active = False
        assert "nobody is told" in (await app.telnyx.ring()).story()


async def test_numbers_and_applications_are_shown_as_the_official_schema_says() -> None:
    schemas.folder()
    async with product() as app:
        shown = (await app.http.get("/phone_numbers")).json()["data"][0]
        assert schemas.complaints(OPENAPI, "/components/schemas/PhoneNumberDetailed", shown) == []
        shown = (await app.http.get(APPLICATION)).json()["data"]
        assert schemas.complaints(OPENAPI, "/components/schemas/CallControlApplication", shown) == []
