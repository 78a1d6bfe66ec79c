"""A machine is being left a message, and the process is killed: nothing is said twice, and no line stays open. Over
real processes."""

from __future__ import annotations

from typing import Any

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.openai_realtime import Script
from tests.e2e import product as products
from tests.e2e.product import until
from tests.e2e.talk import noise, saying
from tests.e2e.test_outbound_survival import dial, dialling_office, dials, leg, over
from tests.e2e.test_survival import Office


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
WRITTEN = """SELECT * FROM steps WHERE event LIKE '%"answered_by"%' AND taken"""
LONG, SHORT = noise(4000, seed=4), noise(700, seed=7)
ENV: dict[str, Any] = {
    "MACHINE_DETECTION": "true", "VOICEMAIL_MESSAGE": "Please call us back.", "STREAM_TRIES": 2, "ENGINE_TRIES": 1,
}  # fmt: skip


async def rung(one: Office, callee: Callee) -> Any:
    """Dial, and have this answer; the model says SHORT from its second session on."""
    one.carrier.exchange.callee = callee
    one.carrier.exchange.timing.ring_s = 0.1
    assert (await dial(one)).status_code == 201
    await one.realtime.wait_session(1)
    one.realtime.script = Script.of(saying(SHORT))
    return leg(one)


def begun(one: Office) -> list[Any]:
    """The messages that the model was asked for."""
    asked = [event.event for session in one.realtime.sessions for event in session.received]
    return [each for each in asked if each["type"] == "response.create" and "answering machine" in str(each)]


async def test_a_process_that_dies_before_the_beep_is_followed_by_one_that_leaves_the_message() -> None:
    async with dialling_office(**ENV, BEEP_SECONDS=3) as one:
        if products.usual == "twilio":
            one.carrier.faults.amd_result = "machine_start"  # else it tells of the machine with the beep
        call = await rung(one, Callee(does="voicemail", speaks_s=2.5))
        await one.realtime.wait_session(2)
        await until(lambda: one.rows(WRITTEN), "the machine to be on record")
        await one.stop()
        assert begun(one) == []
        await one.start()
        row = await over(one)
        assert row["hangup_cause"] == "machine"
        assert (len(begun(one)), dials(one)) == (1, 1)
        assert SHORT in bytes(call.phone.message)
        assert call.ended_by == "product"


async def test_a_message_that_was_being_said_is_not_said_again() -> None:
    async with dialling_office(**ENV) as one:
        call = await rung(one, Callee(does="voicemail", speaks_s=0.5))
        one.realtime.script = Script.of(saying(LONG))
        await until(lambda: call.phone.message_at is not None, "the beep")
        await call.phone.hears(0.5)
        await one.stop()
        assert len(begun(one)) == 1
        await one.start()
        row = await over(one)
        assert row["hangup_cause"] == "machine"
        assert (len(begun(one)), dials(one)) == (1, 1)
        assert call.ended_by == "product"
