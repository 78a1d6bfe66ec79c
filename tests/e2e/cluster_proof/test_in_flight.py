"""Tools and dials that are on their way when their worker is killed: each is done once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import sqlite3
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.openai_realtime import Script, Turn
from callflow.sandbox.telnyx import ApiFault
from callflow.sandbox.twilio import ApiFault as TwilioApiFault
from callflow.sandbox.twilio import Twilio
from tests.e2e import product
from tests.e2e.campaigns import ALWAYS, NUMBERS, SHORT, rows
from tests.e2e.cluster_proof.counting import TALK, done_twice, nobody_lost, owner, process_of
from tests.e2e.cluster_proof.stage import all_hang_up, both_are_up, is_long
from tests.e2e.outbound import DIALS, OURS, THEIRS, TOKEN
from tests.e2e.product import run, until
from tests.e2e.test_survival import TOOLS
from tests.e2e.test_workers import Office, eventually, office


pytestmark = [pytest.mark.process, pytest.mark.proof, pytest.mark.alone]
CARRIERS = ("telnyx", "twilio")


async def ask(the: Office, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    """Ask whichever worker takes the connection."""
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        given = {"Authorization": f"Bearer {TOKEN}", **headers}
        return await client.request(method, f"http://127.0.0.1:{the.console}{path}", json=body, headers=given)


def dialler(leg: Any) -> str:
    """The node that a leg which was dialled belongs to."""
    found = re.search(r"/nodes/([^/]+)/", leg.callback[0] if product.usual == "twilio" else leg.webhook_url)
    assert found, "no node stands in the leg's address"
    return found[1]


def kill(the: Office, node: str) -> float:
    """Kill that worker. Returns when that was."""
    os.kill(process_of(the.folder, node), signal.SIGKILL)
    return monotonic()


def test_what_is_on_its_way_when_a_worker_is_killed_is_done_once(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run(in_flight(tmp_path, *((20, 28, 6) if is_long(request) else (4, 12, 2))))


async def in_flight(folder: Path, calls: int, numbers: int, kills: int) -> None:
    booked, tools = folder / "booked", folder / "tools.py"
    tools.write_text(TOOLS.replace("LOG_FILE", repr(str(booked))), encoding="utf-8")
    async with office(
        **{name.upper(): value for name, value in DIALS.items()},
        NO_INPUT_SECONDS=0, MAX_CONCURRENT_CALLS=200, TOOLS_FILE=tools, DIALS_PER_MINUTE=10_000,
    ) as the:  # fmt: skip
        if isinstance(the.carrier, Twilio):
            the.carrier.exchange.number(OURS)
        await tools_run(the, booked, calls)
        await both_are_up(the)
        await dialled_by_the_killed(the)
        await both_are_up(the)
        await asked_for_at_both(the)
        await campaign(the, NUMBERS[:numbers], kills)
        twice = done_twice(the.carrier)
        # Two orders for the same number, one after the other.
        assert {key: n for key, n in twice.items() if key != ("", f"dials {THEIRS}") or n > 2} == {}


async def tools_run(the: Office, booked: Path, count: int) -> None:
    the.realtime.script = Script.of(Turn.call("book", table=4), otherwise=Turn.silence())
    calls = [await the.carrier.ring() for _ in range(count)]

    def ran() -> int:
        return booked.read_text().count("4\n") if booked.exists() else 0

    await until(lambda: ran() == count, "the tools to run", 15)
    await until(lambda: all(call.streams for call in calls), "all media streams")  # the model may be quicker
    the.realtime.script = TALK
    node = owner(calls[0])
    theirs = [call for call in calls if owner(call) == node]
    kill(the, node)
    await asyncio.gather(*(call.phone.hears(0.3, timeout=15) for call in theirs))
    await asyncio.sleep(0.5)
    nobody_lost(the.carrier, calls)
    assert ran() == count, "a tool ran twice"
    await all_hang_up(calls)


def fault(**how: Any) -> Any:
    return TwilioApiFault("create", **how) if product.usual == "twilio" else ApiFault("dial", **how)


def legs_to(the: Office, number: str) -> list[Any]:
    return [call for call in the.carrier.calls.values() if call.to_number == number]


async def dial(the: Office, key: str) -> httpx.Response:
    return await ask(the, "POST", "/api/calls", {"toNumber": THEIRS}, **{"Idempotency-Key": key})


async def dialled_by_the_killed(the: Office) -> None:
    """The carrier has dialled, and has not answered the worker yet, which then dies."""
    the.carrier.exchange.callee = Callee("answers", ring_s=60)
    the.carrier.faults.api.append(fault(slow_s=30))
    asked = asyncio.create_task(dial(the, "in flight"))
    await until(lambda: legs_to(the, THEIRS) or asked.done(), "the leg", 10)
    # whoever asked is answered as well when a webhook tells of the leg first
    assert not asked.done() or asked.result().status_code == 201, asked.result().text
    (leg,) = legs_to(the, THEIRS)
    kill(the, dialler(leg))
    with contextlib.suppress(httpx.HTTPError):
        await asked
    again = await dial(the, "in flight")
    assert again.status_code == 200, again.text
    leg.pick_up()
    await leg.phone.hears(0.3, timeout=20)
    assert legs_to(the, THEIRS) == [leg]
    await all_hang_up([leg])


async def asked_for_at_both(the: Office) -> None:
    """The same order, at the same moment, over connections of their own: one leg, however many workers were asked."""
    before = len(legs_to(the, THEIRS))
    answers = await asyncio.gather(*(dial(the, "at once") for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {200, 201, 409}, [answer.text for answer in answers]
    assert sum(answer.status_code == 201 for answer in answers) == 1, [answer.status_code for answer in answers]
    assert len(legs_to(the, THEIRS)) == before + 1
    await all_hang_up(legs_to(the, THEIRS)[before:])


async def campaign(the: Office, numbers: list[str], kills: int) -> None:
    """Whoever leads the campaigns is killed again and again."""
    the.carrier.exchange.timing.ring_s = 0.1
    the.carrier.exchange.callee = SHORT
    body = {"rows": rows(*numbers), **ALWAYS, "attempts": 1, "at_once": 3}
    made = await ask(the, "POST", "/api/campaigns", body)
    assert made.status_code == 201, made.text
    dice = random.Random(19)

    def called() -> list[str]:
        return [call.to_number for call in the.carrier.calls.values() if call.to_number in numbers]

    leader: list[str] = []

    async def leads() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            leader[:] = filter(None, [(await ask(the, "GET", "/api/nodes")).json()["leader"]])
        return bool(leader)

    for _ in range(kills):
        await both_are_up(the)
        before = len(called())

        def goes_on(before: int = before) -> bool:
            return len(called()) > before or len(called()) == len(numbers)

        await until(goes_on, "another dial", 20)
        await asyncio.sleep(dice.uniform(0.0, 0.4))  # the moment of the kill
        await eventually(leads, "somebody to lead", 20)
        kill(the, leader.pop())

    async def finished() -> bool:
        try:
            answer = await ask(the, "GET", made.json()["url"])
            return answer.is_success and bool(answer.json()["state"] == "finished")
        except httpx.HTTPError:
            return False

    await eventually(finished, "the end of the campaign", 60)
    assert len(set(called())) == len(called()), "a number was dialled twice"
    database = sqlite3.connect(the.folder / "data" / "callflow.db")
    outcomes = dict(database.execute("SELECT number, outcome FROM campaign_rows"))
    database.close()
    assert set(outcomes) == set(numbers)
    # Of a dial that was on its way when its worker died nobody knows whether it has arrived.
    assert all(outcomes[number] == "unknown" for number in set(numbers) - set(called())), outcomes
    assert len(called()) > len(numbers) - 3 * kills
