"""Transfers outlive their process: killed while the person is rung, told, joined or talking, nobody is left on hold.
Over real processes; and many random transfers, after which no leg is left at the carrier."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from callflow.call.call import Call
from callflow.sandbox.common.callee import Callee, Does
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.twilio import Twilio
from tests.e2e.outbound import DIALS, OURS, TOKEN, ask
from tests.e2e.product import product, until
from tests.e2e.test_survival import Caller, Office, office
from tests.e2e.test_transfer import SALES, TRANSFERS
from tests.sample import Sample


CARRIERS = ("telnyx", "twilio")
SAMPLED = True


@contextlib.asynccontextmanager
async def calling(
    person: Callee, realtime: Realtime | None = None, **env: object
) -> AsyncIterator[tuple[Office, Caller]]:
    """A caller who talks with the agent of a server that may be killed, and a person in sales."""
    given: dict[str, Any] = {name.upper(): value for name, value in DIALS.items()}
    given |= {"TRANSFER_TARGETS": f"sales = {SALES}", "TRANSFER_RING_SECONDS": 10, "TRANSFER_ACCEPT_SECONDS": 6}
    async with office(realtime, **given, ADMISSION_LAG_MS=0, **env) as one:
        one.carrier.exchange.callees[SALES] = person
        if isinstance(one.carrier, Twilio):
            one.carrier.exchange.number(OURS)
        caller = await one.ring()
        await caller.call.wait_streaming(10)
        await caller.phone.hears(0.3)
        yield one, caller


async def asked(one: Office, method: str, path: str, body: Any = None) -> httpx.Response:
    assert one.process is not None
    url = f"http://127.0.0.1:{await one.process.console_port()}{path}"
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return await client.request(method, url, json=body, headers={"Authorization": f"Bearer {TOKEN}"})


async def transfer(one: Office) -> None:
    (live,) = (await asked(one, "GET", "/api/calls/live")).json()["live"]
    answer = await asked(one, "POST", f"/api/calls/{live['id']}/transfer", {"to": "sales"})
    assert answer.status_code == 202, answer.text


def persons_leg(one: Office) -> Any:
    return next((call for call in one.carrier.calls.values() if call.to_number == SALES), None)


async def state(one: Office, wanted: str) -> None:
    def rows() -> bool:
        return any(row["state"] == wanted for row in one.rows("SELECT state FROM conversations"))

    await until(rows, f"the call to be {wanted}", 20)


@pytest.mark.parametrize("moment", ["rung", "told"])
async def test_a_person_who_is_rung_or_told_is_let_go_and_the_agent_goes_on(moment: str) -> None:
    async with calling(Callee(ring_s=60 if moment == "rung" else 0.1)) as (one, caller):
        await transfer(one)
        await until(lambda: persons_leg(one), "the person's leg")
        if moment == "told":
            await until(lambda: persons_leg(one).spoken, "the person to be told", 15)
        await one.stop()
        await one.start()
        await until(lambda: persons_leg(one).ended_at is not None, "the person's leg to end", 25)
        await caller.hears_again(one.listening_at, 20)
        assert caller.is_up


async def test_a_person_and_the_caller_go_on_talking_and_the_caller_comes_back_later() -> None:
    async with calling(Callee(ring_s=0.1, presses="1")) as (one, caller):
        await transfer(one)
        await state(one, "bridged")
        await one.stop()
        assert persons_leg(one).ended_at is None
        await one.start()
        await until(lambda: "bridged" in one.said(), "the call to be recovered", 15)
        assert caller.is_up
        assert persons_leg(one).ended_at is None
        await persons_leg(one).hang_up()
        await state(one, "streaming")
        began = max(part.at for part in caller.phone.heard)
        await until(lambda: any(part.at > began for part in caller.phone.heard), "the agent to speak again", 20)


async def test_a_person_who_leaves_while_no_process_is_there_gives_the_caller_back() -> None:
    async with calling(Callee(ring_s=0.1, presses="1")) as (one, caller):
        await transfer(one)
        await state(one, "bridged")
        await one.stop()
        await persons_leg(one).hang_up()
        await one.start()
        await caller.hears_again(one.listening_at, 25)
        assert caller.is_up


def is_in(call: Call, *states: str) -> bool:
    return call.model.state in states


@pytest.mark.proof
async def test_after_many_random_transfers_no_leg_is_left(some: Sample) -> None:
    """Whoever hangs up, accepts, refuses or does not answer, at any moment."""
    dice = random.Random(7)
    realtime = Realtime(script=Script.tone(0.2), pace=Pace.instant())
    async with product(
        realtime=realtime, **{**TRANSFERS, "transfer_accept_seconds": 1.5, "max_concurrent_calls": 500}
    ) as the:
        if isinstance(the.carrier, Twilio):
            the.carrier.exchange.number(OURS)
        kinds: tuple[Does, ...] = ("answers", "answers", "answers", "busy", "rejects", "not_reachable", "voicemail")
        for round_number in some(range(200), 16):
            person = Callee(
                dice.choice(kinds), ring_s=dice.uniform(0, 0.4), presses=dice.choice(("", "1", "1", "2")),
                hangs_up_after_s=dice.choice((None, dice.uniform(0.1, 3))),
            )  # fmt: skip
            the.carrier.exchange.callees[SALES] = person
            call = await the.carrier.ring(phone=Phone(), from_number=f"+1555011{round_number:04}")
            await call.wait_streaming()
            live = next(one for one in the.app.switchboard.calls if one.from_number.endswith(f"{round_number:04}"))
            mode = dice.choice(("warm", "warm", "cold"))
            await until(functools.partial(is_in, live, "streaming"), "the call to talk")
            await ask(the, "POST", f"/api/calls/{live.id}/transfer", {"to": "sales", "mode": mode})
            seconds = dice.uniform(0, 3)
            with contextlib.suppress(AssertionError):  # whatever has happened by then
                await until(functools.partial(is_in, live, "bridged", "hangup"), "a bridge", seconds)
            if call.ended_at is None:
                await call.hang_up()
            await the.quiet(20)
        left = [one.story() for one in the.carrier.calls.values() if one.ended_at is None]
        if left:
            await until(lambda: all(one.ended_at for one in the.carrier.calls.values()), f"legs to end: {left}", 10)
        assert the.carrier.failures == []


async def test_a_caller_on_the_way_to_the_fallback_number_is_the_agent_s_again() -> None:
    settings: dict[str, Any] = {"FALLBACK_NUMBER": SALES, "ENGINE_TRIES": 0}
    async with calling(Callee(ring_s=60), **settings) as (one, caller):
        one.realtime.sessions[-1].drop()
        await until(lambda: persons_leg(one), "the fallback number to ring", 15)
        await one.stop()
        await one.start()
        await until(lambda: persons_leg(one).ended_at is not None, "the person's leg to end", 25)
        await caller.hears_again(one.listening_at, 20)
        assert len([call for call in one.carrier.calls.values() if call.to_number == SALES]) == 1
