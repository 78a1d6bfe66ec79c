"""A caller who came over SIP is referred to another address, and is with the agent again if that fails."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Call, Pace, Realtime, Say, Script, Turn
from tests.e2e.outbound import ask
from tests.e2e.product import Product, product, until
from tests.e2e.talk import Talk, noise, talk
from tests.e2e.test_transfer import TRANSFERS, in_state, told
from tests.history.delivery.receiver import SECRET, EventReceiver, receiver


CARRIERS = ("telnyx", "twilio")
DESK = "sip:desk@pbx.example.com;transport=tls"
CALLER = "sip:ann@pbx.example.com"


@contextlib.asynccontextmanager
async def desk(
    there: Callee, *, caller: str = CALLER, realtime: Realtime | None = None
) -> AsyncIterator[tuple[Product, Talk, EventReceiver]]:
    """A caller who talks with the agent, and a desk at a SIP address."""
    realtime = realtime or Realtime(script=Script.tone(0.4), pace=Pace.instant())
    settings = {**TRANSFERS, "transfer_targets": f"sales = +15550100010; desk = {DESK}", "events_secret": SECRET}
    async with receiver() as events, product(realtime=realtime, **settings, events_url=events.url) as the:
        the.carrier.exchange.callees[DESK] = there
        one = await talk(the, from_number=caller)
        await one.phone.hears(0.3)
        yield the, one, events
        if one.call.ended_at is None:
            await one.call.hang_up()
        await the.quiet()
        assert one.call.ended_at is not None
        await until(lambda: events.types().count("transfer.ended") == 1, "the end of the transfer to be told")
        for session in the.realtime.sessions:
            assert session.violations == []
        assert the.carrier.failures == []


async def refer(the: Product, **body: Any) -> None:
    answer = await ask(the, "POST", f"/api/calls/{the.call.id}/transfer", {"to": "desk", **body})
    assert (answer.status_code, answer.json().get("mode")) == (202, "refer"), answer.text


def ending(events: EventReceiver) -> tuple[str, bool]:
    (body,) = [one.payload for one in events.taken if one.payload["type"] == "transfer.ended"]
    return body["outcome"], body["connected"]


async def test_the_callers_own_system_calls_the_desk_and_we_are_out_of_the_call() -> None:
    async with desk(Callee(ring_s=0.3)) as (the, one, events):
        await refer(the)
        await one.call.wait_ended(10)
        await the.quiet()
        (ended,) = the.happened("ended")
        assert ended["cause"] == "transferred"
        assert any(f"referred to {DESK}" in what for _, what in one.call.history)
        await until(lambda: "transfer.ended" in events.types(), "the event")
        assert ending(events) == ("referred", True)


@pytest.mark.parametrize("status", ["busy", "not_reachable", "refused"])
async def test_a_desk_that_is_not_reached_gives_the_caller_back(status: str) -> None:
    async with desk(Callee("answers" if status == "refused" else status, ring_s=0.1)) as (the, one, events):  # type: ignore[arg-type]
        if status == "refused":
            the.carrier.faults.refer_refused = 405
        await refer(the)
        await until(lambda: "could not be reached" in told(the), "the agent to be told", 15)
        await in_state(the, "streaming")
        heard = sum(part.ms for part in one.phone.heard)
        await until(lambda: sum(part.ms for part in one.phone.heard) > heard + 200, "the caller to hear the agent")
        assert len(the.happened("first_word")) == 1
        await until(lambda: "transfer.ended" in events.types(), "the event")
        assert ending(events) == ("not_reached", False)


async def test_a_caller_who_did_not_come_over_sip_stays_with_the_agent_who_is_told() -> None:
    wish = Turn((Say("One moment.", noise(300, 5)), Call("transfer_call", {"destination": "desk", "summary": "A."})))
    script = Script.of(Turn.say("Good day.", noise(300, 1)), wish, otherwise=Turn.say("Yes.", noise(300, 2)))
    realtime = Realtime(script=script, pace=Pace.instant())
    async with desk(Callee(ring_s=0.1), caller="+15550100077", realtime=realtime) as (the, one, _):
        (offered,) = [each for each in one.session.config["tools"] if each.get("name") == "transfer_call"]
        assert offered["parameters"]["properties"]["destination"]["enum"] == ["sales", "desk"]
        one.phone.say(tone(400))
        await until(lambda: "could not be reached" in told(the), "the agent to be told", 15)
        assert the.happened("transfer_requested")[0]["mode"] == "refer"
        heard = sum(part.ms for part in one.phone.heard)
        await until(lambda: sum(part.ms for part in one.phone.heard) > heard + 100, "the caller to hear the agent")
        assert all("transferring" not in move for move in the.timeline())
        assert len(the.realtime.sessions) == 1


async def test_what_does_not_fit_together_is_refused() -> None:
    async with desk(Callee(ring_s=0.1)) as (the, one, _):
        for to, mode, status in (("desk", "warm", 400), ("sales", "refer", 400), (DESK, None, 400), ("desk", "x", 400)):
            body = {"to": to, **({"mode": mode} if mode else {})}
            answer = await ask(the, "POST", f"/api/calls/{the.call.id}/transfer", body)
            assert answer.status_code == status, answer.text
        await refer(the, mode="refer")
        again = await ask(the, "POST", f"/api/calls/{the.call.id}/transfer", {"to": "desk"})
        assert again.status_code == 409, again.text
        await one.call.wait_ended(10)
