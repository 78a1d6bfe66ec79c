"""The emulated Twilio's numbers: pages, changes as strict as the carrier's, and what overrides a number's URLs."""

from __future__ import annotations

import pytest

from tests.conformance import schemas
from tests.sandbox.twilio_product import PUBLIC, STREAM, Product, product


LIST = "/IncomingPhoneNumbers.json"


async def pages(the: Product, size: int) -> list[list[str]]:
    """The numbers of each page, as `next_page_uri` leads through them."""
    found, query = [], f"PageSize={size}"
    while query:
        answer = (await the.rest("GET", f"{LIST}?{query}")).json()
        found.append([one["phone_number"] for one in answer["incoming_phone_numbers"]])
        query = (answer["next_page_uri"] or "").partition("?")[2]
    return found


async def test_numbers_come_in_pages() -> None:
    async with product(STREAM) as the:
        wanted = [the.twilio.number(f"+155502{place:05d}").phone_number for place in range(45)]
        found = await pages(the, 20)
        assert [len(page) for page in found] == [20, 20, 5]
        assert [one for page in found for one in page] == wanted
        assert [len(page) for page in await pages(the, 45)] == [45]
        assert (await the.rest("GET", f"{LIST}?PageSize=1001")).status_code == 400
        assert (await the.rest("GET", f"{LIST}?Size=20")).status_code == 400


@pytest.mark.parametrize(
    "form",
    [
        {"Voice": "https://phone.example/"},
        {"VoiceUrl": "phone.example"},
        {"VoiceMethod": "PUT"},
        {"VoiceApplicationSid": "AP" + "0" * 32},
        {"TrunkSid": "TK" + "0" * 32},
    ],
)
async def test_a_change_is_refused(form: dict[str, str]) -> None:
    async with product(STREAM) as the:
        number = the.twilio.number()
        path = f"/IncomingPhoneNumbers/{number.sid}.json"
        before = (await the.rest("GET", path)).json()
        assert (await the.rest("POST", path, data=form)).status_code == 400
        assert (await the.rest("GET", path)).json() == before


async def test_an_application_gets_the_calls_of_its_numbers() -> None:
    async with product(STREAM) as the:
        number = the.twilio.number()
        path = f"/IncomingPhoneNumbers/{number.sid}.json"
        application = the.twilio.add_application(f"{PUBLIC}/voice?of=app")
        assert (await the.rest("POST", path, data={"VoiceApplicationSid": application})).status_code == 200
        call = await the.twilio.ring()
        await call.wait_streaming()
        assert [each.url for each in the.twilio.deliveries if each.kind == "voice"] == [f"{PUBLIC}/voice?of=app"]
        await call.hang_up()


async def test_a_trunk_gets_all_calls_and_takes_the_application_away() -> None:
    async with product(STREAM) as the:
        number = the.twilio.number()
        path = f"/IncomingPhoneNumbers/{number.sid}.json"
        trunk = "TK" + "1" * 32
        the.twilio.exchange.trunks.add(trunk)
        number.voice_application_sid = the.twilio.add_application(f"{PUBLIC}/voice?of=app")
        shown = (await the.rest("POST", path, data={"TrunkSid": trunk})).json()
        assert (shown["trunk_sid"], shown["voice_application_sid"]) == (trunk, None)
        assert "nothing is requested" in (await the.twilio.ring()).story()
        assert not the.twilio.deliveries
        await the.rest("POST", path, data={"TrunkSid": ""})
        await (await the.twilio.ring()).wait_streaming()


async def test_a_number_is_given_back() -> None:
    async with product(STREAM) as the:
        path = f"/IncomingPhoneNumbers/{the.twilio.number().sid}.json"
        answer = await the.rest("DELETE", path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await the.rest("GET", path)).status_code == 404
        assert (await the.rest("DELETE", path)).status_code == 404


async def test_a_page_is_as_the_official_schema_says() -> None:
    schemas.folder()
    name = "twilio/twilio_api_v2010.trimmed.json"
    listing = f"{'/2010-04-01/Accounts/{AccountSid}'.replace('/', '~1')}{LIST.replace('/', '~1')}"
    pointer = f"/paths/{listing}/get/responses/200/content/application~1json/schema"
    async with product(STREAM) as the:
        for place in range(3):
            the.twilio.number(f"+155502{place:05d}")
        answer = (await the.rest("GET", f"{LIST}?PageSize=2")).json()
        assert schemas.complaints(name, pointer, answer) == []
