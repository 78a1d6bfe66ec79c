"""The numbers of an account: read page by page, and what is changed so that their calls come here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import respx

from callflow.contracts.errors import CarrierError
from callflow.contracts.numbers import OwnNumber, Part, PointingPlan
from tests.carriers import product, twilio_product


HERE = "https://phone.test"
NUMBER = "+15550100002"
APPLICATION: dict[str, Any] = {
    "id": "17", "application_name": "mine", "webhook_event_url": f"{HERE}/webhooks", "webhook_api_version": "2",
    "active": True, "webhook_event_failover_url": "https://spare.test", "dtmf_type": "Inband",
}  # fmt: skip
AT_TELNYX: dict[str, Any] = {
    "id": "1001", "phone_number": NUMBER, "connection_id": "17", "connection_name": "mine", "customer_reference": "desk"
}  # fmt: skip
AT_TWILIO: dict[str, Any] = {
    "sid": "PN1", "phone_number": NUMBER, "friendly_name": "desk", "voice_url": f"{HERE}/", "voice_method": "POST",
    "status_callback": f"{HERE}/twilio/status", "status_callback_method": "POST", "voice_application_sid": None,
    "trunk_sid": None, "capabilities": {"voice": True},
}  # fmt: skip
TWILIO = f"{twilio_product.BASE}/2010-04-01/Accounts/{twilio_product.ACCOUNT}/IncomingPhoneNumbers"


def asked(carrier: Any, work: Callable[[Any], Any]) -> Any:
    async def main() -> Any:
        try:
            return await work(carrier.numbers)
        finally:
            await carrier.close()

    return asyncio.run(main())


def telnyx(applications: list[Any], numbers: list[Any], work: Callable[[Any], Any], **config: Any) -> Any:
    """Ask a Telnyx whose lists have two on a page, whatever is asked for."""

    def page(rows: list[Any]) -> Callable[[httpx.Request], httpx.Response]:
        def answer(request: httpx.Request) -> httpx.Response:
            at = int(request.url.params["page[number]"])
            meta = {"page_number": at, "total_pages": -(-len(rows) // 2)}
            return httpx.Response(200, json={"data": rows[2 * at - 2 : 2 * at], "meta": meta})

        return answer

    with respx.mock(assert_all_called=False) as router:
        router.get(f"{product.BASE}/call_control_applications").mock(side_effect=page(applications))
        router.get(f"{product.BASE}/phone_numbers").mock(side_effect=page(numbers))
        return asked(product.telnyx(**config), work)


def telnyx_one(number: dict[str, Any], *applications: dict[str, Any], **config: Any) -> OwnNumber:
    (found,) = telnyx([*applications], [number], lambda one: one.list_numbers(HERE), **config)
    assert isinstance(found, OwnNumber)
    return found


def twilio(rows: list[Any], work: Callable[[Any], Any]) -> Any:
    with respx.mock:
        respx.get(f"{TWILIO}.json").mock(httpx.Response(200, json={"incoming_phone_numbers": rows}))
        return asked(twilio_product.twilio(), work)


def twilio_one(**changes: Any) -> OwnNumber:
    (found,) = twilio([{**AT_TWILIO, **changes}], lambda one: one.list_numbers(HERE))
    assert isinstance(found, OwnNumber)
    return found


# Lists


def test_telnyx_is_read_to_the_last_page() -> None:
    applications = [{**APPLICATION, "id": str(place)} for place in (15, 16, 17)]
    numbers = [{**AT_TELNYX, "id": str(place), "phone_number": f"+1555{place:07d}"} for place in range(25)]
    found = telnyx(applications, [*numbers, "odd"], lambda one: one.list_numbers(HERE))
    assert [each.number for each in found] == [each["phone_number"] for each in numbers]
    assert all(each.is_here for each in found)


@pytest.mark.parametrize("answer", [{}, {"data": None}, []])
def test_an_answer_of_telnyx_without_a_list_is_no_empty_account(answer: Any) -> None:
    with respx.mock:
        respx.get(url__startswith=product.BASE).mock(httpx.Response(200, json=answer))
        with pytest.raises(CarrierError, match="no list"):
            asked(product.telnyx(), lambda one: one.list_numbers(HERE))


def test_twilio_is_read_to_the_last_page_without_leaving_its_address() -> None:
    rows = [{**AT_TWILIO, "sid": f"PN{place}", "phone_number": f"+1555{place:07d}"} for place in range(25)]

    def answer(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("Page", 0))
        if page:
            assert request.url.params["PageToken"] == f"PT{page}"
        more = f"https://elsewhere.test/x?PageSize=10&Page={page + 1}&PageToken=PT{page + 1}" if page < 2 else None
        some = rows[10 * page : 10 * page + 10]
        return httpx.Response(200, json={"incoming_phone_numbers": some, "next_page_uri": more})

    with respx.mock:
        respx.get(f"{TWILIO}.json").mock(side_effect=answer)
        found = asked(twilio_product.twilio(), lambda one: one.list_numbers(HERE))
    assert [each.id for each in found] == [each["sid"] for each in rows]


def test_a_list_without_an_end_has_one() -> None:
    with respx.mock:
        endless = {"incoming_phone_numbers": [], "next_page_uri": "/x?Page=1"}
        respx.get(f"{TWILIO}.json").mock(httpx.Response(200, json=endless))
        with pytest.raises(CarrierError, match="more than 400 pages"):
            asked(twilio_product.twilio(), lambda one: one.list_numbers(HERE))


# Where calls go


def test_numbers_that_lead_here() -> None:
    assert telnyx_one(AT_TELNYX, APPLICATION) == OwnNumber("telnyx", "1001", NUMBER, "desk", f"{HERE}/webhooks", True)
    assert twilio_one() == OwnNumber("twilio", "PN1", NUMBER, "desk", f"{HERE}/", True)
    for url in (HERE, f"{HERE}/incoming-call", f"{HERE}/#rc=2"):
        assert twilio_one(voice_url=url).is_here


def test_numbers_that_lead_elsewhere() -> None:
    for url in ("https://phone.test.evil.test/", f"{HERE}:8443/", f"{HERE}/voice.php", "http://phone.test/", ""):
        assert not twilio_one(voice_url=url).is_here
        assert not telnyx_one(AT_TELNYX, {**APPLICATION, "webhook_event_url": url}).is_here
    nowhere = telnyx_one({**AT_TELNYX, "connection_id": None}, APPLICATION)
    assert (nowhere.leads_to, nowhere.is_here, nowhere.overrides) == ("", False, ())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trunk_sid": "TK1"}, "its trunk TK1 overrides its webhook"),
        ({"voice_application_sid": "AP1"}, "its TwiML app AP1 overrides its webhook"),
    ],
)
def test_what_overrides_a_webhook_at_twilio_is_told(changes: dict[str, str], told: str) -> None:
    found = twilio_one(**changes)
    assert (found.is_here, found.overrides) == (False, (told,))
    assert next(iter(changes.values())) in found.leads_to


def test_a_missing_status_callback_is_told() -> None:
    found = twilio_one(status_callback="")
    assert found.is_here
    assert "StatusCallback does not lead here" in found.lacks[0]


@pytest.mark.parametrize(
    ("number", "applications", "told"),
    [
        ({}, [{"active": False}], "is not active"),
        ({}, [{"webhook_api_version": "1"}], "version 1"),
        ({}, [{"webhook_api_version": None}], "version 1"),
        (
            {"connection_id": "99", "connection_name": "office"},
            [{}],
            "“office” (99), which is no Voice API application",
        ),
        (
            {"connection_id": "18"},
            [{}, {"id": "18", "application_name": "other", "webhook_event_url": "https://other.test"}],
            "another application, “other”",
        ),
    ],
)
def test_what_overrides_a_webhook_at_telnyx_is_told(
    number: dict[str, Any], applications: list[dict[str, Any]], told: str
) -> None:
    found = telnyx_one({**AT_TELNYX, **number}, *({**APPLICATION, **each} for each in applications))
    assert not found.is_here
    assert len(found.overrides) == 1
    assert told in found.overrides[0]


# Plans


def test_twilio_is_told_of_webhook_and_status_and_what_overrides_is_taken_away() -> None:
    held = {"voice_url": "https://old.test/x", "voice_method": "GET", "status_callback": None, "trunk_sid": "TK1"}
    rows = [{**AT_TWILIO, "phone_number": f"{NUMBER}5"}, {**AT_TWILIO, **held}]
    plan: PointingPlan = twilio(rows, lambda one: one.plan(NUMBER, HERE))
    (part,) = plan.parts
    assert part.resource == "number/PN1"
    assert part.changes == {
        "VoiceUrl": f"{HERE}/",
        "VoiceMethod": "POST",
        "StatusCallback": f"{HERE}/twilio/status",
        "TrunkSid": "",
    }
    assert {name: part.before[name] for name in part.changes} == {
        "VoiceUrl": "https://old.test/x",
        "VoiceMethod": "GET",
        "StatusCallback": "",
        "TrunkSid": "TK1",
    }
    assert plan.consequences == ("it is taken out of the trunk TK1",)
    assert twilio([], lambda one: one.plan(NUMBER, HERE)) is None


def test_what_leads_here_already_is_left_as_it_is() -> None:
    held = {"voice_url": f"{HERE}/twiml#rc=2", "status_callback": f"{HERE}/twilio/status#rc=3"}
    plan: PointingPlan = twilio([{**AT_TWILIO, **held}], lambda one: one.plan(NUMBER, HERE))
    assert [part.changes for part in plan.parts] == [{}]
    plan = telnyx([APPLICATION], [AT_TELNYX], lambda one: one.plan(NUMBER, HERE))
    assert [part.changes for part in plan.parts] == [{}, {}]
    assert plan.consequences == ()


def test_a_number_that_is_led_to_sip_by_its_query_leads_here_and_keeps_it() -> None:
    url, answers = f"{HERE}/api/twiml?mode=sip", f"{HERE}/webhooks?line=2"
    assert twilio_one(voice_url=url, status_callback=f"{HERE}/twilio/status?line=2").lacks == ()
    assert twilio_one(voice_url=url).is_here
    plan: PointingPlan = twilio([{**AT_TWILIO, "voice_url": url}], lambda one: one.plan(NUMBER, HERE))
    assert [part.changes for part in plan.parts] == [{}], "pointing it here takes the query away"
    assert telnyx_one(AT_TELNYX, {**APPLICATION, "webhook_event_url": answers}).is_here
    plan = telnyx([{**APPLICATION, "webhook_event_url": answers}], [AT_TELNYX], lambda one: one.plan(NUMBER, HERE))
    assert [part.changes for part in plan.parts] == [{}, {}]


def test_telnyx_is_told_of_the_application_first_and_whose_calls_move_along() -> None:
    old = {**APPLICATION, "webhook_event_url": "https://old.test", "webhook_api_version": "1", "active": False}
    others = [{**AT_TELNYX, "id": str(place), "phone_number": f"+1555{place:07d}"} for place in range(7)]
    plan: PointingPlan = telnyx(
        [old], [*others, {**AT_TELNYX, "connection_id": "99"}], lambda one: one.plan(NUMBER, HERE)
    )
    application, assignment = plan.parts
    assert (application.resource, assignment.resource) == ("application/17", "number/1001")
    assert application.changes == {
        "webhook_event_url": f"{HERE}/webhooks",
        "webhook_api_version": "2",
        "active": True,
    }
    assert (assignment.before, assignment.after) == ({"connection_id": "99"}, {"connection_id": "17"})
    moved, taken = plan.consequences
    assert "also gets the calls of 7 other numbers (+15550000000, " in moved
    assert "+15550000005" not in moved
    assert "taken out of the connection" in taken


def test_the_application_is_the_one_of_the_settings_or_there_is_no_plan() -> None:
    two = [{**APPLICATION, "webhook_event_url": "https://a.test"}, {**APPLICATION, "id": "18", "webhook_event_url": ""}]
    with pytest.raises(CarrierError, match=r"set TELNYX_CONNECTION_ID to one of: 17 \(mine\), 18 \(mine\)"):
        telnyx(two, [AT_TELNYX], lambda one: one.plan(NUMBER, HERE))
    plan: PointingPlan = telnyx(two, [AT_TELNYX], lambda one: one.plan(NUMBER, HERE), connection_id="18")
    assert plan.parts[0].resource == "application/18"


# Changes


def test_a_change_of_an_application_says_its_name_and_webhook_again() -> None:
    with respx.mock:
        url = f"{product.BASE}/call_control_applications/17"
        respx.get(url).mock(httpx.Response(200, json={"data": APPLICATION}))
        route = respx.patch(url).mock(httpx.Response(200, json={"data": APPLICATION}))
        asked(product.telnyx(), lambda one: one.change("application/17", {"webhook_api_version": "2"}))
        assert json.loads(route.calls[0].request.content) == {
            "application_name": "mine",
            "webhook_event_url": f"{HERE}/webhooks",
            "webhook_api_version": "2",
        }


def test_only_what_differs_is_sent() -> None:
    with respx.mock:
        route = respx.patch(f"{product.BASE}/phone_numbers/1001").mock(httpx.Response(200, json={"data": AT_TELNYX}))
        asked(product.telnyx(), lambda one: one.change("number/1001", {"connection_id": "17"}))
        assert json.loads(route.calls[0].request.content) == {"connection_id": "17"}
        route = respx.post(f"{TWILIO}/PN1.json").mock(httpx.Response(200, json=AT_TWILIO))
        asked(twilio_product.twilio(), lambda one: one.change("number/PN1", {"TrunkSid": "", "VoiceUrl": HERE}))
        form = dict(parse_qsl(route.calls[0].request.content.decode(), keep_blank_values=True))
        assert form == {"TrunkSid": "", "VoiceUrl": HERE}


def test_what_the_fields_hold_now_is_looked_up() -> None:
    with respx.mock:
        respx.get(f"{product.BASE}/phone_numbers/1001").mock(httpx.Response(200, json={"data": AT_TELNYX}))
        respx.get(f"{TWILIO}/PN1.json").mock(httpx.Response(200, json=AT_TWILIO))
        found = asked(product.telnyx(), lambda one: one.values(Part("number/1001", {}, {})))
        assert found == {"connection_id": "17"}
        found = asked(twilio_product.twilio(), lambda one: one.values(Part("number/PN1", {}, {})))
        assert (found["VoiceUrl"], found["TrunkSid"]) == (f"{HERE}/", "")


async def _release(name: str, account: Any) -> None:
    await account.release(name)


def test_a_release_is_sent_once() -> None:
    adapters: dict[str, Any] = {"1001": product.telnyx(), "PN1": twilio_product.twilio()}
    with respx.mock:
        routes = [
            respx.delete(f"{product.BASE}/phone_numbers/1001").mock(httpx.Response(500)),
            respx.delete(f"{TWILIO}/PN1.json").mock(httpx.Response(500)),
        ]
        for name, adapter in adapters.items():
            with pytest.raises(CarrierError) as failure:
                asked(adapter, partial(_release, name))
            assert failure.value.unknown
        assert [route.call_count for route in routes] == [1, 1]
