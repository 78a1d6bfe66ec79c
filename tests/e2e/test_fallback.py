"""A line that cannot serve its caller: they hear a sentence, and are connected with the fallback number, over real
sockets."""

from __future__ import annotations

from typing import Any

from callflow.media import clips
from callflow.sandbox.common.callee import Callee
from callflow.sandbox.openai_realtime import Faults as ModelFaults
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from tests.e2e.outbound import DIALS, OURS
from tests.e2e.product import Product, faults, product, together, until
from tests.e2e.talk import FAST, talk


CARRIERS = ("telnyx", "twilio")
PERSON = "+15550100010"
ONE_MOMENT = clips.load("en")["one-moment"].audio[:1600]
SETTINGS: dict[str, Any] = {
    **FAST, **DIALS, "fallback_number": PERSON, "transfer_ring_seconds": 5, "farewell_seconds": 3,
    "one_moment_text": "A moment.",
}  # fmt: skip


def persons_leg(the: Product) -> Any:
    return next((call for call in the.carrier.calls.values() if call.to_number == PERSON), None)


def line(person: Callee, *, dead: bool = False, **settings: Any) -> Any:
    model_faults = ModelFaults(refuse_next=-1, refuse_status=503) if dead else ModelFaults()
    realtime = Realtime(script=Script.tone(0.4), pace=Pace.instant(), faults=model_faults)
    return product(realtime=realtime, **{**SETTINGS, **settings})


def prepare(the: Product, person: Callee) -> None:
    the.carrier.exchange.callees[PERSON] = person
    if the.carrier.exchange.__class__.__module__.endswith("twilio.exchange"):
        the.twilio.exchange.number(OURS)


async def ended(the: Product) -> dict[str, Any]:
    await the.quiet(15)
    calls = the.carrier.calls.values()
    await until(lambda: all(call.ended_at is not None for call in calls), "the end of every leg")
    assert the.carrier.failures == []
    (note,) = the.happened("ended")
    return note


def outcomes(the: Product) -> list[str]:
    entries = [entry for name in the.app.journal.calls() for entry in the.app.journal.read(name)]
    told = [each for entry in entries for each in entry.commands if each["command"] == "tell_transfer"]
    return [each["outcome"] for each in told]


async def _the_model_goes_during_the_call() -> None:
    person = Callee(ring_s=0.1, hangs_up_after_s=1)
    async with line(person) as the:
        prepare(the, person)
        one = await talk(the)
        await one.phone.hears(0.3)
        one.session.drop()
        await until(lambda: ONE_MOMENT in one.received, "the sentence, as a clip")
        await until(lambda: the.call.model.state == "bridged", "the caller to talk with the person", 15)
        assert "transferring>bridged" in the.timeline()
        assert (await ended(the))["cause"] == "engine_lost"
        assert outcomes(the) == ["call_ended"]


async def _there_is_no_model_from_the_start() -> None:
    person = Callee(ring_s=0.1)
    async with line(person, dead=True) as the:
        prepare(the, person)
        call = await the.carrier.ring()
        await until(lambda: persons_leg(the), "the person's phone to ring", 15)
        await until(lambda: the.call.model.state == "bridged", "the caller to talk with the person", 15)
        in_ear = b"".join(segment.audio for segment in call.phone.heard)
        assert call.spoken == ["A moment."] or ONE_MOMENT in in_ear  # the stream may be there already
        await call.hang_up()
        # refused again and again, or, where the machine is busy, not there in time
        assert (await ended(the))["cause"] in ("engine_lost", "engine_timeout")


async def _there_is_no_stream() -> None:
    """Then the carrier's voice says the sentence, and what comes after it is asked for when it is over."""
    person = Callee(ring_s=0.1)
    async with line(person, stream_seconds=0.6) as the:
        prepare(the, person)
        the.carrier.faults = faults(never_connect=True)
        call = await the.carrier.ring()
        await until(lambda: call.spoken == ["A moment."], "the carrier's voice")
        await until(lambda: the.call.model.state == "bridged", "the caller to talk with the person", 15)
        await call.hang_up()
        assert (await ended(the))["cause"] == "stream_timeout"


async def _nobody_takes_the_call_there() -> None:
    person = Callee("busy", ring_s=0.1)
    async with line(person, fallback_text="We call for somebody.") as the:
        prepare(the, person)
        one = await talk(the)
        await one.phone.hears(0.3)
        one.session.drop()
        await until(lambda: one.call.spoken == ["We call for somebody.", "Sorry."], "both sentences", 15)
        await one.call.wait_ended(10)
        assert one.call.ended_by == "product"
        assert ONE_MOMENT not in one.received
        assert (await ended(the))["cause"] == "engine_lost"
        assert outcomes(the) == ["not_reached"]
        assert len([call for call in the.carrier.calls.values() if call.to_number == PERSON]) == 1


async def _a_sentence_and_no_number() -> None:
    person = Callee()
    async with line(person, fallback_number="", fallback_text="We are out.") as the:
        prepare(the, person)
        one = await talk(the)
        one.session.drop()
        await until(lambda: one.call.spoken == ["We are out."], "the sentence")
        await one.call.wait_ended(10)
        assert persons_leg(the) is None
        await ended(the)


async def test_a_caller_who_cannot_be_served_hears_a_sentence_or_a_person() -> None:
    await together({
        "the model goes during the call": _the_model_goes_during_the_call(),
        "there is no model from the start": _there_is_no_model_from_the_start(),
        "there is no stream": _there_is_no_stream(),
        "nobody takes the call there": _nobody_takes_the_call_there(),
        "a sentence and no number": _a_sentence_and_no_number(),
    })  # fmt: skip
