"""What carriers are asked about calls, and how their answers are read."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
from typing import Any

import httpx
import pytest
import respx

from callflow.contracts import commands
from callflow.contracts.carrier import ActiveCall
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import LegIds
from tests.carriers import product, twilio_product


TELNYX = f"{product.BASE}/calls/{product.ESCAPED}"
TWILIO = f"{twilio_product.BASE}/2010-04-01/Accounts/{twilio_product.ACCOUNT}/Calls"
IDS = LegIds(product.CONTROL, "leg-1", "session-1")
SID = LegIds(control=twilio_product.SID)


def asked(carrier: Any, question: str, *arguments: Any) -> Any:
    async def main() -> Any:
        try:
            return await getattr(carrier, question)(*arguments)
        finally:
            await carrier.close()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (200, {"data": {"is_alive": True, "end_time": None}}, "answered"),
        (200, {"data": {"is_alive": False}}, "ringing"),
        (200, {"data": {"is_alive": False, "end_time": "2026-11-25T10:00:00Z"}}, "gone"),
        (404, {"errors": [{"code": "10005"}]}, "gone"),
        (422, {"errors": [{"code": "90018"}]}, "gone"),
    ],
)
def test_telnyx_says_how_a_call_is(status: int, body: dict[str, Any], found: str) -> None:
    with respx.mock:
        respx.get(TELNYX).mock(httpx.Response(status, json=body))
        assert asked(product.telnyx(), "call_status", IDS) == found


@pytest.mark.parametrize("answer", [httpx.Response(401, json={}), httpx.Response(200, json={"data": []})])
def test_no_news_is_not_taken_for_the_end(answer: httpx.Response) -> None:
    with respx.mock:
        respx.get(TELNYX).mock(answer)
        with pytest.raises(CarrierError):
            asked(product.telnyx(), "call_status", IDS)
    with pytest.raises(CarrierError, match="call_control_id"):
        asked(product.telnyx(), "call_status", LegIds(leg="leg-1"))


@pytest.mark.parametrize("calls", [[], [{"sid": "CA2", "status": "in-progress"}]])
def test_twilio_says_whether_somebody_is_there_whom_it_rang_for_a_caller(calls: list[dict[str, str]]) -> None:
    with respx.mock:
        route = respx.get(f"{TWILIO}.json").respond(json={"calls": calls})
        with contextlib.nullcontext() if calls else pytest.raises(CarrierError):
            asked(twilio_product.twilio(), "execute", twilio_product.order(commands.FindPerson()))
    assert dict(route.calls[0].request.url.params).items() >= {
        "ParentCallSid": twilio_product.SID, "Status": "in-progress",
    }.items()  # fmt: skip


@pytest.mark.parametrize("alive", [False, True])
@pytest.mark.parametrize("is_known", [False, True])
def test_telnyx_says_whether_somebody_is_there_whom_it_rang_for_a_caller(*, alive: bool, is_known: bool) -> None:
    state = base64.b64encode(f"{product.CALL}:human".encode()).decode()
    listed = {"call_control_id": product.CONTROL, "client_state": state}
    order = product.order(commands.FindPerson(), "v3:the-callers")
    order = dataclasses.replace(order, other=IDS if is_known else LegIds())
    with respx.mock(assert_all_called=False) as router:
        router.get(f"{product.BASE}/connections/17/active_calls").respond(json={"data": [listed]})
        router.get(TELNYX).respond(json={"data": {"is_alive": alive}})
        with contextlib.nullcontext() if alive else pytest.raises(CarrierError):
            asked(product.telnyx(connection_id="17"), "execute", order)


def test_telnyx_lists_its_calls_by_application() -> None:
    with respx.mock:
        calls = [{"call_control_id": "v3:a", "call_leg_id": "l", "call_session_id": "s"}, "odd"]
        route = respx.get(f"{product.BASE}/connections/17/active_calls").mock(httpx.Response(200, json={"data": calls}))
        assert asked(product.telnyx(connection_id="17"), "active_calls") == [ActiveCall(LegIds("v3:a", "l", "s"))]
        assert route.calls[0].request.url.params["page[limit]"] == "250"
    assert asked(product.telnyx(), "active_calls") == []


def test_telnyx_is_asked_for_all_pages_of_its_calls() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        at = int(request.url.params.get("page[after]", "0"))
        cursors = {"after": str(at + 1) if at < 2 else None}
        return httpx.Response(200, json={"data": [{"call_control_id": f"v3:{at}"}], "meta": {"cursors": cursors}})

    with respx.mock:
        respx.get(f"{product.BASE}/connections/17/active_calls").mock(side_effect=page)
        found = asked(product.telnyx(connection_id="17"), "active_calls")
    assert [one.ids.control for one in found] == ["v3:0", "v3:1", "v3:2"]


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (200, {"status": "in-progress"}, "answered"),
        (200, {"status": "ringing"}, "ringing"),
        (200, {"status": "completed"}, "gone"),
        (200, {"status": "no-answer"}, "gone"),
        (404, {"code": 20404}, "gone"),
    ],
)
def test_twilio_says_how_a_call_is(status: int, body: dict[str, Any], found: str) -> None:
    with respx.mock:
        respx.get(f"{TWILIO}/{twilio_product.SID}.json").mock(httpx.Response(status, json=body))
        assert asked(twilio_product.twilio(), "call_status", SID) == found


def test_twilio_lists_the_calls_that_are_on_the_line() -> None:
    with respx.mock:
        calls = [{"sid": "CA1", "phone_number_sid": "PN1"}, {"sid": "CA2", "phone_number_sid": None}, None]
        route = respx.get(f"{TWILIO}.json").mock(httpx.Response(200, json={"calls": calls}))
        assert asked(twilio_product.twilio(), "active_calls") == [
            ActiveCall(LegIds(control="CA1", number="PN1")),
            ActiveCall(LegIds(control="CA2")),
        ]
        statuses = [call.request.url.params["Status"] for call in route.calls]
        assert statuses == ["queued", "ringing", "in-progress"], "a phone may ring for a call that is over here"


def test_twilio_is_asked_for_all_pages_of_its_calls_and_at_no_other_address() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        status, at = request.url.params["Status"], int(request.url.params.get("Page", "0"))
        query = f"Status={status}&PageSize=250&Page={at + 1}&PageToken=PA1"
        following = f"https://elsewhere.test/Calls.json?{query}" if at < 2 else None
        return httpx.Response(200, json={"calls": [{"sid": f"{status}-{at}"}], "next_page_uri": following})

    with respx.mock:
        respx.get(f"{TWILIO}.json").mock(side_effect=page)
        found = {one.ids.control for one in asked(twilio_product.twilio(), "active_calls")}
    assert found == {f"{status}-{at}" for status in ("queued", "ringing", "in-progress") for at in range(3)}


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ([{"sid": "PN1", "phone_number": "+155501000020"}, {"sid": "PN2", "phone_number": "+15550100002"}], "PN2"),
        ([{"sid": "PN1", "phone_number": "+4915550100002"}], ""),
        ([{"sid": None, "phone_number": "+15550100002"}], ""),
        ([], ""), (None, ""), ({"sid": "PN1"}, ""), (["odd", None], ""),
    ],
)  # fmt: skip
def test_carriers_tell_the_id_of_a_number(numbers: Any, found: str) -> None:
    """Both find also numbers that only hold the digits that are asked for."""
    with respx.mock:
        url = f"{TWILIO.removesuffix('/Calls')}/IncomingPhoneNumbers.json"
        route = respx.get(url).mock(httpx.Response(200, json={"incoming_phone_numbers": numbers}))
        assert asked(twilio_product.twilio(), "number_id", "+15550100002") == found
        assert route.calls[0].request.url.params["PhoneNumber"] == "+15550100002"
        if isinstance(numbers, list):
            numbers = [{**one, "id": one["sid"]} if isinstance(one, dict) else one for one in numbers]
        route = respx.get(f"{product.BASE}/phone_numbers").mock(httpx.Response(200, json={"data": numbers}))
        assert asked(product.telnyx(), "number_id", "+15550100002") == found
        assert route.calls[0].request.url.params["filter[phone_number]"] == "+15550100002"


def test_twilio_is_asked_for_the_price_of_a_leg_and_of_those_that_it_has_dialled() -> None:
    leg = {"sid": SID.control, "price": "-0.01", "price_unit": "USD", "status": "completed"}
    to_sip = {"sid": "CA2", "price": "-0.004", "price_unit": "USD", "status": "completed"}
    with respx.mock:
        respx.get(f"{TWILIO}/{SID.control}.json").respond(json=leg)
        listed = respx.get(f"{TWILIO}.json", params__contains={"ParentCallSid": SID.control})
        listed.respond(json={"calls": [to_sip]})
        costs, is_whole = asked(twilio_product.twilio(), "call_costs", SID)
        assert ([(cost.of, cost.amount) for cost in costs], is_whole) == ([(SID.control, 0.01), ("CA2", 0.004)], True)
        respx.get(f"{TWILIO}/{SID.control}.json").respond(json=leg | {"price": None})
        assert asked(twilio_product.twilio(), "call_costs", SID) == ([], False)
        assert listed.call_count == 1, "before the leg itself has a price, nothing else has one"
