"""While a transferred caller talks with a person, what both say is written down, once both were told so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from callflow.call.bridged_listening import FIRST
from callflow.contracts.errors import Refused
from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.faults import ApiFault
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.twilio import Twilio
from tests.e2e import product as products
from tests.e2e.outbound import OURS
from tests.e2e.product import Product, until
from tests.e2e.several_nodes import cluster, member
from tests.e2e.test_transfer import SALES, TRANSFERS, in_state, persons_leg, switchboard, told, transfer
from tests.e2e.test_transfer_survival import calling
from tests.e2e.test_transfer_survival import transfer as transfer_process


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
NOTICE = "It is written down."
WORDS = "The boat leaves at nine."
PERSON = Callee(ring_s=0.1, presses="1")
LISTENS: dict[str, Any] = {"listen_while_bridged": True, "listen_notice": NOTICE, "vad_silence_ms": 200}


def model() -> Realtime:
    script = replace(Script.tone(0.4), heard_otherwise=WORDS)
    return Realtime(script=script, pace=Pace.instant())


def listeners(the: Product) -> list[Any]:
    """The sessions that answer nothing."""
    found = []
    for session in the.realtime.sessions:
        detection = session.config["audio"]["input"]["turn_detection"]
        if detection is not None and detection.get("create_response") is False:
            found.append(session)
    return found


def heard_notice(the: Product, one: Any) -> bool:
    legs = (one.call, persons_leg(the)) if products.usual == "twilio" else (one.call,)
    return all(NOTICE in leg.spoken for leg in legs)


async def test_the_agent_knows_what_was_said_when_it_has_the_caller_back() -> None:
    async with switchboard(PERSON, realtime=model(), **LISTENS) as (the, one):
        await transfer(the)
        await in_state(the, "bridged")
        await until(lambda: len(listeners(the)) == 2, "a session for each side", 12)
        assert heard_notice(the, one), "nobody is listened to who was not told"
        (began,) = the.happened("listening")
        assert began["state"] == "began"
        one.phone.say(tone(600))
        await until(lambda: "The caller said to sales while you were not there" in told(the), "the caller's words", 8)
        persons_leg(the).phone.say(tone(600))
        await until(lambda: "Sales said to the caller while you were not there" in told(the), "the person's words", 8)
        assert f"“{WORDS}”" in told(the)
        for session in listeners(the):
            assert "response.create" not in [each.event["type"] for each in session.received]
            assert session.violations == []
        heard = sum(part.ms for part in one.phone.heard)
        await persons_leg(the).hang_up()
        await in_state(the, "streaming")
        await until(lambda: "is back with you" in told(the), "the agent to be told")
        assert "You did not hear" not in told(the)
        last = the.realtime.sessions[-1]
        await until(lambda: WORDS in str([each.event for each in last.received]), "the agent's session to know")
        await until(lambda: all(session.closed for session in listeners(the)), "the sessions to be closed")
        assert all(stream.errors == [] for stream in one.call.streams)
        with pytest.raises(Refused):
            the.call.claim_stream(FIRST + 1)
        await until(lambda: sum(part.ms for part in one.phone.heard) > heard + 200, "the caller to hear the agent")


async def test_nobody_is_listened_to_unless_it_is_asked_for() -> None:
    async with switchboard(PERSON, realtime=model()) as (the, one):
        await transfer(the)
        await in_state(the, "bridged")
        await persons_leg(the).hang_up()
        await in_state(the, "streaming")
        await until(lambda: "You did not hear what was said" in told(the), "the agent to be told")
        assert the.happened("listening") == []
        assert listeners(the) == []
        assert NOTICE not in one.call.spoken


async def test_where_no_stream_can_be_opened_nobody_listens_and_the_two_go_on_talking() -> None:
    async with switchboard(PERSON, realtime=model(), **LISTENS) as (the, one):
        await transfer(the)
        await in_state(the, "bridged")
        action = "stream" if products.usual == "twilio" else "streaming_start"
        the.carrier.faults.api.append(ApiFault(action, times=9, status=422))
        await until(lambda: the.happened("listening"), "a note of it", 12)
        assert [each["state"] for each in the.happened("listening")] == ["failed"]
        assert the.call.model.state == "bridged"
        assert one.call.ended_at is None
        the.carrier.faults.api.clear()


@pytest.mark.process
async def test_what_was_heard_before_a_kill_is_known_to_the_process_that_takes_the_caller_back() -> None:
    env = {"LISTEN_WHILE_BRIDGED": "true", "LISTEN_NOTICE": NOTICE, "VAD_SILENCE_MS": 200}
    async with calling(PERSON, realtime=model(), **env) as (one, caller):
        await transfer_process(one)
        await until(lambda: len(one.realtime.sessions) == 3, "a session for each side", 20)
        await until(lambda: one.rows("SELECT * FROM steps WHERE event LIKE '%\"listening\"%'"), "the note of it", 10)
        caller.phone.say(tone(600))
        said = "SELECT * FROM steps WHERE event LIKE '%while you were not there%'"
        await until(lambda: one.rows(said), "the caller's words on record", 10)
        await one.stop()
        await one.start()
        await until(lambda: len(one.realtime.sessions) == 5, "sessions of the next process that listen on", 30)
        before = len(one.rows(said))
        caller.phone.say(tone(600))
        await until(lambda: len(one.rows(said)) > before, "what they say then", 10)
        (leg,) = [call for call in one.carrier.calls.values() if call.to_number == SALES]
        assert [words.count(NOTICE) for words in (caller.call.spoken, leg.spoken) if NOTICE in words] == [1] * (
            2 if products.usual == "twilio" else 1
        ), "they were told already"
        await leg.hang_up()
        await until(lambda: len(one.realtime.sessions) >= 6, "the agent's session", 20)
        last = one.realtime.sessions[-1]
        await until(lambda: WORDS in str([each.event for each in last.received]), "the agent to know", 10)
        await until(lambda: "a part of their words" in str([each.event for each in last.received]), "that it is a part")
        assert caller.is_up


@pytest.mark.one_node("it has nodes of its own")
async def test_the_node_to_which_a_call_is_moved_listens_on() -> None:
    async with cluster(**{**TRANSFERS, **LISTENS}) as the:
        the.carrier.exchange.callees[SALES] = PERSON
        if isinstance(the.carrier, Twilio):
            the.carrier.exchange.number(OURS)
        await the.begin_two()
        one, two = the.nodes
        call, _ = await the.answered()
        (before,) = one.switchboard.calls
        assert not before.requests.transfer("sales", SALES, by="console", summary="", mode="warm")
        await until(lambda: before.legs.transfer and before.legs.transfer.was_listened, "somebody to listen", 20)
        member(one).is_leaving = True
        assert one.moving is not None
        await one.moving.move_all(5.0)
        await until(lambda: two.switchboard.live(before.id), "the other node to have it")
        after = two.switchboard.live(before.id)
        assert after is not None
        await until(lambda: (made := after._listening.made) and len(made._engines) == 2, "a session for each side")
        call.phone.say(tone(600))
        turns = after.agent.conversation.turns
        await until(lambda: any("while you were not there" in turn.text for turn in turns), "what they say then")
        assert after.model.state == "bridged"
        assert all(stream.ended for stream in call.streams[:-1]), "the node of before listens, too"
        await the.hang_up()
