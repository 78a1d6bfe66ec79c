"""Calls that are moved to another node while something is under way: it comes about there, once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any, Literal

import pytest

from callflow.agent.prompts import Prompt, prompt
from callflow.call.call import Call
from callflow.sandbox.common.callee import Callee
from callflow.sandbox.telnyx import ApiFault
from callflow.sandbox.twilio import Twilio
from tests.e2e.outbound import DIALS, OURS
from tests.e2e.product import run, until
from tests.e2e.several_nodes import Cluster, cluster, member
from tests.e2e.test_moving_away import has_moved
from tests.e2e.test_transfer import SALES


CARRIERS = ("telnyx", "twilio")
pytestmark = pytest.mark.one_node("it has nodes of its own")


@contextlib.asynccontextmanager
async def talking(*, nodes: int = 2, **settings: Any) -> AsyncIterator[tuple[Cluster, Any, Call]]:
    """A caller who has heard the agent, at the first of some nodes."""
    targets = {"transfer_targets": f"sales = {SALES}", "briefing_text": "Hello.", "transfer_ring_seconds": 10}
    async with cluster(**DIALS, **targets, **settings) as the:
        if isinstance(the.carrier, Twilio):
            the.carrier.exchange.number(OURS)
        for _ in range(nodes):
            await the.begin()
        await the.meet()
        call, _ = await the.answered()
        (live,) = the.nodes[0].switchboard.calls
        await until(lambda: live.is_quiet, "the agent to have ended")
        yield the, call, live
        await the.hang_up()
        assert await the.on_record() == 1
        for each in the.carrier.calls.values():
            assert each.ended_at is not None, f"a leg was left over: {each.story()}"


async def move(the: Cluster, call: Call) -> Call:
    """Move a call from the first node to the second, whatever goes on in it. Returns it there."""
    one, two = the.nodes[:2]
    member(one).is_leaving = True
    assert one.moving is not None
    await one.moving.move_all(0.0)
    await until(lambda: two.switchboard.live(call.id), "the call to go on")
    there = two.switchboard.live(call.id)
    assert there is not None
    return there


def leg_to(the: Cluster, number: str) -> Any:
    return next((call for call in the.carrier.calls.values() if call.to_number == number), None)


async def _transfer(mode: Literal["warm", "cold"], human: str) -> None:
    async with talking() as (the, _, live):
        rings = human == "dialling"
        the.carrier.exchange.callees[SALES] = Callee(ring_s=0.5 if rings else 0.0, presses="1" if rings else "")
        assert not live.requests.transfer("sales", SALES, by="operator", mode=mode)
        await until(lambda: leg_to(the, SALES) and live.model.human == human, "the person's leg")
        there = await move(the, live)
        person = leg_to(the, SALES)
        if not rings:
            await person.press("1")
        await until(lambda: there.model.state == "bridged" or person.ended_at, "the two to talk")
        assert person.ended_at is None, person.story()
        assert the.nodes[0].switchboard.counts["strays"] + the.nodes[1].switchboard.counts["strays"] == 0
        await person.hang_up()
        await until(lambda: there.model.state == "streaming", "the agent to have the caller back")


@pytest.mark.parametrize(("mode", "human"), [("warm", "dialling"), ("warm", "briefing"), ("cold", "dialling")])
def test_a_person_who_is_rung_or_told_of_the_caller_gets_them(mode: Literal["warm", "cold"], human: str) -> None:
    """Their telephone was hung up, and the caller told that nobody was reached. What the carrier said first of their
    leg came to the other node before the call, and was taken for that of a new one."""
    run(_transfer(mode, human))


async def _paused() -> None:
    async with talking(carrier_record=True) as (the, _, live):
        the.carrier.faults.api.append(ApiFault("record_pause", slow_s=0.3))
        await until(lambda: live.recordings.by_carrier, "the carrier to record")
        assert live.requests.pause(on=True, by="operator")
        await until(lambda: live.recordings.pause.is_on, "the pause")
        there = await move(the, live)
        assert there.recordings.pause.is_on
        done = [
            entry.event["command"]
            for entry in await the.nodes[1].history.store.journal(live.id)
            if entry.name == "command_done"
        ]
        assert "pause_record" in done, "the call went before the carrier had said that it records no more"


@pytest.mark.carrier("telnyx")
def test_a_command_that_the_carrier_has_not_answered_is_waited_for(carrier: str) -> None:
    """It was cancelled: the carrier may have gone on to record what was to be kept nowhere."""
    run(_paused())


async def _moves_twice() -> None:
    async with talking(nodes=3) as (the, call, live):
        sessions, since = len(the.realtime.sessions), monotonic()
        first, boards = the.nodes[0], [node.switchboard for node in the.nodes]
        assert first.moving is not None
        member(first).is_leaving = True
        moves = [asyncio.create_task(first.moving.move_all(0.0))]
        await until(lambda: any(board.calls for board in boards[1:]), "the call at the next node")
        second, third = sorted(the.nodes[1:], key=lambda node: not node.switchboard.calls)
        assert second.moving is not None
        member(second).is_leaving = True
        moves.append(asyncio.create_task(second.moving.move_all(0.0)))
        between = second.switchboard.live(live.id)
        assert between is not None
        await asyncio.gather(*moves)
        await has_moved(between, second.switchboard, third.switchboard)
        await asyncio.sleep(0.2)
        asked = [
            str(each.event)
            for session in the.realtime.sessions[sessions:]
            for each in session.received
            if each.event["type"] == "response.create"
        ]
        assert not any(prompt(Prompt.RESUME) in each for each in asked), "nobody spoke, and the agent began to"
        assert call.phone.loud_ms(since) == 0
        written = await third.history.store.journal(live.id)
        assert [entry.event["quiet"] for entry in written if entry.name == "handed_over"] == [True, True]


def test_a_node_that_has_just_been_given_a_call_and_drains_gives_it_on_as_it_was(carrier: str) -> None:
    """It gave it on before it had its stream: nobody asked the first node what the caller said meanwhile, and the third
    one took the call for one that was left in the middle of something."""
    run(_moves_twice())
