"""The emulated Twilio's second legs: `<Dial><Number>`, who hears whom, what ends what, and what the action is told."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import httpx
import pytest

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.phone import tone
from callflow.sandbox.twilio import Call, Faults, Timing
from tests.sandbox.twilio_product import PUBLIC, STREAM, Product, product, response


HUMAN = "+15550100077"
EVENTS = "initiated ringing answered completed"
DIAL = f'<Dial action="/after"><Number statusCallback="/leg" statusCallbackEvent="{EVENTS}">{HUMAN}</Number></Dial>'
ON = response("<Say>Back.</Say>")
SPEECH = tone(400)


async def child_of(the: Product, call: Call) -> Call:
    await the.twilio.until(lambda: any(each.parent is call for each in the.twilio.calls.values()))
    return next(each for each in the.twilio.calls.values() if each.parent is call)


async def connected(the: Product, call: Call) -> Call:
    leg = await child_of(the, call)
    await the.twilio.until(lambda: call in leg.heard_by)
    return leg


async def talks(the: Product, call: Call) -> Any:
    await the.twilio.until(lambda: call.heard_by)
    return call.heard_by[0]


async def test_two_humans_hear_each_other_and_the_action_is_told_how_it_went() -> None:
    async with product(DIAL, "<Say>Never.</Say>", after=ON) as the:
        call = await the.twilio.ring()
        leg = await connected(the, call)
        assert (leg.direction, leg.from_number, leg.to_number) == ("outbound-dial", call.from_number, HUMAN)
        began = monotonic()
        call.phone.say(SPEECH)
        leg.phone.say(SPEECH)
        await leg.phone.hears(0.2, since=began, source=call.voice)
        await call.phone.hears(0.2, since=began, source=leg.voice)
        await leg.hang_up()
        await call.wait_ended()
        (told,) = the.of("/after")
        assert told["DialCallStatus"] == "completed"
        assert (told["DialCallSid"], told["DialBridged"]) == (leg.sid, "true")
        assert told["DialCallDuration"] == str(leg.duration)
        assert (told["CallSid"], told["CallStatus"]) == (call.sid, "in-progress")
        assert call.spoken == ["Back."], "the verbs behind a <Dial> with an action are not played"
        await the.until(lambda: len(the.of("/leg")) == 4)
        legs = sorted(the.of("/leg"), key=lambda one: int(one["SequenceNumber"]))
        assert [one["CallStatus"] for one in legs] == ["initiated", "ringing", "in-progress", "completed"]
        assert {(one["CallSid"], one["ParentCallSid"], one["Direction"]) for one in legs} == {
            (leg.sid, call.sid, "outbound-dial")
        }
        shown = (await the.rest("GET", f"/Calls.json?ParentCallSid={call.sid}")).json()["calls"]
        assert [(one["sid"], one["parent_call_sid"]) for one in shown] == [(leg.sid, call.sid)]


async def test_without_an_action_the_next_verb_follows() -> None:
    async with product(f"<Dial>{HUMAN}</Dial>", "<Say>Next.</Say>") as the:
        call = await the.twilio.ring()
        leg = await connected(the, call)
        await leg.hang_up()
        await call.wait_ended()
        assert call.spoken == ["Next."]


@pytest.mark.parametrize(
    ("does", "status"),
    [
        ("busy", "busy"),
        ("no_answer", "no-answer"),
        ("rejects", "busy"),
        ("not_reachable", "failed"),
    ],
)
async def test_nobody_to_talk_to(does: str, status: str) -> None:
    async with product(DIAL, after=ON) as the:
        the.twilio.callees[HUMAN] = Callee.of(does)
        call = await the.twilio.ring()
        await call.wait_ended()
        leg = await child_of(the, call)
        (told,) = the.of("/after")
        assert (leg.status, told["DialCallStatus"], told["DialBridged"]) == (status, status, "false")
        assert call.spoken == ["Back."], "the caller is still there"


async def test_it_rings_no_longer_than_the_timeout_and_the_caller_hears_it() -> None:
    timing = Timing(second_s=0.05, speak_s_per_char=0.002)
    async with product(f'<Dial timeout="5" action="/after">{HUMAN}</Dial>', timing=timing, after=ON) as the:
        the.twilio.callees[HUMAN] = Callee(ring_s=60)
        call = await the.twilio.ring()
        await call.phone.hears(0.1, source="ringing")
        await call.wait_ended()
        assert [one["DialCallStatus"] for one in the.of("/after")] == ["no-answer"]


async def test_the_time_limit_ends_the_second_leg_only() -> None:
    timing = Timing(second_s=0.05, speak_s_per_char=0.002, ring_s=0.01)
    async with product(f'<Dial timeLimit="2" action="/after">{HUMAN}</Dial>', timing=timing, after=ON) as the:
        call = await the.twilio.ring()
        await call.wait_ended()
        assert (await child_of(the, call)).ended_by == "carrier"
        assert [one["DialCallStatus"] for one in the.of("/after")] == ["completed"]


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("fault", [False, True])
async def test_the_caller_hangs_up_first(answered: bool, fault: bool) -> None:
    async with product(DIAL, after=ON) as the:
        the.twilio.faults.action_after_hangup = fault
        the.twilio.callees[HUMAN] = Callee(ring_s=0.0 if answered else 60)
        call = await the.twilio.ring()
        leg = await (connected if answered else child_of)(the, call)
        await call.hang_up()
        await leg.wait_ended()
        assert (leg.status, leg.ended_by) == ("completed" if answered else "canceled", "caller")
        await the.until(lambda: any(one["CallStatus"] == leg.status for one in the.of("/leg")))
        if fault:
            await the.until(lambda: the.of("/after"))
            assert the.of("/after")[0]["CallStatus"] == "completed"
        assert len(the.of("/after")) == fault
        assert call.spoken == []


async def test_a_redirected_parent_drops_its_child() -> None:
    async with product(DIAL, after=ON) as the:
        call = await the.twilio.ring()
        leg = await connected(the, call)
        await the.rest("POST", f"/Calls/{call.sid}.json", data={"Twiml": response("<Say>Elsewhere.</Say>")})
        await call.wait_ended()
        assert (leg.status, call.spoken, the.of("/after")) == ("completed", ["Elsewhere."], [])


async def test_a_redirected_child_lives_on_and_its_parent_goes_on() -> None:
    async with product(DIAL, after=response("<Pause length='60'/>")) as the:
        call = await the.twilio.ring()
        leg = await connected(the, call)
        await the.rest("POST", f"/Calls/{leg.sid}.json", data={"Twiml": response(STREAM)})
        await leg.wait_streaming()
        await the.until(lambda: the.of("/after"))
        assert "DialCallDuration" not in the.of("/after")[0]
        assert (call.heard_by, leg.heard_by, call.state) == ([], [], "answered")
        await call.hang_up()
        assert leg.state == "answered"


async def test_a_stream_is_stopped_by_the_redirect_to_a_dial() -> None:
    async with product(STREAM, after=response(STREAM)) as the:
        call = await the.twilio.ring()
        await call.wait_streaming()
        await the.rest("POST", f"/Calls/{call.sid}.json", data={"Twiml": response(DIAL.replace('"/', f'"{PUBLIC}/'))})
        leg = await connected(the, call)
        assert call.streams[0].ended == "stopped"
        await leg.hang_up()
        await the.twilio.until(lambda: len(call.streams) == 2 and call.streams[1].started)


async def test_whoever_answers_hears_the_document_first_and_may_refuse_with_a_key() -> None:
    gather = '<Gather numDigits="1" action="/key"><Say>A caller. Press 1.</Say></Gather><Hangup/>'
    for key, bridged in (("1", "true"), ("2", "false"), ("", "false")):
        async with product(DIAL.replace("<Number", '<Number url="/screen"'), after=ON) as the:
            the.answers |= {"/screen": response(gather), "/key": response("" if key == "1" else "<Hangup/>")}
            the.twilio.callees[HUMAN] = Callee(presses=key)
            call = await the.twilio.ring()
            leg = await child_of(the, call)
            if bridged == "true":
                await connected(the, call)
                await leg.hang_up()
            await call.wait_ended()
            assert leg.spoken == ["A caller. Press 1."]
            assert "A caller. Press 1." not in call.spoken
            assert [one["DialBridged"] for one in the.of("/after")] == [bridged]
            assert [one["Digits"] for one in the.of("/key")] == ([key] if key else [])
            assert all(one["ParentCallSid"] == call.sid for one in the.of("/screen"))


async def test_no_dial_in_the_document_before_a_connection() -> None:
    async with product(DIAL.replace("<Number", '<Number url="/screen"'), after=ON) as the:
        the.answers["/screen"] = response(f"<Dial>{HUMAN}</Dial>")
        call = await the.twilio.ring()
        await call.wait_ended()
        leg = await child_of(the, call)
        assert [code for code, _ in leg.errors] == [13201]
        assert [one["DialBridged"] for one in the.of("/after")] == ["false"]


async def test_an_incoming_call_may_ring_until_it_is_connected() -> None:
    async with product(DIAL.replace("<Dial", '<Dial answerOnBridge="true"'), after=ON) as the:
        the.twilio.callees[HUMAN] = Callee(ring_s=60)
        call = await the.twilio.ring()
        leg = await child_of(the, call)
        assert call.state == "ringing"
        async with httpx.AsyncClient(base_url=the.twilio.base_url, trust_env=False) as client:
            await client.post(f"/sandbox/calls/{leg.sid}/pick_up")
        await connected(the, call)
        assert call.state == "answered"


async def test_a_star_hangs_up_on_the_other_one() -> None:
    async with product(DIAL.replace("<Dial", '<Dial hangupOnStar="true"'), after=ON) as the:
        call = await the.twilio.ring()
        leg = await connected(the, call)
        await call.press("1")
        assert leg.state == "answered"
        await call.press("*")
        await call.wait_ended()
        assert leg.state == "ended"
        assert [one["DialCallStatus"] for one in the.of("/after")] == ["completed"]


async def test_a_caller_id_that_is_not_ours_is_not_shown() -> None:
    for number, allowed in (("+15550100099", False), ("+15550100002", True), ("+15550100009", True)):
        async with product(DIAL.replace("<Dial", f'<Dial callerId="{number}"'), after=ON) as the:
            call = await the.twilio.ring(from_number="+15550100009")
            if allowed:
                assert (await connected(the, call)).from_number == number
                continue
            await call.wait_ended()
            assert [code for code, _ in call.warnings] == [13214]
            assert [one["DialCallStatus"] for one in the.of("/after")] == ["failed"]
            assert len(the.twilio.calls) == 1


async def test_several_phones_ring_at_once_or_one_after_the_other() -> None:
    numbers = [f"+1555010007{n}" for n in range(3)]
    nouns = "".join(f"<Number>{number}</Number>" for number in numbers)
    for sequential in (False, True):
        dial = f'<Dial action="/after" sequential="{str(sequential).lower()}">{nouns}</Dial>'
        async with product(dial, after=ON) as the:
            the.twilio.callees.update({numbers[0]: Callee.of("busy"), numbers[2]: Callee(ring_s=60)})
            call = await the.twilio.ring()
            leg = await talks(the, call)
            legs = [each for each in the.twilio.calls.values() if each.parent is call]
            assert leg is legs[1]
            assert [leg.status for leg in legs] == ["busy", "in-progress", *([] if sequential else ["canceled"])]


async def test_machines_are_detected_digits_are_sent_and_the_two_are_recorded() -> None:
    noun = '<Number sendDigits="ww1" machineDetection="Enable" amdStatusCallback="/amd">'
    dial = f'<Dial record="record-from-answer-dual" recordingStatusCallback="/rec" action="/after">{noun}{HUMAN}'
    timing = Timing(amd_s=0.02, recording_s=0.01, ring_s=0.01, speak_s_per_char=0.002)
    async with product(f"{dial}</Number></Dial>", timing=timing, after=ON) as the:
        the.twilio.callees[HUMAN] = Callee(does="voicemail", speaks_s=0.1)
        call = await the.twilio.ring()
        leg = await connected(the, call)
        await the.until(lambda: the.of("/amd"))
        assert the.of("/amd")[0]["AnsweredBy"] == "machine_start"
        assert leg.digits_sent == ["ww1"]
        call.phone.say(SPEECH)
        await leg.phone.hears(0.2, source=call.voice)
        await leg.hang_up()
        await the.until(lambda: the.of("/rec"))
        (told,) = the.of("/rec")
        assert (told["CallSid"], told["RecordingSource"], told["RecordingChannels"]) == (call.sid, "DialVerb", "2")
        assert the.of("/after")[0]["RecordingUrl"] == told["RecordingUrl"]


@pytest.mark.parametrize(
    ("dial", "code"),
    [
        ("<Dial/>", 12100),
        ("<Dial><Phone>+15550100077</Phone></Dial>", 12100),
        ("<Dial>+15550100077<Number>+15550100078</Number></Dial>", 12100),
        ("<Dial><Number>+15550100077</Number><Conference>a</Conference></Dial>", 12100),
        ("<Dial>" + "<Number>+15550100077</Number>" * 11 + "</Dial>", 12100),
        ("<Dial><Conference></Conference></Dial>", 12100),
        ('<Dial timeout="soon">+15550100077</Dial>', 13212),
        ('<Dial hangupOnStar="yes">+15550100077</Dial>', 13213),
        ('<Dial timeLimit="0">+15550100077</Dial>', 13216),
        ('<Dial record="always">+15550100077</Dial>', 12200),
        ('<Dial><Number sendDigits="x">+15550100077</Number></Dial>', 13218),
        ('<Dial><Number statusCallbackEvent="answered,ringing">+15550100077</Number></Dial>', 12200),
        ('<Dial><Conference endConferenceOnExit="1">a</Conference></Dial>', 13231),
        ('<Dial><Conference statusCallbackEvent="joined">a</Conference></Dial>', 12200),
    ],
)
async def test_what_cannot_be_dialled_is_not_played(dial: str, code: int) -> None:
    async with product(dial) as the:
        call = await the.twilio.ring()
        await call.wait_ended()
        assert [error for error, _ in call.errors] == [code]
        assert len(the.twilio.calls) == 1
        sent = await the.rest("POST", "/Calls.json", data=_create(response(dial)))
        assert sent.status_code == 400


def _create(twiml: str) -> dict[str, Any]:
    return {"To": HUMAN, "From": "+15550100002", "Twiml": twiml}


async def test_an_unknown_attribute_is_a_warning_and_a_bad_number_fails() -> None:
    async with product('<Dial colour="red" action="/after"><Number shape="round">555</Number></Dial>', after=ON) as the:
        call = await the.twilio.ring()
        await call.wait_ended()
        assert [code for code, _ in call.warnings] == [12200, 12200]
        assert [code for code, _ in call.errors] == [13223]
        assert [one["DialCallStatus"] for one in the.of("/after")] == ["failed"]


async def test_what_the_account_may_not_dial() -> None:
    async with product(DIAL, after=ON) as the:
        the.twilio.account.refused["+1555"] = 21215
        call = await the.twilio.ring()
        await call.wait_ended()
        assert [code for code, _ in call.errors] == [13227]
        the.twilio.account.refused.clear()
        the.twilio.account.calls_at_once = 0
        call = await the.twilio.ring()
        await call.wait_ended()
        assert [code for code, _ in call.errors] == [10004]


async def test_the_other_leg_dies_at_the_moment_of_the_join() -> None:
    async with product(DIAL, after=ON) as the:
        call = await the.twilio.ring(faults=Faults(join_loses_leg=True))
        await call.wait_ended()
        assert [(one["DialCallStatus"], one["DialBridged"]) for one in the.of("/after")] == [("completed", "false")]
        assert call.spoken == ["Back."]


async def test_the_callbacks_of_the_second_leg_alone_are_lost_repeated_and_late() -> None:
    async with product(DIAL, after=ON) as the:
        the.twilio.faults_of[HUMAN] = Faults(
            webhook_drop=["status:answered"],
            webhook_duplicates={"status:completed": 1},
            webhook_delay_s={"status:initiated": 0.2},
        )
        call = await the.twilio.ring()
        leg = await connected(the, call)
        await leg.hang_up()
        await the.until(lambda: len(the.of("/leg")) == 4)
        seen = [one["CallStatus"] for one in the.of("/leg")]
        assert sorted(seen) == ["completed", "completed", "initiated", "ringing"]
        assert seen[0] != "initiated"
        await the.until(lambda: the.of("/status"))
        assert len(the.of("/status")) == 1


async def test_closing_leaves_nothing_behind() -> None:
    before = len(asyncio.all_tasks())
    async with product(DIAL, after=ON) as the:
        await connected(the, await the.twilio.ring())
        the.twilio.callees[HUMAN] = Callee(ring_s=60)
        await child_of(the, await the.twilio.ring())
        the.answers["/voice"] = response(
            '<Dial><Conference statusCallback="/x" statusCallbackEvent="leave">r</Conference></Dial>'
        )
        waiting = await the.twilio.ring()
        await waiting.phone.hears(0.02, source="hold")
    assert len(asyncio.all_tasks()) == before
    assert {"completed", "canceled"}.isdisjoint(one.params.get("CallStatus", "") for one in the.twilio.deliveries)
