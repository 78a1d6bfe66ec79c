"""The emulated Twilio plays documents: verbs in order, what answers a call, what ends it, what goes wrong."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from quart import Response

from callflow.sandbox.twilio import Faults, Twilio
from callflow.sandbox.twilio.player import APPLICATION_ERROR
from tests.sandbox.twilio_product import PUBLIC, STREAM, product, response


async def test_the_first_request_says_what_the_documentation_says() -> None:
    async with product("<Say>Hello.</Say>") as the:
        call = await the.twilio.ring(from_number="+15550100009")
        await call.wait_ended()
        (asked,) = the.of("/voice")
        assert asked["CallSid"] == call.sid
        assert asked["CallStatus"] == "ringing"
        assert asked["Direction"] == "inbound"
        assert (asked["From"], asked["Caller"]) == ("+15550100009", "+15550100009")
        assert asked["FromCity"] == "", "blank values are sent, and count"
        headers = the.asked[0][2]
        assert headers["host"] == "phone.example"
        assert headers["user-agent"].startswith("TwilioProxy")
        assert headers["i-twilio-idempotency-token"]


async def test_the_end_of_a_call_is_told_with_its_length() -> None:
    async with product("<Pause/>", "<Hangup/>") as the:
        call = await the.twilio.ring()
        await call.wait_ended()
        await the.until(lambda: the.of("/status"))
        (told,) = the.of("/status")
        assert (told["CallStatus"], told["CallDuration"], told["SequenceNumber"]) == ("completed", "0", "0")
        assert told["CallbackSource"] == "call-progress-events"
        assert call.ended_by == "product"


async def test_verbs_come_one_after_the_other_and_the_last_one_hangs_up() -> None:
    documents = (
        "<Say>One.</Say>",
        "<Pause length='1'/>",
        "<Play>https://x.example/a.mp3</Play>",
        "<Say>Two.</Say>",
    )
    async with product(*documents) as the:
        call = await the.twilio.ring()
        await call.wait_ended()
        assert call.spoken == ["One.", "Two."]
        assert call.phone.loud_ms() > 20
        assert (call.status, call.ended_by) == ("completed", "product")


async def test_a_pause_at_the_beginning_lets_the_phone_ring_on() -> None:
    async with product("<Pause length='20'/>", "<Say>Now.</Say>") as the:
        call = await the.twilio.ring()
        await the.until(lambda: call.documents)
        assert call.state == "ringing"
        await call.hang_up()
        assert call.status == "no-answer"


@pytest.mark.parametrize(("reason", "status"), [("busy", "busy"), ("rejected", "no-answer")])
async def test_a_rejected_call_is_never_answered(reason: str, status: str) -> None:
    async with product(f'<Reject reason="{reason}"/>') as the:
        call = await the.twilio.ring()
        await call.wait_ended()
        assert (call.status, call.answered_at) == (status, None)


async def test_a_redirect_drops_the_rest_and_resolves_against_its_document() -> None:
    async with product("<Redirect>../more/there#rc=2</Redirect>", "<Say>Never.</Say>") as the:
        the.answers["/more/there"] = response("<Say>There.</Say>")
        call = await the.twilio.ring()
        await call.wait_ended()
        assert call.spoken == ["There."]
        assert the.of("/more/there")


async def test_digits_are_gathered_and_brought_to_the_action() -> None:
    gather = '<Gather numDigits="2" action="/digits"><Say>Two digits.</Say></Gather>'
    async with product(gather, digits=response("<Say>Thanks.</Say>")) as the:
        call = await the.twilio.ring()
        await call.press("4")
        await call.press("2")
        await call.wait_ended()
        assert [one["Digits"] for one in the.of("/digits")] == ["42"]
        assert call.spoken == ["Two digits.", "Thanks."]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("<Response><Say>never closed", 12100),
        ("<Answer/>", 12100),
        ("<Response><say>wrong case</say></Response>", 12100),
        ("<Response><Say>x</Say><Reject/></Response>", 12100),
        ("<Response><Connect/></Response>", 12100),
        ('<!DOCTYPE x [<!ENTITY a "b">]><Response/>', 12100),
        (Response("<Response/>", content_type="application/json"), 12300),
        (Response("", status=500), 11200),
        (Response("", status=403), 11200),
        ("<Response>" + "<Pause/>" * 9000 + "</Response>", 11750),
        ('<Response><Connect><Stream url="ws://phone.example/media"/></Connect></Response>', 31922),
        ('<Response><Connect><Stream url="wss://phone.example/media?token=t"/></Connect></Response>', 31920),
    ],
)
async def test_what_twilio_would_not_play_is_not_played(document: str | Response, code: int) -> None:
    async with product(voice=document) as the:
        call = await the.twilio.ring()
        await call.wait_ended()
        assert [error for error, _ in call.errors] == [code]
        if code < 30000:
            assert call.spoken == [APPLICATION_ERROR]
            assert call.ended_by == "carrier"


async def test_an_unknown_attribute_is_a_warning_only() -> None:
    async with product('<Say mood="cheerful">Hello.</Say>') as the:
        call = await the.twilio.ring()
        await call.wait_ended()
        assert [code for code, _ in call.warnings] == [12200]
        assert call.spoken == ["Hello."]


async def test_the_fallback_is_asked_once_and_told_why() -> None:
    async with product(fallback="/fallback", voice=500) as the:
        the.answers["/fallback"] = response("<Redirect>/voice</Redirect>")
        call = await the.twilio.ring()
        await call.wait_ended()
        (asked,) = the.of("/fallback")
        assert (asked["ErrorCode"], asked["ErrorUrl"]) == ("11200", f"{PUBLIC}/voice")
        assert call.spoken == [APPLICATION_ERROR], "the second failure has no fallback"


@pytest.mark.parametrize("override", ["trunk_sid", "voice_application_sid"])
async def test_a_trunk_or_an_application_overrides_the_voice_url(override: str) -> None:
    async with product("<Say>Hello.</Say>") as the:
        setattr(the.twilio.number(), override, "XX0")
        call = await the.twilio.ring()
        await call.hang_up()
        assert not the.of("/voice")
        assert "overrides" in call.story()


async def test_a_call_that_streams_can_be_steered_from_outside() -> None:
    async with product(STREAM) as the, httpx.AsyncClient(base_url=the.twilio.base_url, trust_env=False) as client:
        sid = (await client.post("/sandbox/ring", json={"from": "+15550100005"})).json()["call_sid"]
        call = the.twilio.calls[sid]
        await call.wait_streaming()
        pressed = await client.post(f"/sandbox/calls/{sid}/press", json={"digit": "7"})
        assert pressed.json() == {"state": "answered"}
        assert (await client.put("/sandbox/faults", json={"no_marks": True})).json()["no_marks"] is True
        assert (await client.put("/sandbox/faults", json={"no_mark": True})).status_code == 400
        assert (await client.get("/sandbox/key")).json()["account_sid"] == the.twilio.account_sid
        log = (await client.get("/sandbox/log")).json()
        assert log["deliveries"][0]["url"] == f"{PUBLIC}/voice"
        await the.until(lambda: any(frame["event"] == "dtmf" for frame in the.frames))
        await client.post(f"/sandbox/calls/{sid}/hang_up")
        assert call.ended_by == "caller"


async def test_closing_leaves_nothing_behind() -> None:
    before = len(asyncio.all_tasks())
    async with product(STREAM) as the:
        call = await the.twilio.ring(faults=Faults())
        await call.wait_streaming()
    assert len(asyncio.all_tasks()) == before


async def test_nobody_answers_where_nothing_listens() -> None:
    async with Twilio("http://127.0.0.1:9", voice="/voice", status="") as twilio:
        twilio.exchange.timing.retry_pause_s = twilio.exchange.timing.speak_s_per_char = 0.001
        call = await twilio.ring()
        await call.wait_ended()
        assert [code for code, _ in call.errors] == [11205]
        assert len(twilio.deliveries) == 2, "a connection that fails is tried once more"
