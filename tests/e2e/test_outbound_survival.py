"""Outbound calls outlive their process: killed while it dials, rings or talks, it dials nobody twice and leaves nobody
alone. Over real processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from callflow.sandbox.telnyx import ApiFault
from callflow.sandbox.twilio import ApiFault as TwilioApiFault
from callflow.sandbox.twilio import Twilio
from tests.e2e import product as products
from tests.e2e.outbound import DIALS, OURS, THEIRS, TOKEN
from tests.e2e.product import until
from tests.e2e.test_survival import Office, office


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
KEY = "order-of-the-tests"


@contextlib.asynccontextmanager
async def dialling_office(**env: object) -> AsyncIterator[Office]:
    given: dict[str, Any] = {name.upper(): value for name, value in DIALS.items()}
    async with office(None, **given, ADMISSION_LAG_MS=0, **env) as one:
        if isinstance(one.carrier, Twilio):
            one.carrier.exchange.number(OURS)
        one.carrier.exchange.timing.ring_s = 60
        yield one


async def dial(one: Office, key: str = KEY) -> httpx.Response:
    assert one.process is not None
    url = f"http://127.0.0.1:{await one.process.console_port()}/api/calls"
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": key}
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return await client.post(url, json={"toNumber": THEIRS}, headers=headers)


def leg(one: Office) -> Any:
    (call,) = one.carrier.calls.values()
    return call


def dials(one: Office) -> int:
    return sum(command.action in ("dial", "create") for command in one.carrier.commands)


async def over(one: Office) -> dict[str, Any]:
    def rows() -> list[dict[str, Any]]:
        return one.rows("SELECT * FROM conversations WHERE ended_at IS NOT NULL")

    await until(rows, "the end in the history", 20)
    (row,) = rows()
    return row


def fault(**how: Any) -> Any:
    if products.usual == "twilio":
        return TwilioApiFault("create", **how)
    return ApiFault("dial", **how)


@pytest.mark.parametrize("moment", ["being dialled", "ringing"])
async def test_a_call_that_rings_when_its_process_is_killed_is_recovered(moment: str) -> None:
    async with dialling_office() as one:
        if moment == "being dialled":
            one.carrier.faults.api.append(fault(slow_s=30))
        asked = asyncio.create_task(dial(one))
        await until(lambda: one.carrier.calls, "the leg")
        if moment == "ringing":
            assert (await asked).status_code == 201
        await one.stop()
        with contextlib.suppress(httpx.HTTPError):
            await asked
        await one.start()
        again = await dial(one)
        assert again.status_code == 200, again.text
        await until(lambda: "recovering 1 of the calls" in one.said(), "the call to be recovered", 15)
        call = leg(one)
        assert call.ended_at is None
        call.pick_up()
        await call.wait_streaming(15)
        await call.phone.hears(0.3)
        assert dials(one) == 1
        await call.hang_up()
        row = await over(one)
        assert (row["id"], row["direction"], row["caller_number"]) == (row["id"], "outbound", THEIRS)


@pytest.mark.alone  # the carrier waits a second for the next process
async def test_a_call_that_is_answered_while_no_process_is_there_is_spoken_to() -> None:
    async with dialling_office() as one:
        assert (await dial(one)).status_code == 201
        await one.stop()
        call = leg(one)
        call.pick_up()
        await call.wait_answered()
        await one.start()
        await call.wait_streaming(15)
        await call.phone.hears(0.3)
        assert dials(one) == 1
        await call.hang_up()
        await over(one)


async def test_a_call_that_talks_goes_on() -> None:
    async with dialling_office() as one:
        assert (await dial(one)).status_code == 201
        call = leg(one)
        call.pick_up()
        await call.wait_streaming(15)
        await call.phone.hears(0.5)
        await one.stop()
        await one.start()
        began = one.listening_at
        await until(lambda: any(part.at > began for part in call.phone.heard), "the other end to hear something", 15)
        assert dials(one) == 1
        await call.hang_up()
        await over(one)


@pytest.mark.proof
async def test_a_dial_that_never_took_effect_is_closed_and_not_repeated() -> None:
    async with dialling_office() as one:
        one.carrier.faults.api.append(fault(hang_s=30))
        asked = asyncio.create_task(dial(one))
        await until(lambda: dials(one), "the dial")
        await one.stop()
        with contextlib.suppress(httpx.HTTPError):
            await asked
        await one.start()
        row = await over(one)
        assert row["hangup_cause"] == "interrupted"
        again = await dial(one)
        assert (again.status_code, again.json()["id"]) == (200, row["call_id"]), again.text
        assert dials(one) == 1
        assert not one.carrier.calls


async def test_a_leg_whose_call_is_over_is_hung_up_after_a_restart() -> None:
    """The dial's answer is lost, no webhook comes, the call is given up; then its webhook comes after all."""
    async with dialling_office(ANSWER_SECONDS=0.5, COMMAND_SECONDS=0.5) as one:
        one.carrier.faults.webhook_drop = ["*"]
        one.carrier.faults.api.append(fault(lose_response=True))
        # Neither list nor webhook tells of it.
        one.carrier.faults.api.append(
            TwilioApiFault("list", times=9, status=503)
            if products.usual == "twilio"
            else ApiFault("get", times=9, status=503)
        )
        await dial(one)
        row = await over(one)
        assert row["hangup_cause"] == "dial_lost"
        await one.stop()
        one.carrier.faults.webhook_drop = []
        one.carrier.faults.api.clear()
        await one.start()
        call = leg(one)
        call.pick_up()
        await call.wait_ended(15)
        assert call.ended_by == "product"
        assert dials(one) == 1
