"""A campaign outlives its process: killed again and again, it calls nobody twice. Over real processes."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from typing import Any

import httpx
import pytest

from callflow.sandbox.common.callee import Callee
from tests.e2e import product as products
from tests.e2e.campaigns import ALWAYS, NUMBERS, SHORT, rows
from tests.e2e.outbound import TOKEN
from tests.e2e.product import until
from tests.e2e.test_outbound_survival import dialling_office, dials, fault
from tests.e2e.test_survival import Office
from tests.history import postgres
from tests.history.delivery.receiver import SECRET, EventReceiver, receiver


CARRIERS = ("telnyx", "twilio")
SAMPLED = True


async def ask(one: Office, method: str, path: str, body: Any = None) -> Any:
    assert one.process is not None
    url = f"http://127.0.0.1:{await one.process.console_port()}{path}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client, asyncio.timeout(30):
        answer = await client.request(method, url, json=body, headers=headers)
        while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and "not open yet" in answer.text:
            await asyncio.sleep(0.1)  # as the answer says: the server listens before its database is open
            answer = await client.request(method, url, json=body, headers=headers)
    assert answer.status_code < 300, answer.text
    return answer.json()


async def make(one: Office, *numbers: str, **more: Any) -> str:
    body = {"rows": rows(*numbers), **ALWAYS, "attempts": 1, "at_once": 3, **more}
    return str((await ask(one, "POST", "/api/campaigns", body))["url"])


def states(one: Office) -> set[str]:
    return {row["state"] for row in one.rows("SELECT state FROM campaigns")}


def called(one: Office) -> list[str]:
    return [call.to_number for call in one.carrier.calls.values()]


def ends_of_rows(there: EventReceiver) -> dict[str, dict[str, Any]]:
    """What was told of the ends of rows, by the id of the event; no row has two ids."""
    found = {one.id: one.payload for one in there.taken if one.payload["type"] == "campaign.row_done"}
    assert len({each["row"] for each in found.values()}) == len(found)
    return found


async def finished(one: Office) -> None:
    await until(lambda: states(one) == {"finished"}, "the campaign to be finished", 60)


@pytest.mark.proof
async def test_killed_again_and_again_it_calls_nobody_twice() -> None:
    async with (
        receiver() as there,
        dialling_office(DIALS_PER_MINUTE=10_000, EVENTS_URL=there.url, EVENTS_SECRET=SECRET) as one,
    ):
        one.carrier.exchange.timing.ring_s = 0.1
        one.carrier.exchange.callee = SHORT
        await make(one, *NUMBERS[:20])
        chance = random.Random(7)
        for _ in range(4):
            before = len(called(one))

            def goes_on(before: int = before) -> bool:
                return len(called(one)) > before or states(one) == {"finished"}

            await until(goes_on, "another call", 30)
            await asyncio.sleep(chance.uniform(0.0, 0.4))  # the moment of the kill
            await one.stop()
            await one.start()
        await finished(one)
        assert len(set(called(one))) == len(called(one))
        outcomes = {row["number"]: row["outcome"] for row in one.rows("SELECT number, outcome FROM campaign_rows")}
        assert set(outcomes.values()) <= {"answered", "unknown"}
        # Of a dial that was on its way when the process was killed nobody knows whether it has arrived.
        assert all(outcomes[number] == "unknown" for number in set(NUMBERS[:20]) - set(called(one)))
        assert len(called(one)) > 10
        await until(lambda: len(ends_of_rows(there)) >= 20, "the end of each row", 20)
        ends = ends_of_rows(there)
        assert {each["to"]: each["outcome"] for each in ends.values()} == outcomes
        assert all(each["attempts"] == 1 and each["cause"] for each in ends.values())
        for each in ends.values():
            told = {one.id: one.payload["type"] for one in there.taken if one.payload["call"] == each["call"]}
            assert list(told.values())[-2:] == ["call.ended", "campaign.row_done"]  # one may come twice


@pytest.mark.proof
async def test_with_postgresql_it_is_the_same(postgresql: str) -> None:
    name = f"campaign_{products.usual}"
    postgres.create(postgresql, name)
    async with (
        receiver() as there,
        dialling_office(
            DIALS_PER_MINUTE=10_000, EVENTS_URL=there.url, EVENTS_SECRET=SECRET,
            DATABASE_URL=postgresql.format(name=name),
        ) as one,
    ):  # fmt: skip
        one.carrier.exchange.timing.ring_s = 0.1
        one.carrier.exchange.callee = SHORT
        one.carrier.exchange.callees[NUMBERS[1]] = Callee("busy")
        path = await make(one, *NUMBERS[:12], attempts=2)
        await until(lambda: len(called(one)) > 3, "some calls", 30)
        await one.stop()
        await one.start()
        await until(lambda: len(called(one)) > 5, "other calls", 30)
        assert (await ask(one, "POST", f"{path}/pause"))["state"] == "paused"
        assert (await ask(one, "POST", f"{path}/resume"))["state"] == "running"
        await until(lambda: len(ends_of_rows(there)) == 12, "the end of each row", 40)
        told = await ask(one, "GET", path)
        assert told["by_outcome"].get("busy") == 1, told
        others = [number for number in called(one) if number != NUMBERS[1]]
        assert len(set(others)) == len(others)
        assert called(one).count(NUMBERS[1]) == 2


async def test_killed_while_it_is_dialled_the_same_call_goes_on() -> None:
    async with dialling_office() as one:
        one.carrier.exchange.callee = Callee("answers", ring_s=60)
        one.carrier.faults.api.append(fault(slow_s=30))
        await make(one, NUMBERS[0])
        await until(lambda: one.carrier.calls, "the leg")
        await one.stop()
        await one.start()
        await until(
            lambda: "campaigns go on: 1 rows were at work, 1 of them with a call" in one.said(), "it to go on", 20
        )
        (call,) = one.carrier.calls.values()
        call.pick_up()
        await call.wait_streaming(15)
        await call.hang_up()
        await finished(one)
        assert dials(one) == 1
        assert [row["outcome"] for row in one.rows("SELECT outcome FROM campaign_rows")] == ["answered"]


async def test_a_row_that_was_taken_and_not_dialled_is_called_after_a_restart() -> None:
    """As after a kill between the two: its state says that it is being dialled, and there is no such call."""
    async with dialling_office() as one:
        one.carrier.exchange.timing.ring_s = 0.1
        one.carrier.exchange.callee = SHORT
        path = await make(one, *NUMBERS[:2], start="paused")
        await one.stop()
        database = sqlite3.connect(one.folder / "callflow.db")
        with database:
            database.execute("UPDATE campaign_rows SET state = 'dialling' WHERE row = 1")
        database.close()
        await one.start()
        await until(lambda: "1 rows were at work, 0 of them with a call" in one.said(), "the row to be put back", 20)
        assert dials(one) == 0
        await ask(one, "POST", f"{path}/resume")
        await finished(one)
        assert sorted(called(one)) == NUMBERS[:2]


@pytest.mark.carrier("telnyx")
async def test_a_paused_campaign_stays_paused() -> None:
    async with dialling_office() as one:
        await make(one, *NUMBERS[:2], start="paused")
        await one.stop()
        await one.start()
        told = (await ask(one, "GET", "/api/campaigns"))[0]
        assert (told["state"], told["by_state"]) == ("paused", {"waiting": 2})
        assert dials(one) == 0
