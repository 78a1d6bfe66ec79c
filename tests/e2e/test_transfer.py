"""A caller is connected with a person, and comes back: every way in which that goes well or not, over real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callflow.call.replay import replay
from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Call, Pace, Realtime, Say, Script, Turn
from tests.e2e import product as products
from tests.e2e.outbound import DIALS, OURS, ask
from tests.e2e.product import Product, product, until
from tests.e2e.talk import FAST, Talk, noise, talk
from tests.e2e.test_outbound import ODD


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
SALES = "+15550100010"
BOSS = "+15550100011"
TRANSFERS: dict[str, Any] = {
    **FAST, **DIALS, "transfer_targets": f"sales = {SALES}", "transfer_ring_seconds": 5, "transfer_accept_seconds": 4,
    "briefing_text": "{caller}: {summary}",
    "stream_tries": 2, "engine_tries": 1, "restream_seconds": 3.0,
}  # fmt: skip


@contextlib.asynccontextmanager
async def switchboard(
    person: Callee, *, realtime: Realtime | None = None, **settings: Any
) -> AsyncIterator[tuple[Product, Talk]]:
    """A caller who talks with the agent, and a person in sales."""
    realtime = realtime or Realtime(script=Script.tone(0.4), pace=Pace.instant())
    async with product(realtime=realtime, **{**TRANSFERS, **settings}) as the:
        the.carrier.exchange.callees[SALES] = person
        if the.carrier.exchange.__class__.__module__.endswith("twilio.exchange"):
            the.twilio.exchange.number(OURS)
        one = await talk(the)
        await one.phone.hears(0.3)
        yield the, one
        if one.call.ended_at is None:
            await one.call.hang_up()
        await the.quiet()
        for call in the.carrier.calls.values():
            assert call.ended_at is not None, f"a leg was left over: {call.story()}"
        for session in the.realtime.sessions:
            assert session.violations == []
        assert the.carrier.failures == []


async def transfer(the: Product, **body: Any) -> None:
    answer = await ask(the, "POST", f"/api/calls/{the.call.id}/transfer", {"to": "sales", **body})
    assert answer.status_code == 202, answer.text


def persons_leg(the: Product) -> Any:
    return next((call for call in the.carrier.calls.values() if call.to_number == SALES), None)


async def in_state(the: Product, state: str) -> None:
    await until(lambda: the.call.model.state == state, f"the call to be {state}", 15)


def told(the: Product) -> str:
    return " ".join(event["text"] for event in the.happened("told"))


ACCEPTS = Callee(ring_s=0.1, presses="1")
REFUSES = Callee(ring_s=0.1, presses="2")


async def test_a_person_accepts_and_caller_and_person_talk() -> None:
    async with switchboard(ACCEPTS) as (the, one):
        await transfer(the, summary="Wants a boat.")
        await in_state(the, "bridged")
        assert any("Wants a boat." in text for text in persons_leg(the).spoken)
        await until(lambda: one.stream.ended, "the agent's stream to end")
        await one.call.hang_up()
        await the.quiet()
        # Which leg the carrier says is over first does not matter.
        assert "transferring>bridged" in the.timeline()
        assert the.timeline()[-1].endswith(">hangup")


async def test_a_caller_who_waits_in_silence_for_a_person_is_not_asked_whether_they_are_there() -> None:
    async with switchboard(Callee(ring_s=1.0, after_s=1.5, presses="1"), no_input_seconds=0.4, no_input_asks=1) as (
        the,
        _,
    ):
        await transfer(the)
        await in_state(the, "bridged")
        asked = [entry.name for entry in the.app.journal.read(the.call.id)]
        assert "no_input" not in asked[asked.index("transfer_requested") :]


async def test_a_person_who_is_told_much_hears_how_to_accept_and_has_the_time_for_it() -> None:
    summary = "Wants a boat. " * 70
    much = Callee(ring_s=0.1, presses="1", after_s=7.0)  # after all of it; ring and accept seconds alone are 6
    async with switchboard(much, transfer_accept_seconds=1) as (the, _):
        the.carrier.exchange.timing.speak_s_per_char = 0.0065
        await transfer(the, summary=summary)
        await in_state(the, "bridged")


async def test_the_person_hangs_up_and_the_agent_has_the_caller_back() -> None:
    async with switchboard(Callee(ring_s=0.1, presses="1", hangs_up_after_s=6)) as (the, one):
        await transfer(the)
        await in_state(the, "bridged")
        await in_state(the, "streaming")
        heard = sum(part.ms for part in one.phone.heard)
        await until(lambda: sum(part.ms for part in one.phone.heard) > heard + 200, "the caller to hear the agent")
        assert "is back with you" in told(the)
        assert len([e for s in the.realtime.sessions for e in s.received if e.event["type"] == "response.create"]) >= 2
        greetings = the.happened("first_word")
        assert len(greetings) == 1


@pytest.mark.parametrize(
    ("person", "words"),
    [
        (REFUSES, "cannot take the call"),
        (Callee("busy", ring_s=0.1), "could not be reached"),
        (Callee("rejects", ring_s=0.1), "could not be reached"),
        (Callee("not_reachable", ring_s=0.1), "could not be reached"),
        (Callee("answers", ring_s=0.1), "could not be reached"),
        (Callee("voicemail", ring_s=0.1), "could not be reached"),
    ],
    ids=["refuses", "busy", "rejects", "not_reachable", "no_key", "voicemail"],
)
async def test_nobody_takes_the_call_and_the_agent_says_so(person: Callee, words: str) -> None:
    async with switchboard(person, transfer_accept_seconds=1, briefing_text="A call. {summary}") as (the, one):
        await transfer(the)
        await until(lambda: words in told(the), f"the agent to be told: {words}", 15)
        assert the.call.model.state == "streaming"
        await until(lambda: persons_leg(the).ended_at is not None, "the person's leg to end")
        heard = sum(part.ms for part in one.phone.heard)
        await until(lambda: sum(part.ms for part in one.phone.heard) > heard + 100, "the caller to hear the agent")
        assert all("transferring" not in move for move in the.timeline())


async def test_what_is_told_late_of_a_person_who_refused_means_nothing_for_the_next_one() -> None:
    late = products.faults(webhook_delay_s={"call.hangup": 1.5, "status:completed": 1.5})
    targets = f"sales = {SALES}, boss = {BOSS}"
    async with switchboard(REFUSES, transfer_targets=targets, transfer_accept_seconds=8) as (the, _):
        the.carrier.faults_of[SALES] = late
        the.carrier.exchange.callees[BOSS] = Callee(ring_s=0.1, after_s=3, presses="1")
        await transfer(the)
        await until(lambda: "cannot take the call" in told(the), "the refusal", 15)
        await transfer(the, to="boss")
        await in_state(the, "bridged")
        assert the.happened("call_hangup")[0]["leg"] == "former"
        assert "could not be reached" not in told(the)


async def test_the_agent_connects_the_caller_by_its_tool() -> None:
    wish = Turn(
        (Say("One moment.", noise(300, 5)), Call("transfer_call", {"destination": "sales", "summary": "A boat."}))
    )
    script = Script.of(Turn.say("Good day.", noise(300, 1)), wish, otherwise=Turn.say("Yes.", noise(300, 2)))
    realtime = Realtime(script=script, pace=Pace.instant())
    async with switchboard(ACCEPTS, realtime=realtime) as (the, one):
        (offered,) = [each for each in one.session.config["tools"] if each.get("name") == "transfer_call"]
        assert offered["parameters"]["properties"]["destination"]["enum"] == ["sales"]
        one.phone.say(tone(400))
        await in_state(the, "bridged")
        assert any("A boat." in text for text in persons_leg(the).spoken)
        assert the.happened("transfer_requested")[0]["by"] == "agent"
        await one.call.hang_up()


async def test_who_accepts_while_the_recording_is_paused_is_on_record_as_such() -> None:
    async with switchboard(ACCEPTS, record=True) as (the, _):
        paused = await ask(the, "POST", f"/api/calls/{the.call.id}/recording", {"pause": True})
        assert paused.status_code == 202, paused.text
        await transfer(the)
        await in_state(the, "bridged")
        assert replay(the.app.journal.read(the.call.id)).model.state == "bridged"


async def test_nobody_is_connected_who_is_not_known_or_must_not_be_dialled() -> None:
    async with switchboard(ACCEPTS) as (the, _):
        for to, status in (("nobody", 400), ("+911", 403), ("+49112", 403), ("", 400)):
            answer = await ask(the, "POST", f"/api/calls/{the.call.id}/transfer", {"to": to})
            assert answer.status_code == status, answer.text
        assert (await ask(the, "POST", "/api/calls/nobody/transfer", {"to": "sales"})).status_code == 404
        assert persons_leg(the) is None
        await transfer(the)
        again = await ask(the, "POST", f"/api/calls/{the.call.id}/transfer", {"to": "sales"})
        assert again.status_code == 409, again.text


async def test_the_caller_hangs_up_while_the_person_is_rung() -> None:
    async with switchboard(Callee(ring_s=30)) as (the, one):
        await transfer(the)
        await until(lambda: persons_leg(the), "the person's leg")
        await one.call.hang_up()
        await the.quiet()
        await until(lambda: persons_leg(the).ended_at is not None, "the person's phone to stop ringing")


async def test_a_cold_transfer_connects_at_once_and_a_failed_one_comes_back() -> None:
    async with switchboard(Callee(ring_s=0.1)) as (the, _):
        await transfer(the, mode="cold")
        await in_state(the, "bridged")
    async with switchboard(Callee("busy", ring_s=0.1)) as (the, _):
        await transfer(the, mode="cold")
        await until(lambda: "could not be reached" in told(the), "the agent to be told", 15)
        await in_state(the, "streaming")


@pytest.mark.carrier("twilio")
async def test_a_person_who_has_answered_untold_goes_on_talking_with_the_caller() -> None:
    """The webhook that says so is lost, and so is what makes the deadline go away."""
    async with switchboard(Callee(ring_s=0.1)) as (the, _):
        the.carrier.faults_of[SALES] = products.faults(webhook_drop=["status:answered"])
        the.call.config.deadline_seconds["transfer"] = 1.0  # type: ignore[index]
        await transfer(the, mode="cold")
        await in_state(the, "bridged")
        assert persons_leg(the).ended_at is None
        await persons_leg(the).hang_up()
        await until(lambda: "is back with you" in told(the), "the agent to be told", 15)


async def test_a_person_who_leaves_ends_a_call_that_is_not_taken_back() -> None:
    async with switchboard(Callee(ring_s=0.1, presses="1", hangs_up_after_s=6), transfer_take_back=False) as (the, one):
        await transfer(the)
        await in_state(the, "bridged")
        await one.call.wait_ended(15)
        await the.quiet()
        (ended,) = the.happened("ended")
        assert ended["cause"] == "transferred"


@pytest.mark.proof
@pytest.mark.parametrize("odd", ODD)
async def test_callbacks_in_any_order_and_number_make_no_difference(odd: str) -> None:
    async with switchboard(Callee(ring_s=0.1, presses="1", hangs_up_after_s=6), transfer_accept_seconds=8) as (
        the,
        one,
    ):
        for name in [name for name in ODD[odd] if hasattr(the.carrier.faults, name)]:
            setattr(the.carrier.faults, name, ODD[odd][name])
        await transfer(the)
        if "lost" in odd and products.usual == "telnyx":
            await until(lambda: "could not be reached" in told(the), "the agent to be told", 20)  # no word of an answer
            return
        await in_state(the, "bridged")
        await in_state(the, "streaming")
        await until(lambda: "is back with you" in told(the), "the agent to be told")
        assert len([call for call in the.carrier.calls.values() if call.to_number == SALES]) == 1
        heard = sum(part.ms for part in one.phone.heard)
        await until(lambda: sum(part.ms for part in one.phone.heard) > heard + 200, "the caller to hear the agent")
