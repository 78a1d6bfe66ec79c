"""Outbound calls that nobody answers in person: machines with and without a beep, faxes, and carriers that are not
sure, late, wrong or silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.openai_realtime import Faults as RealtimeFaults
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from tests.e2e import product as products
from tests.e2e.outbound import ask, dial, dialled, dialling, dials
from tests.e2e.product import Product, until
from tests.e2e.talk import noise, saying


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
WORDS = "This is Callflow. Please call us back on +1 555 010 0002."
MESSAGE = noise(700, seed=16)
ON: dict[str, Any] = {"machine_detection": True, "voicemail_message": WORDS}
SPOKEN_BEFORE = 8 * 600
"""Bytes: so much of what the agent said may be on the machine when the word of it comes late."""
MACHINE = Callee(does="voicemail", speaks_s=0.8)


@contextlib.asynccontextmanager
async def answered_by(callee: Callee, **settings: Any) -> AsyncIterator[Product]:
    """A call is dialled that this answers. The first session of the model says a tone, and those after it MESSAGE."""
    async with dialling(**{**ON, **settings}) as the:
        the.carrier.exchange.callee = callee
        await dialled(the)
        await leaves_message(the)
        yield the


async def leaves_message(the: Product) -> None:
    """Once the model greets: what it says from the next session on. It takes a moment, as a model does."""
    await the.realtime.wait_session(1)
    the.realtime.script = Script.of(saying(MESSAGE))
    the.realtime.pace.first_byte_ms = 60


def cause(the: Product) -> str:
    (ended,) = the.happened("ended")
    return str(ended["cause"])


def verdicts(the: Product) -> list[tuple[str, bool]]:
    return [(one["who"], one["ready"]) for one in the.happened("answered_by")]


def recorded(the: Product) -> bytes:
    return bytes(the.carrier_call().phone.message)


def is_message(audio: bytes) -> bool:
    """Whether this is the message from its first to its last byte, but for what fills its last frame.

    Twilio tells of a machine with its beep and not before: until that has arrived, the agent may have been speaking.
    """
    begins = audio.find(MESSAGE)
    before = SPOKEN_BEFORE if products.usual == "twilio" else 0
    return 0 <= begins <= before and len(audio) - begins - len(MESSAGE) < 160


async def test_a_machine_hears_exactly_the_message_after_its_beep() -> None:
    async with answered_by(MACHINE) as the:
        await the.quiet()
        assert is_message(recorded(the))
        assert cause(the) == "machine"
        assert the.carrier_call().ended_by == "product"
        assert len(the.happened("message_left")) == 1
        spoken = [one.event for one in the.realtime.sessions[1].received if one.event["type"] == "response.create"]
        assert [WORDS in one["response"]["instructions"] for one in spoken] == [True]
        assert [one.violations for one in the.realtime.sessions] == [[], []]
        assert the.carrier.failures == []
        (call,) = the.app.journal.calls()
        told = (await ask(the, "GET", f"/api/calls/{call}")).json()["entries"]
        assert any(one["event"]["event"] == "answered_by" and one["event"]["ready"] for one in told), told
        await the.app.journal.flushed()
        row = await the.app.history.store.conversation(call)
        assert row is not None
        assert (row["direction"], row["hangup_cause"]) == ("outbound", "machine")


async def test_the_agent_speaks_at_once_and_falls_silent_for_a_machine() -> None:
    async with answered_by(Callee(does="voicemail", after_s=0.3, speaks_s=0.8)) as the:
        call = the.carrier_call()
        await call.wait_streaming()
        await call.phone.hears(0.1)  # before anybody knows who is there
        assert verdicts(the) == []
        await the.quiet()
        assert is_message(recorded(the))


async def test_a_word_of_the_beep_that_comes_late_costs_the_message_nothing() -> None:
    async with dialling(**ON, beep_seconds=2.0) as the:
        the.carrier.exchange.callee = Callee(does="voicemail", after_s=0.3, speaks_s=0.8)
        the.carrier.faults.webhook_delay_s = {amd("greeting"): 0.3}
        await dialled(the)
        await leaves_message(the)
        await the.quiet()
        heard = recorded(the)
        assert is_message(heard)
        assert not heard.startswith(MESSAGE[:800]) or products.usual != "twilio", "the word of the beep was not late"


async def test_a_machine_without_a_beep_gets_the_message_when_its_greeting_is_over() -> None:
    beepless = Callee(does="voicemail", speaks_s=0.8, beep_s=0)
    async with answered_by(beepless, telnyx_machine_detection="standard", beep_seconds=0.9) as the:
        await the.quiet()
        assert is_message(recorded(the))
        assert cause(the) == "machine"


async def test_a_machine_is_hung_up_on_where_there_is_no_message() -> None:
    async with answered_by(MACHINE, voicemail_message="") as the:
        await the.quiet()
        assert cause(the) == "machine"
        assert len(the.realtime.sessions) == 1
        assert the.happened("message_left") == []
        assert the.carrier_call().ended_by == "product"


async def test_a_fax_is_hung_up_on() -> None:
    async with answered_by(Callee(does="fax")) as the:
        await the.quiet()
        assert cause(the) == "fax"
        assert len(the.realtime.sessions) == 1
        assert the.carrier_call().ended_by == "product"


UNSURE = {"telnyx": ("not_sure", "silence", "a word of next year"), "twilio": ("unknown", "a word of next year")}


@pytest.mark.parametrize("number", range(3))
async def test_whoever_it_may_be_is_talked_to(number: int) -> None:
    words = ["human_residence" if products.usual == "telnyx" else "human", *UNSURE[products.usual]]
    if number >= len(words):
        return
    async with answered_by(Callee()) as the:
        the.carrier.faults.amd_result = words[number]
        await until(lambda: the.happened("answered_by"), "the carrier's word")
        assert [(one["who"], one["heard"]) for one in the.happened("answered_by")] == [
            ("unsure" if number else "human", words[number])
        ]
        call = the.carrier_call()
        began = len(call.phone.heard)
        call.phone.say(noise(400, seed=3))
        await until(lambda: len(call.phone.heard) > began, "an answer")
        assert the.call.model.farewell == ""
        assert len(the.realtime.sessions) == 1
        await call.hang_up()
        await the.quiet()
        assert cause(the) in ("normal_clearing", "completed")


async def test_a_call_that_does_not_ask_for_it_is_not_listened_to() -> None:
    async with answered_by(MACHINE, machine_detection=False) as the:
        await the.carrier_call().wait_streaming()
        (sent,) = dials(the)
        assert "achine" not in str(sent.body if products.usual == "telnyx" else sent.form)
        await the.carrier_call().hang_up()
        await the.quiet()
        assert verdicts(the) == []


async def test_one_call_may_ask_for_it() -> None:
    async with dialling() as the:
        the.carrier.exchange.callee = MACHINE
        await dialled(the, machineDetection=True, voicemailMessage=WORDS)
        await leaves_message(the)
        await the.quiet()
        assert is_message(recorded(the))


async def test_another_message_is_another_order() -> None:
    async with dialling(**ON) as the:
        the.carrier.exchange.callee = "busy"
        assert (await dial(the, key="one", voicemailMessage="Call us.")).status_code == 201
        await the.quiet()
        await the.app.journal.flushed()
        assert (await dial(the, key="one", voicemailMessage="Call us.")).status_code == 200
        for other in ({"voicemailMessage": "Do not call us."}, {"machineDetection": False}, {}):
            assert (await dial(the, key="one", **other)).status_code == 422


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"machineDetection": "yes"}, "machineDetection must be true or false"),
        ({"voicemailMessage": 7}, "voicemailMessage must be a text"),
        ({"voicemailMessage": "x" * 1001}, "1000"),
        ({"machine_detection": True}, "machineDetection"),
    ],
)
async def test_what_makes_no_sense_is_refused(body: dict[str, Any], words: str) -> None:
    async with dialling() as the:
        answer = await dial(the, **body)
        assert answer.status_code == 400, answer.text
        assert words in str(answer.json())
        assert dials(the) == []


# The carrier's word comes twice, late, or not at all


def amd(event: str) -> str:
    """The emulator's name for the webhook about a machine, or about the end of its greeting."""
    return "amd" if products.usual == "twilio" else f"call.machine.premium.{event}.ended"


async def test_what_is_said_twice_is_heard_once() -> None:
    async with dialling(**ON) as the:
        the.carrier.exchange.callee = MACHINE
        again = "webhook_new_tokens" if products.usual == "twilio" else "webhook_new_ids"
        setattr(the.carrier.faults, again, {amd("detection"): 2, amd("greeting"): 2})
        await dialled(the)
        await leaves_message(the)
        await the.quiet()
        assert is_message(recorded(the))
        assert len(the.realtime.sessions) == 2


async def test_a_carrier_that_never_tells_of_the_beep_costs_time_and_nothing_else() -> None:
    if products.usual == "twilio":
        return  # it says both in one
    async with dialling(**ON, beep_seconds=1.2) as the:
        the.carrier.exchange.callee = MACHINE
        the.carrier.faults.webhook_drop = [amd("greeting")]
        await dialled(the)
        await leaves_message(the)
        await the.quiet()
        assert is_message(recorded(the))
        assert verdicts(the) == [("machine", False)]


async def test_a_beep_is_enough() -> None:
    if products.usual == "twilio":
        return  # it says both in one
    async with dialling(**ON) as the:
        the.carrier.exchange.callee = MACHINE
        the.carrier.faults.webhook_drop = [amd("detection")]
        await dialled(the)
        await leaves_message(the)
        await the.quiet()
        assert verdicts(the) == [("machine", True)]
        assert is_message(recorded(the))


async def test_a_word_that_comes_after_the_end_is_only_noted() -> None:
    async with answered_by(MACHINE) as the:
        the.carrier.faults.amd_after_hangup = True
        the.carrier.faults.webhook_delay_s = {amd("detection"): 0.3}
        call = the.carrier_call()
        await call.wait_streaming()
        await call.hang_up()
        await the.quiet()
        await until(lambda: the.happened("answered_by"), "the carrier's word")
        assert cause(the) in ("normal_clearing", "completed")
        assert the.actions("hangup") == []


def exchanged(the: Product, number: int) -> bool:
    return the.call.agent.conversation.exchanges > number


async def test_whoever_has_talked_with_the_agent_for_a_while_is_no_machine() -> None:
    async with dialling(**ON) as the:
        the.carrier.faults.amd_result = "machine" if products.usual == "telnyx" else "machine_end_other"
        the.carrier.exchange.timing.amd_s = 3.4
        the.carrier.exchange.timing.second_s = 10
        await dialled(the)
        call = the.carrier_call()
        await call.wait_streaming()
        for number in range(4):
            await the.until(lambda: the.call.agent.is_quiet and the.call.agent.conversation.turns, "the agent's end")
            if number < 3:
                call.phone.say(noise(200, seed=number))
                await the.until(partial(exchanged, the, number), "an exchange")
        assert verdicts(the) == []
        await until(lambda: verdicts(the), "the carrier's word")
        (verdict,) = the.happened("answered_by")
        assert (verdict["who"], verdict["exchanges"]) == ("machine", 3)
        assert the.call.model.farewell == ""
        await call.hang_up()
        await the.quiet()


# What breaks while a machine listens


async def test_a_model_that_is_lost_ends_the_call_without_an_apology() -> None:
    realtime = Realtime(script=Script.tone(0.2), pace=Pace.instant())
    async with dialling(realtime=realtime, engine_seconds=0.5, **ON) as the:
        the.carrier.exchange.callee = MACHINE
        await dialled(the)
        await the.realtime.wait_session(1)
        realtime.faults = RealtimeFaults(refuse_next=99)
        await the.quiet()
        assert cause(the) == "machine"
        assert the.happened("clip") == []
        assert the.actions("speak") == []


async def test_a_machine_that_hangs_up_first_is_over() -> None:
    async with answered_by(Callee(does="voicemail", speaks_s=0.6, hangs_up_after_s=1.2)) as the:
        await the.quiet()
        assert cause(the) == "machine"


async def test_an_operator_ends_it_at_once_or_lets_the_message_be_the_goodbye() -> None:
    async with answered_by(Callee(does="voicemail", speaks_s=1.5)) as the:
        if products.usual == "twilio":
            the.carrier.faults.amd_result = "machine_start"
        await until(lambda: the.call.model.farewell == "beep", "the machine to be known")
        assert the.call.hang_up("goodbye", "operator")
        await asyncio.sleep(0)
        assert the.call.hang_up("now", "operator")
        await the.quiet()
        assert the.carrier_call().ended_by == "product"
        assert recorded(the) == b""
