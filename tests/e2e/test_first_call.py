"""The first call, end to end: a caller rings, is greeted, is answered, breaks in, and hangs up."""

from __future__ import annotations

from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Realtime
from callflow.sandbox.openai_realtime.script import Pace, Script
from tests.e2e.product import product


CARRIERS = ("telnyx", "twilio")


async def test_a_call_is_answered_greeted_and_let_go() -> None:
    async with product(realtime=Realtime(script=Script.tone(0.4), pace=Pace.instant())) as the:
        phone = Phone()
        call = await the.carrier.ring(phone=phone)
        await call.wait_streaming()
        await phone.hears(0.3)
        await call.hang_up()
        await the.quiet()
        assert the.timeline() == ["ringing>answered", "answered>streaming", "streaming>hangup"]
        assert [len(the.actions(name)) for name in ("answer", "hangup", "speak")] == [1, 0, 0]
        session = the.realtime.sessions[0]
        assert session.violations == []
        asked = [one.event["type"] for one in session.received]
        assert asked[0] == "session.update", "the model was spoken to before it was configured"
        assert asked.count("response.create") == 1, "the model was not told exactly once to greet"


async def test_a_model_that_is_ready_and_stays_mute_is_apologised_for() -> None:
    async with product(realtime=Realtime(script=Script.silent(), pace=Pace.instant()), reply_seconds=0.3) as the:
        phone = Phone()
        call = await the.carrier.ring(phone=phone)
        await phone.hears(1.0)
        await call.wait_ended(12)
        await the.quiet()
        assert call.ended_by == "product"
        assert the.happened("clip"), "the caller was left in silence"
