"""The emulated carriers refer callers who came over SIP, and nobody else."""

from __future__ import annotations

import asyncio

import pytest

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.twilio import Faults
from tests.sandbox import telnyx_product, twilio_product
from tests.sandbox.telnyx_product import error_of
from tests.sandbox.twilio_product import response


DESK = "sip:desk@pbx.example.com"
CALLER = "sip:ann@pbx.example.com"
ON = response("<Say>Back.</Say>")
REFER = f'<Refer action="/after"><Sip>{DESK}</Sip></Refer>'


@pytest.mark.parametrize(
    ("does", "became", "code"),
    [("busy", "busy", "486"), ("rejects", "failed", "603"), ("not_reachable", "failed", "404")],
)
async def test_twilio_tells_the_action_how_the_new_call_failed_and_goes_on(does: str, became: str, code: str) -> None:
    async with twilio_product.product(REFER, after=ON) as the:
        the.twilio.callees[DESK] = Callee.of(does)
        call = await the.twilio.ring(from_number=CALLER)
        await call.wait_ended()
        (told,) = the.of("/after")
        assert (told["ReferCallStatus"], told["ReferSipResponseCode"]) == (became, "202")
        assert (told["NotifySipResponseCode"], told["CallStatus"]) == (code, "in-progress")
        assert call.spoken == ["Back."]


async def test_twilio_is_left_by_a_caller_who_is_connected_elsewhere() -> None:
    async with twilio_product.product(REFER, after=response("<Pause length='60'/>")) as the:
        call = await the.twilio.ring(from_number=CALLER)
        await call.wait_ended()
        (told,) = the.of("/after")
        assert (told["ReferCallStatus"], told["NotifySipResponseCode"]) == ("in-progress", "200")
        assert call.ended_by == "caller"


async def test_twilio_tells_of_a_refused_refer() -> None:
    async with twilio_product.product(REFER, after=ON) as the:
        call = await the.twilio.ring(from_number=CALLER, faults=Faults(refer_refused=405))
        await call.wait_ended()
        (told,) = the.of("/after")
        assert (told["ReferCallStatus"], told["ReferSipResponseCode"]) == ("failed", "405")
        assert "NotifySipResponseCode" not in told


@pytest.mark.parametrize(
    ("caller", "verb", "code"),
    [
        ("+15550100001", REFER, 13801), (CALLER, "<Refer/>", 12100), (CALLER, "<Refer><Sip>desk</Sip></Refer>", 12100),
        (CALLER, f"<Refer><Sip>{DESK}</Sip><Sip>{DESK}</Sip></Refer>", 12100),
        (CALLER, f"<Refer><Number>{DESK}</Number></Refer>", 12100),
    ],
)  # fmt: skip
async def test_twilio_plays_no_other_refer(caller: str, verb: str, code: int) -> None:
    async with twilio_product.product(verb, after=ON) as the:
        call = await the.twilio.ring(from_number=caller)
        await call.wait_ended()
        assert [number for number, _ in call.errors] == [code]


async def test_telnyx_tells_how_the_new_call_goes() -> None:
    async with telnyx_product.product() as app:
        for does, last, status in (("busy", "failed", 486), ("answers", "completed", 200)):
            app.telnyx.callees[DESK] = Callee.of(does)
            call = await app.telnyx.ring(from_number=CALLER)
            await app.command(call, "answer")
            await call.wait_answered()
            app.webhooks.clear()
            assert (await app.command(call, "refer", sip_address=DESK)).status_code == 200
            async with asyncio.timeout(5):
                await app.told("call.refer.started", f"call.refer.{last}")
            payload = app.payload(f"call.refer.{last}")
            assert (payload["sip_notify_response"], payload["calling_party_type"]) == (status, "sip")
            if last == "completed":
                await call.wait_ended()
            else:
                assert call.state == "answered"


async def test_telnyx_refers_no_caller_from_the_telephone_network_and_to_nothing_but_sip() -> None:
    async with telnyx_product.product() as app:
        for caller, address in (("+15550100001", DESK), (CALLER, "+15550100010")):
            call = await app.telnyx.ring(from_number=caller)
            await app.command(call, "answer")
            await call.wait_answered()
            refused = await app.command(call, "refer", sip_address=address)
            assert error_of(refused)[:2] == (422, "10015")
            assert call.state == "answered"
