"""Dialling on both carriers: what is sent, what an answer means, what is sent again and what never is."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import respx

from callflow.contracts import commands
from callflow.contracts.carrier import Carrier, CarrierRequest
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import CallAnswered, CallHangup, CarrierNotice, LegIds
from carriers.common import http_client
from carriers.twilio.twiml import CONNECTION_OVERRIDES
from tests.carriers import product, twilio_product


THEIRS, OURS = "+15550100007", "+15550100002"
TWILIO_CALLS = f"{twilio_product.BASE}/2010-04-01/Accounts/{twilio_product.ACCOUNT}/Calls.json"
TELNYX_CALLS = f"{product.BASE}/calls"
NAMED = {"data": {"call_control_id": "v3:new", "call_leg_id": "leg", "call_session_id": "session", "is_alive": False}}
AT = datetime(2026, 11, 28, 9, 0, 0, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "_wait", lambda state: 0.0)


def order(*, stream: bool = True, record: bool = False, machines: Any = "") -> CarrierRequest:
    command = commands.Dial(ring_seconds=25, record=record, stream=stream, machines=machines)
    return replace(
        product.order(command), ids=LegIds(), from_number=OURS, to_number=THEIRS, at=AT, stream_secret="SECRET"
    )


def telnyx() -> Carrier:
    return product.telnyx(connection_id="17", from_number=OURS)


def twilio() -> Carrier:
    return twilio_product.twilio(from_number=OURS)


def told(carrier: Carrier, ask: Callable[[Carrier], Awaitable[Any]]) -> Any:
    async def inner() -> Any:
        try:
            return await ask(carrier)
        finally:
            await carrier.close()

    return asyncio.run(inner())


def dialled(carrier: Carrier, request: CarrierRequest | None = None) -> LegIds:
    ids: LegIds = told(carrier, lambda each: each.dial(request or order()))
    return ids


# Telnyx


@respx.mock
def test_what_telnyx_is_told() -> None:
    route = respx.post(TELNYX_CALLS).respond(json=NAMED)
    assert dialled(telnyx(), order(record=True)) == LegIds("v3:new", "leg", "session")
    assert json.loads(route.calls[0].request.content) == {
        "command_id": product.COMMAND,
        "client_state": base64.b64encode(product.CALL.encode()).decode(),
        "connection_id": "17",
        "to": THEIRS,
        "from": OURS,
        "timeout_secs": 25,
        "webhook_url": "https://app.test/webhooks",
        "webhook_url_method": "POST",
        "stream_url": "wss://app.test/media-stream/TOKEN",
        "stream_track": "inbound_track",
        "stream_codec": "PCMU",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": "PCMU",
        "stream_bidirectional_target_legs": "self",
        "stream_auth_token": "SECRET",
        "send_silence_when_idle": True,
        "record": "record-from-answer",
        "record_channels": "dual",
        "record_format": "mp3",
    }


@respx.mock
@pytest.mark.parametrize("status", [500, 503, 429])
def test_telnyx_is_told_again_under_the_same_id_when_it_has_answered(status: int) -> None:
    route = respx.post(TELNYX_CALLS).mock(side_effect=[httpx.Response(status), httpx.Response(200, json=NAMED)])
    assert dialled(telnyx()).control == "v3:new"
    first, second = (json.loads(call.request.content) for call in route.calls)
    assert first == second


def test_telnyx_is_told_nothing_without_an_application() -> None:
    with pytest.raises(CarrierError, match="TELNYX_CONNECTION_ID"):
        dialled(product.telnyx(connection_id=""))


@respx.mock
def test_telnyxs_leg_is_found_by_the_state_that_it_keeps() -> None:
    state = base64.b64encode(product.CALL.encode()).decode()
    calls = [
        {"call_control_id": "v3:other", "client_state": "not base64"},
        {"call_control_id": "v3:mine", "call_leg_id": "l", "call_session_id": "s", "client_state": state},
    ]
    respx.get(f"{product.BASE}/connections/17/active_calls").respond(json={"data": calls})
    assert told(telnyx(), lambda each: each.find_dialled(order())) == LegIds("v3:mine", "l", "s")


def test_telnyxs_webhooks_bring_our_id_back() -> None:
    def brought(state: Any) -> str:
        payload = {"call_control_id": "v3:a", "client_state": state}
        body = json.dumps({"data": {"event_type": "call.answered", "id": "1", "payload": payload}}).encode()
        (webhook,) = telnyx().parse(product.request(body))
        assert isinstance(webhook.event, CallAnswered)
        return webhook.call

    assert brought(base64.b64encode(product.CALL.encode()).decode()) == product.CALL
    for odd in (None, "", "somebody's own", 7, base64.b64encode(b"somebody's own").decode(), "A" * 5000):
        assert brought(odd) == ""


# Twilio


def form(route: respx.Route) -> dict[str, list[str]]:
    return parse_qs(route.calls[0].request.content.decode())


@respx.mock
def test_what_twilio_is_told() -> None:
    route = respx.post(TWILIO_CALLS).respond(201, json={"sid": twilio_product.SID, "status": "queued"})
    assert dialled(twilio(), order(record=True)) == LegIds(control=twilio_product.SID)
    query = f"?call={product.CALL}{CONNECTION_OVERRIDES}"
    assert form(route) == {
        "To": [THEIRS],
        "From": [OURS],
        "Url": [f"{twilio_product.PUBLIC}/twilio/voice{query}"],
        "Method": ["POST"],
        "FallbackUrl": [f"{twilio_product.PUBLIC}/twilio/fallback{query}"],
        "FallbackMethod": ["POST"],
        "StatusCallback": [f"{twilio_product.PUBLIC}/twilio/status{query}"],
        "StatusCallbackMethod": ["POST"],
        "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
        "Timeout": ["25"],
        "Record": ["true"],
        "RecordingChannels": ["dual"],
        "RecordingStatusCallback": [f"{twilio_product.PUBLIC}/twilio/recording{query}"],
        "RecordingStatusCallbackMethod": ["POST"],
        "RecordingStatusCallbackEvent": ["in-progress completed absent"],
    }


@respx.mock
@pytest.mark.parametrize(
    "trouble", [httpx.Response(500), httpx.Response(503), httpx.Response(408), httpx.ReadTimeout("late"),
                httpx.RemoteProtocolError("cut")],
)  # fmt: skip
def test_twilio_is_never_told_again_what_may_have_had_an_effect(trouble: Any) -> None:
    route = respx.post(TWILIO_CALLS).mock(side_effect=[trouble, httpx.Response(201, json={"sid": "CA2"})])
    with pytest.raises(CarrierError) as caught:
        dialled(twilio())
    assert caught.value.unknown
    assert route.call_count == 1


@respx.mock
@pytest.mark.parametrize("trouble", [httpx.Response(429), httpx.ConnectError("no"), httpx.ConnectTimeout("no")])
def test_twilio_is_told_again_what_certainly_had_none(trouble: Any) -> None:
    route = respx.post(TWILIO_CALLS).mock(side_effect=[trouble, httpx.Response(201, json={"sid": "CA2"})])
    assert dialled(twilio()).control == "CA2"
    assert route.call_count == 2


@respx.mock
@pytest.mark.parametrize(("make", "url"), [(telnyx, TELNYX_CALLS), (twilio, TWILIO_CALLS)])
def test_a_refusal_is_final_and_known(make: Callable[[], Carrier], url: str) -> None:
    route = respx.post(url).respond(400, json={"code": 21211, "message": "Invalid 'To' Phone Number"})
    with pytest.raises(CarrierError) as caught:
        dialled(make())
    assert (caught.value.unknown, caught.value.status, route.call_count) == (False, 400, 1)


def error(code: str, field: str = "") -> dict[str, Any]:
    return {"errors": [{"code": code, "title": "No", **({"source": {"pointer": f"/{field}"}} if field else {})}]}


@respx.mock
@pytest.mark.parametrize(
    ("status", "body", "about"),
    [
        (403, error("90043"), "limit"), (422, error("90041"), "limit"), (429, error("90103"), "limit"),
        (503, error("10007"), "limit"), (502, {}, "limit"), (401, error("10009"), "account"),
        (403, error("20100"), "account"), (403, error("20012"), "account"), (402, {}, "account"),
        (422, error("10015", "connection_id"), "account"), (422, error("10016", "to"), "number"),
        (422, error("10032", "timeout_secs"), ""), (403, error("10010"), ""), (403, {"errors": "x"}, ""),
        (403, {"errors": [{"code": "1", "source": "x"}]}, ""),
    ],
)  # fmt: skip
def test_what_a_refusal_of_telnyx_is_about(status: int, body: Any, about: str) -> None:
    respx.post(TELNYX_CALLS).respond(status, json=body)
    with pytest.raises(CarrierError) as caught:
        dialled(telnyx())
    assert caught.value.refuses == about


@respx.mock
@pytest.mark.parametrize(
    ("status", "code", "about"),
    [
        (429, 20429, "limit"), (429, 10004, "limit"), (503, 20503, "limit"), (401, 20003, "account"),
        (400, 21210, "account"), (400, 21211, "number"), (400, 21215, "number"), (400, 21219, "number"),
        (400, 20001, ""), (403, 20403, ""),
    ],
)  # fmt: skip
def test_what_a_refusal_of_twilio_is_about(status: int, code: int, about: str) -> None:
    respx.post(TWILIO_CALLS).respond(status, json={"code": code, "message": "No", "status": status})
    with pytest.raises(CarrierError) as caught:
        dialled(twilio())
    assert caught.value.refuses == about


@respx.mock
@pytest.mark.parametrize(("trouble", "about"), [(httpx.ConnectError("no"), "limit"), (httpx.ReadTimeout("no"), "")])
def test_only_what_was_never_sent_is_a_refusal(trouble: Exception, about: str) -> None:
    respx.post(TELNYX_CALLS).mock(side_effect=trouble)
    with pytest.raises(CarrierError) as caught:
        dialled(telnyx())
    assert caught.value.refuses == about


@respx.mock
@pytest.mark.parametrize(("make", "url"), [(telnyx, TELNYX_CALLS), (twilio, TWILIO_CALLS)])
@pytest.mark.parametrize("answer", [{}, [], {"data": None}, {"data": {"call_control_id": None}}, {"sid": None}])
def test_an_answer_that_names_no_call_leaves_it_unknown(make: Callable[[], Carrier], url: str, answer: Any) -> None:
    respx.post(url).respond(200, json=answer)
    with pytest.raises(CarrierError) as caught:
        dialled(make())
    assert caught.value.unknown


@respx.mock
@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ([("CA1", "outbound-api", 2)], "CA1"),
        ([("CA1", "outbound-api", 2), ("CA2", "inbound", 3)], "CA1"),
        ([("CA1", "outbound-api", -86_400)], ""),
        ([("CA1", "outbound-api", 2), ("CA2", "outbound-api", 3)], ""),
        ([("CA1", "outbound-api", None)], ""),
        ([], ""),
    ],
)
def test_twilios_call_is_found_when_there_is_only_one(calls: list[tuple[str, str, int | None]], found: str) -> None:
    def row(sid: str, direction: str, after: int | None) -> dict[str, Any]:
        date = None if after is None else format_datetime(datetime.fromtimestamp(AT + after, UTC))
        return {"sid": sid, "direction": direction, "date_created": date}

    route = respx.get(TWILIO_CALLS).respond(json={"calls": [row(*call) for call in calls]})
    ids = told(twilio(), lambda each: each.find_dialled(order()))
    assert ids == (LegIds(control=found) if found else None)
    asked = route.calls[0].request.url.params
    assert (asked["To"], asked["From"], asked["StartTime>"]) == (THEIRS, OURS, "2026-11-28")


def test_twilios_webhooks_bring_our_id_back() -> None:
    def webhook(path: str, status: str, query: str) -> Any:
        asked = twilio_product.request(path, {**twilio_product.INCOMING, "CallStatus": status})
        (one,) = twilio().parse(replace(asked, query=query))
        return one

    mine = f"call={product.CALL}"
    answered = webhook("/twilio/voice", "in-progress", mine)
    assert (type(answered.event), answered.call) == (CallAnswered, product.CALL)
    ended = webhook("/twilio/status", "busy", mine)
    hangup = CallHangup(cause="user_busy", source="carrier", unanswered=True)
    assert (ended.event, ended.call) == (hangup, product.CALL)
    assert isinstance(webhook("/twilio/status", "ringing", mine).event, CarrierNotice)
    for odd in ("", "call=", "call=somebody", "other=1", "call=%00"):
        assert webhook("/twilio/voice", "in-progress", odd).call == ""
