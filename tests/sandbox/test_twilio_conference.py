"""The emulated Twilio's conferences: who hears whom, when one begins and ends, and where its calls go afterwards."""

from __future__ import annotations

from time import monotonic

import httpx
import pytest

from callflow.sandbox.common.phone import tone
from callflow.sandbox.twilio import Call, Faults
from callflow.sandbox.twilio.conference import Conference
from tests.sandbox.twilio_product import STREAM, Product, product, response


SPEECH = tone(400)
EVENTS = 'statusCallback="/room" statusCallbackEvent="start end join leave"'
BACK = "<Say>Back.</Say>"


def room(attributes: str = "", action: str = "") -> str:
    return f'<Dial{action}><Conference beep="false" {attributes}>r1</Conference></Dial>'


async def joined(
    the: Product, attributes: str = "", *more: str, action: str = "", faults: Faults | None = None
) -> Call:
    """A new call that joins the conference, and then goes on with `more` verbs."""
    the.answers["/voice"] = response(room(attributes, action), *more)
    call = await the.twilio.ring(faults=faults)
    await the.twilio.until(lambda: "joined the conference" in call.story() or call.state == "ended")
    return call


async def begun(the: Product) -> Conference:
    await the.twilio.until(lambda: the.twilio.conferences and the.twilio.conferences[-1].state == "in-progress")
    return the.twilio.conferences[-1]


async def test_everybody_hears_everybody_but_the_muted_one() -> None:
    async with product() as the:
        one, two = await joined(the), await joined(the)
        muted = await joined(the, 'muted="true"')
        await begun(the)
        began = monotonic()
        for each in (one, two, muted):
            each.phone.say(SPEECH)
        for speaker, listeners in ((one, (two, muted)), (two, (one, muted))):
            for listener in listeners:
                await listener.phone.hears(0.2, since=began, source=speaker.voice)
        assert muted.heard_by == []
        assert all(muted.voice not in each.phone.lines for each in (one, two))
        assert one.voice not in one.phone.lines


async def test_music_until_it_begins() -> None:
    async with product() as the:
        waiting = await joined(the, 'startConferenceOnEnter="false"')
        silent = await joined(the, 'startConferenceOnEnter="false" waitUrl=""')
        await waiting.phone.hears(0.1, source="hold")
        assert (waiting.heard_by, silent.heard_by) == ([], [])
        moderator = await joined(the)
        await begun(the)
        assert silent.phone.heard_bytes == 0
        moderator.phone.say(SPEECH)
        await waiting.phone.hears(0.2, source=moderator.voice)
        await waiting.phone.hears_silence(200)


async def test_one_alone_waits_although_it_may_begin() -> None:
    async with product() as the:
        alone = await joined(the)
        await alone.phone.hears(0.1, source="hold")
        assert the.twilio.conferences[0].state == "init"


async def test_the_waiting_hear_a_document_which_must_be_there() -> None:
    async with product(wait=response("<Say>Please hold.</Say>", "<Redirect/>")) as the:
        call = await joined(the, 'waitUrl="/wait"')
        await the.until(lambda: len(call.spoken) > 1)
        assert the.of("/wait")[0]["FriendlyName"] == "r1"
        await call.hang_up()
        for answer in (500, response("<Hangup/>")):
            the.answers["/wait"] = answer
            lost = await joined(the, 'waitUrl="/wait"', BACK)
            await lost.wait_ended()
            assert (len(lost.errors), lost.spoken) == (1, ["Back."])


async def test_the_one_who_ends_it_sends_the_others_on_in_their_documents() -> None:
    async with product(after=response("<Say>Over.</Say>")) as the:
        ender = await joined(the, f'endConferenceOnExit="true" participantLabel="caller" {EVENTS}')
        stays = await joined(the, "", BACK)
        acts = await joined(the, "", "<Say>Never.</Say>", action=' action="/after"')
        conference = await begun(the)
        await ender.hang_up()
        await stays.wait_ended()
        await acts.wait_ended()
        assert (stays.spoken, acts.spoken) == (["Back."], ["Over."])
        (told,) = the.of("/after")
        assert (told["DialCallStatus"], told["DialBridged"]) == ("answered", "true")
        assert not {"DialCallSid", "DialCallDuration"} & set(told)
        await the.until(lambda: len(the.of("/room")) == 8)
        events = sorted(the.of("/room"), key=lambda one: int(one["SequenceNumber"]))
        assert [one["StatusCallbackEvent"] for one in events] == [
            *("participant-join", "participant-join", "conference-start", "participant-join"),
            *("participant-leave", "participant-leave", "participant-leave", "conference-end"),
        ]
        assert {one["ConferenceSid"] for one in events} == {conference.sid}
        assert [one["ReasonParticipantLeft"] for one in events[4:7]] == [
            *("participant_hung_up", "moderator_ended_conference", "moderator_ended_conference")
        ]
        assert events[7]["ReasonConferenceEnded"] == "participant-with-end-conference-on-exit-left"
        assert events[7]["CallSidEndingConference"] == ender.sid
        assert events[0]["ParticipantLabel"] == events[7]["ParticipantLabelEndingConference"] == "caller"


async def test_the_last_one_ends_it_and_the_name_is_free_again() -> None:
    async with product() as the:
        one, two = await joined(the, EVENTS), await joined(the)
        await begun(the)
        await one.hang_up()
        await the.twilio.until(lambda: two.heard_by == [])
        assert two.state == "answered", "without endConferenceOnExit the other one stays, alone"
        await two.hang_up()
        await the.until(lambda: [one for one in the.of("/room") if one["StatusCallbackEvent"] == "conference-end"])
        (end,) = [one for one in the.of("/room") if one["StatusCallbackEvent"] == "conference-end"]
        assert end["ReasonConferenceEnded"] == "last-participant-left"
        await joined(the)
        assert len(the.twilio.conferences) == 2


@pytest.mark.parametrize("ends", [True, False])
async def test_a_redirected_participant_leaves(ends: bool) -> None:
    async with product() as the:
        caller = await joined(the, f'endConferenceOnExit="{str(ends).lower()}"')
        human = await joined(the, EVENTS, BACK)
        await begun(the)
        pushed = await the.rest("POST", f"/Calls/{caller.sid}.json", data={"Twiml": response(STREAM)})
        assert pushed.status_code == 200
        await caller.wait_streaming()
        assert (caller.heard_by, human.heard_by) == ([], [])
        if ends:
            await human.wait_ended()
            assert human.spoken == ["Back."]
        else:
            assert human.state == "answered"


async def test_a_call_that_streams_is_put_into_a_conference() -> None:
    async with product() as the:
        human = await joined(the)
        the.answers["/voice"] = response(STREAM)
        caller = await the.twilio.ring()
        await caller.wait_streaming()
        await the.rest("POST", f"/Calls/{caller.sid}.json", data={"Twiml": response(room())})
        await begun(the)
        assert caller.streams[0].ended == "stopped"
        caller.phone.say(SPEECH)
        await human.phone.hears(0.2, source=caller.voice)


async def test_who_is_not_let_in_goes_on() -> None:
    async with product() as the:
        await joined(the, 'participantLabel="a" maxParticipants="2"')
        twin = await joined(the, 'participantLabel="a"', BACK, action=' action="/after"')
        await twin.wait_ended()
        assert ([code for code, _ in twin.errors], twin.spoken) == ([16025], ["Back."])
        await joined(the, 'participantLabel="b"')
        third = await joined(the, 'maxParticipants="2"', BACK)
        await third.wait_ended()
        assert (len(third.errors), third.spoken) == (1, ["Back."])


async def test_beeps_are_heard_by_the_others() -> None:
    async with product("<Dial><Conference>r1</Conference></Dial>") as the:
        one, two = await the.twilio.ring(), await the.twilio.ring()
        await the.until(lambda: "beep" in one.phone.lines)
        assert "beep" not in two.phone.lines
        await one.hang_up()
        await two.phone.hears(0.05, source="beep", since=0)


async def test_a_star_and_the_time_limit_lead_out() -> None:
    async with product() as the:
        the.twilio.exchange.timing.second_s = 0.05
        starred = await joined(the, "", BACK, action=' hangupOnStar="true"')
        limited = await joined(the, "", BACK, action=' timeLimit="4"')
        await begun(the)
        await starred.press("*")
        await starred.wait_ended()
        await limited.wait_ended()
        assert (starred.spoken, limited.spoken) == (["Back."], ["Back."])


async def test_the_other_one_dies_at_the_moment_of_the_join() -> None:
    async with product() as the:
        human = await joined(the, 'endConferenceOnExit="true"')
        caller = await joined(the, "", BACK, faults=Faults(join_loses_leg=True))
        await human.wait_ended()
        await caller.wait_ended()
        assert (human.ended_by, caller.spoken) == ("callee", ["Back."])


async def test_its_callbacks_can_be_lost_and_repeated() -> None:
    async with product() as the:
        the.twilio.faults.webhook_drop.append("conference:conference-start")
        the.twilio.faults.webhook_duplicates["conference:participant-leave"] = 1
        one, two = await joined(the, EVENTS), await joined(the)
        await begun(the)
        for each in (one, two):
            await each.hang_up()
        await the.until(lambda: len(the.of("/room")) == 7)
        assert "conference-start" not in {each["StatusCallbackEvent"] for each in the.of("/room")}


async def test_it_is_seen_from_outside_who_hears_whom() -> None:
    async with product() as the, httpx.AsyncClient(base_url=the.twilio.base_url, trust_env=False) as client:
        one, two = await joined(the), await joined(the)
        await begun(the)
        two.phone.say(SPEECH)
        await one.phone.hears(0.2, source=two.voice)
        seen = (await client.get(f"/sandbox/calls/{one.sid}/hears")).json()
        assert (seen["heard_by"], seen["lines"][two.voice] > 100) == ([two.sid], True)
        put = await client.put("/sandbox/callees/+15550100077/faults", json={"webhook_drop": ["status"]})
        assert put.json()["webhook_drop"] == ["status"]
        assert the.twilio.faults_of["+15550100077"].webhook_drop == ["status"]
        assert (await client.delete("/sandbox/callees/+15550100077/faults")).status_code == 200
        assert the.twilio.faults_of == {}
