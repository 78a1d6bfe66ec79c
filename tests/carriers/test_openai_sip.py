"""OpenAI's SIP: its webhooks, verified and read, and our commands as OpenAI sees them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import httpx
import openai
import pytest
import respx
from openai.types.webhooks import RealtimeCallIncomingWebhookEvent

from callflow.config.loader import load
from callflow.config.settings import Settings
from callflow.contracts import commands
from callflow.contracts.carrier import CarrierRequest, Request
from callflow.contracts.commands import Command
from callflow.contracts.engine import SessionContext
from callflow.contracts.errors import CarrierError, Forged, Malformed
from callflow.contracts.events import CallAnswered, CallInitiated, LegIds
from callflow.engines.common.account import Account
from callflow.engines.openai_realtime.session_config import minimal_session
from callflow.engines.openai_realtime.session_fallback import AcceptOffer
from carriers.openai_sip.carrier import OpenAISip, OpenAISipConfig
from carriers.openai_sip.headers import read_headers
from carriers.registry import openai_sip_config
from carriers.telnyx.ids import call_of
from carriers.telnyx.sip import led_to
from carriers.twilio.webhooks import routed
from tests.carriers.product import CALL, TLS
from tests.carriers.twilio_product import twilio
from tests.configs import realtime_config
from tests.conformance.schemas import complaints


SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
AT = 1750287078
BODY = (
    b'{"object":"event","id":"evt_1","type":"realtime.call.incoming","created_at":1750287018,"data":{"call_id":"rtc_1",'
    b'"sip_headers":[{"name":"From","value":"sip:+14155550123@example.com"}]}}'
)
SIGNED = {
    "webhook-id": "wh_1", "webhook-timestamp": str(AT),
    "webhook-signature": "v1,KAFffDIwo4dkAlXmF91T7hFhUZTg9keYvDN++QTtIRo=",
}  # fmt: skip
CALLS = "https://openai.test/v1/realtime/calls"


def carrier(secret: str = SECRET, now: float = AT) -> OpenAISip:
    config = OpenAISipConfig(
        api_key="sk-test", webhook_secret=secret, calls_url=CALLS, sip_uri="", seconds=1.0, retries=0
    )
    with patch("httpx._transports.default.create_ssl_context", return_value=TLS):
        return OpenAISip(config, clock=lambda: now)


def webhook(headers: dict[str, str], body: bytes = BODY) -> Request:
    return Request("POST", "/openai/webhook", headers, body)


# Signatures


def test_the_vector_is_verified_as_by_the_vendors_package() -> None:
    carrier().verify(webhook(SIGNED))
    client = openai.OpenAI(api_key="sk-test", webhook_secret=SECRET)
    with patch("time.time", return_value=float(AT)):
        event = client.webhooks.unwrap(BODY.decode(), SIGNED)
    assert isinstance(event, RealtimeCallIncomingWebhookEvent)
    (read,) = carrier().parse(webhook(SIGNED))
    assert (read.id, read.ids.control, read.occurred_at) == ("wh_1", event.data.call_id, "1750287018")
    assert isinstance(read.event, CallInitiated)
    assert read.event.from_number == "+14155550123"


@pytest.mark.parametrize("missing", SIGNED)
def test_a_header_that_is_missing_is_the_senders_fault(missing: str) -> None:
    with pytest.raises(Malformed, match=missing):
        carrier().verify(webhook({name: value for name, value in SIGNED.items() if name != missing}))


@pytest.mark.parametrize(
    ("headers", "body", "now"),
    [
        (SIGNED, BODY + b" ", AT),
        ({**SIGNED, "webhook-id": "wh_2"}, BODY, AT),
        ({**SIGNED, "webhook-timestamp": str(AT + 1)}, BODY, AT),
        ({**SIGNED, "webhook-timestamp": "soon"}, BODY, AT),
        ({**SIGNED, "webhook-timestamp": "9" * 11}, BODY, AT),
        ({**SIGNED, "webhook-signature": SIGNED["webhook-signature"].removeprefix("v1,")}, BODY, AT),
        ({**SIGNED, "webhook-signature": "v1,"}, BODY, AT),
        (SIGNED, b"\xff" + BODY, AT),
        (SIGNED, BODY, AT + 301),
        (SIGNED, BODY, AT - 301),
    ],
)
def test_another_signature_is_forged(headers: dict[str, str], body: bytes, now: float) -> None:
    with pytest.raises(Forged):
        carrier(now=now).verify(webhook(headers, body))


def test_what_is_right_among_several_is_enough() -> None:
    other = base64.b64encode(hmac.digest(b"another", b"wh_1.1750287078." + BODY, hashlib.sha256)).decode()
    both = f"v1,{other} {SIGNED['webhook-signature']}"
    carrier(f"whsec_YW5vdGhlcg==,{SECRET}", AT + 300).verify(webhook({**SIGNED, "webhook-signature": both}))
    raw = base64.b64encode(hmac.digest(b"a raw secret", b"wh_1.1750287078." + BODY, hashlib.sha256)).decode()
    carrier("a raw secret").verify(webhook({**SIGNED, "webhook-signature": f"v1,{raw}"}))


def test_without_a_secret_nothing_is_verified() -> None:
    with pytest.raises(Forged, match="OPENAI_WEBHOOK_SECRET is not set"):
        carrier("").verify(webhook(SIGNED))


# What they say


def test_another_webhook_is_only_noted_and_nonsense_is_refused() -> None:
    assert carrier().parse(webhook(SIGNED, b'{"type":"live.transport.incoming","data":{}}')) == []
    for body in (b"", b"[]", b"{}", b'{"type":3}', b'{"type":"realtime.call.incoming"}', b"\xff",
                 b'{"type":"realtime.call.incoming","data":{"call_id":"../hangup"}}'):  # fmt: skip
        with pytest.raises(Malformed):
            carrier().parse(webhook(SIGNED, body))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"From": '"Ann" <sip:+1(555)010-0001@h>;tag=1', "To": "<sip:proj_1@sip.api.openai.com>",
          "Diversion": "<sip:+15550100002@h>;reason=x", "Call-ID": "a@h"}, ("+15550100001", "+15550100002", "a@h", "")),
        ({"from": "tel:+15550100001", "to": "sip:5550100002@h"}, ("+15550100001", "5550100002", "", "")),
        ({"From": "<sip:%2b15550100001@h>", "To": "<sip:%2B1%28555%290100002@h>"},
         ("+15550100001", "+15550100002", "", "")),
        ({"From": "<sip:anonymous@anonymous.invalid>", "To": "sip:alice@h"}, ("", "", "", "")),
        ({"From": "<sip:alice@example.com;user=x>"}, ("sip:alice@example.com", "", "", "")),
        ({"From": "sip:+1@h", "X-Callflow-From": "+15550100009", "X-Callflow-To": "+15550100008",
          "Diversion": "<sip:+15550100002@h>", "X-Callflow-Leg": "telnyx:ab-1"},
         ("+15550100009", "+15550100008", "", "telnyx:ab-1")),
        ({"X-Twilio-CallSid": "CA1", "X-Callflow-Leg": "evil leg\n"}, ("", "", "", "")),
        ({"X-Twilio-CallSid": "CA1"}, ("", "", "", "twilio:CA1")),
    ],
)  # fmt: skip
def test_headers_are_read_as_far_as_they_can_be(headers: dict[str, str], expected: tuple[str, ...]) -> None:
    assert tuple(read_headers([{"name": name, "value": value} for name, value in headers.items()])) == expected


@pytest.mark.parametrize("odd", [None, 3, "From", [None, 3, {"name": 1}, {"name": "To", "value": []}]])
def test_headers_that_are_none_say_nothing(odd: Any) -> None:
    assert tuple(read_headers(odd)) == ("", "", "", "")


# Commands


def order(command: Command, **more: Any) -> CarrierRequest:
    return CarrierRequest(command, "id", "call", LegIds(control="rtc_1"), **more)


BODIES: list[tuple[Command, str, Any]] = [
    (commands.Reject(cause="busy"), "reject", {"status_code": 486}),
    (commands.Reject(cause="rejected"), "reject", {"status_code": 603}),
    (commands.Hangup(), "hangup", None),
    (commands.Refer(address="tel:+15550100010"), "refer", {"target_uri": "tel:+15550100010"}),
    (commands.Transfer(number="+15550100010"), "refer", {"target_uri": "tel:+15550100010"}),
]


@pytest.mark.parametrize(("command", "action", "body"), BODIES)
async def test_a_command_is_one_request(command: Command, action: str, body: Any) -> None:
    with respx.mock:
        route = respx.post(f"{CALLS}/rtc_1/{action}").respond(200)
        await carrier().execute(order(command))
        (call,) = route.calls
    assert call.request.headers["authorization"] == "Bearer sk-test"
    assert (json.loads(call.request.content) if call.request.content else None) == body


def offer(*tools: dict[str, Any], **settings: Any) -> AcceptOffer:
    return AcceptOffer(realtime_config(**settings), SessionContext("call", remote="rtc_1", tools=tools), Account())


async def test_a_session_that_is_refused_without_a_reason_is_asked_for_once_more_with_less() -> None:
    full = offer().first()
    assert "voice" in full["audio"]["output"]
    with respx.mock:
        route = respx.post(f"{CALLS}/rtc_1/accept").mock(side_effect=[httpx.Response(400), httpx.Response(200)])
        await carrier().execute(order(commands.Answer(), offer=offer()))
        asked = [json.loads(call.request.content) for call in route.calls]
    assert asked[0] == full
    assert asked[1] == {**minimal_session(realtime_config(), SessionContext("", remote="r")), "model": full["model"]}


async def test_an_accept_that_is_refused_for_ever_is_given_up() -> None:
    shop = {"type": "mcp", "server_label": "shop", "server_url": "https://shop.example"}
    with respx.mock:
        route = respx.post(f"{CALLS}/rtc_1/accept").respond(400, json={"error": {"code": "c", "message": "No."}})
        with pytest.raises(CarrierError):
            await carrier().execute(order(commands.Answer(), offer=offer(shop)))
        tools = [json.loads(call.request.content)["tools"] for call in route.calls]
    assert tools == [[shop], [shop], []], "whole, then minimal, then with functions only"


@pytest.mark.parametrize(
    ("status", "again", "raises"),
    [(404, False, True), (404, True, True), (409, True, False), (409, False, True), (401, True, True)],
)
async def test_what_becomes_of_an_accept(status: int, again: bool, raises: bool) -> None:
    with respx.mock:
        respx.post(f"{CALLS}/rtc_1/accept").respond(status, json={"error": {"code": "call_not_found"}})
        work = carrier().execute(order(commands.Answer(again=again), offer=offer()))
        if not raises:
            await work
            return
        with pytest.raises(CarrierError) as caught:
            await work
    assert caught.value.gone is (status == 404)


async def test_a_call_that_is_over_can_be_hung_up_and_one_that_rings_is_rejected() -> None:
    with respx.mock:
        respx.post(f"{CALLS}/rtc_1/hangup").respond(404)
        rejects = respx.post(f"{CALLS}/rtc_1/reject").respond(404)
        await carrier().execute(order(commands.Hangup()))
        assert rejects.call_count == 1


async def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(CarrierError, match="no command"):
        await carrier().execute(order(commands.Speak(sentence="sorry")))
    with pytest.raises(CarrierError, match="sideband"):
        await carrier().call_status(LegIds(control="rtc_1"))


def test_what_is_sent_is_in_the_vendors_schemas() -> None:
    accept = offer(transcription_model="gpt-transcribe")
    for body in (accept.first(), accept.reduced("No.", "")):
        assert complaints("openai/call-accept-request.schema.json", "", body) == []
    assert complaints("openai/call-reject-request.schema.json", "", BODIES[0][2]) == []
    assert complaints("openai/call-refer-request.schema.json", "", BODIES[3][2]) == []


# Numbers of other carriers lead there

URI = "sip:proj_1@sip.api.openai.com;transport=tls"
LED: dict[str, Any] = {"from_number": "+15550100001", "to_number": "+15550100002"}


def test_twilio_dials_the_address_with_the_numbers_in_headers_of_ours() -> None:
    request = order(commands.LeadToSip(address=URI), **LED)
    reply = twilio().reply(CallInitiated(), [request])
    assert reply.rest == ()
    assert f"<Sip>{URI}?X-Callflow-From=%2B15550100001&amp;X-Callflow-To=%2B15550100002</Sip>" in reply.body.decode()
    long = order(commands.LeadToSip(address=URI), from_number="sip:" + "a" * 200, to_number="+15550100002")
    assert f"<Sip>{URI}</Sip>" in twilio().reply(CallInitiated(), [long]).body.decode()


@pytest.mark.parametrize(
    ("query", "route"),
    [("mode=sip", "sip"), ("mode=stream", "stream"), ("", ""), ("mode=tcp", ""),
     ("mode=sip&scheme=sips&host=evil.example&transport=udp&port=9", "sip")],
)  # fmt: skip
def test_the_address_of_a_document_says_where_the_caller_is_led(query: str, route: str) -> None:
    event = routed(CallInitiated(**LED), "/api/twiml", query, "")
    assert isinstance(event, CallInitiated)
    assert event.route == route
    assert routed(CallInitiated(**LED), "/incoming-call", query, "") == CallInitiated(**LED)


def test_a_call_that_another_program_has_dialled_is_led_when_it_is_answered() -> None:
    assert routed(CallAnswered(**LED), "/twiml", "mode=sip", "") == CallInitiated(route="sip", **LED)
    assert routed(CallInitiated(**LED), "/twiml", "", "sip") == CallInitiated(route="sip", **LED)


def test_telnyx_transfers_encrypted() -> None:
    request = CarrierRequest(commands.LeadToSip(address=URI), "id", CALL, LegIds(control="v3:1", leg="leg-1"), **LED)
    body = led_to(URI, 20, request)
    assert call_of(body.pop("target_leg_client_state")) == (CALL, "sip")
    assert body == {
        "to": URI, "from": "+15550100001", "timeout_secs": 20, "sip_transport_protocol": "TLS",
        "media_encryption": "SRTP",
        "custom_headers": [
            {"name": "X-Callflow-From", "value": "+15550100001"}, {"name": "X-Callflow-To", "value": "+15550100002"},
            {"name": "X-Callflow-Leg", "value": "telnyx:leg-1"},
        ],
    }  # fmt: skip
    assert led_to("sip:a@b;transport=udp", 20, request)["sip_transport_protocol"] == "UDP"


def test_the_address_is_made_of_settings_alone() -> None:
    settings = Settings(openai_project_id="proj_1")
    assert settings.openai_sip_uri == URI
    other = {"openai_sip_scheme": "sips", "openai_sip_host": "sip-eu.api.openai.com", "openai_sip_port": 5061}
    uri = settings.model_copy(update=other).openai_sip_uri
    assert uri == "sips:proj_1@sip-eu.api.openai.com:5061;transport=tls"
    assert Settings().openai_sip_uri == ""
    for wrong in ({"openai_sip_host": "evil.example/x"}, {"openai_sip_host": "h"}, {"openai_project_id": "x@y"}):
        with pytest.raises(ValueError, match="must be"):
            Settings.model_validate(wrong)


class _Nowhere:
    """A server that nobody reaches."""

    address = believed = ""
    answers = False

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        raise AssertionError("nothing is sent")


EUROPE = "wss://eu.api.openai.com/v1/realtime"


@pytest.mark.parametrize(
    ("host", "url", "belongs"),
    [
        ("sip.api.openai.com", EUROPE, "sip-eu.api.openai.com"),
        ("sip-eu.api.openai.com", "wss://api.openai.com/v1/realtime", "sip.api.openai.com"),
        ("sip-eu.api.openai.com", EUROPE, ""), ("sip.api.openai.com", "wss://api.openai.com/v1/realtime?model=x", ""),
        ("sip.api.openai.com", "ws://127.0.0.1:6300/v1/realtime", ""), ("sip.example.com", EUROPE, ""),
    ],
)  # fmt: skip
async def test_an_api_of_another_region_than_the_sip_address_is_told_at_the_start_and_by_the_doctor(
    host: str, url: str, belongs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each accept is answered 404 there, as that of a caller who has gone."""
    given = {
        "OPENAI_SIP_HOST": host, "OPENAI_REALTIME_URL": url, "OPENAI_PROJECT_ID": "proj_1",
        "OPENAI_WEBHOOK_SECRET": SECRET, "OPENAI_API_KEY": "sk-test-0123456789",
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load({}, toml=None, env_file=None)
    told = [line for line in settings.warnings if line.startswith("OPENAI_SIP_HOST")]
    assert [line.rpartition(": ")[2] for line in told] == ([f"{belongs} belongs to it"] if belongs else [])
    sip = OpenAISip(openai_sip_config(settings))
    with respx.mock:
        respx.post(url__regex=".*/hangup").respond(404)
        (about,) = [one async for one in sip.checkup(_Nowhere()) if one.about.endswith("address")]
    assert (about.state, about.what.endswith("belongs to it")) == (("wrong", True) if belongs else ("ok", False))
    await sip.close()
