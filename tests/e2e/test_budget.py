"""What a day's calls may take: past it nobody gets in, and whoever is in is told, and ends with a goodbye."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.switchboard.budget.carrier_costs import CostLookups
from callflow.switchboard.budget.spent import day_of
from tests.e2e import product as products
from tests.e2e.outbound import DIALS, OURS, TOKEN, ask, dial
from tests.e2e.product import Product, product
from tests.e2e.talk import FAST, talk
from tests.e2e.test_survival import office


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
SETTINGS: dict[str, Any] = {**FAST, **DIALS, "max_call_warning_seconds": 1.0}
SALES = "+15550100003"
PERSON = "+15550100010"
A_MINUTE: dict[str, Any] = {"max_daily_minutes": 0.05}


def model() -> Realtime:
    return Realtime(script=Script.tone(0.4), pace=Pace.instant())


async def told(the: Product) -> dict[str, Any]:
    await the.app.journal.flushed()
    answer = await ask(the, "GET", "/api/budget")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def used_up(the: Product) -> None:
    """Have one call that is ended for what it has used."""
    one = await talk(the)
    await the.until(lambda: the.happened("budget_reached"), "the caller to be told")
    assert one.call.state != "ended"
    await one.call.wait_ended()
    await the.quiet()


async def test_a_call_in_progress_is_told_and_ends_with_a_goodbye_and_nobody_else_gets_in() -> None:
    async with product(realtime=model(), **A_MINUTE, **SETTINGS) as the:
        await used_up(the)
        (goodbye,) = the.happened("goodbye_requested")
        assert goodbye["reason"] == "budget"
        assert "of 0.05 minutes" in goodbye["why"]
        assert [one["clip"] for one in the.happened("clip")] == ["goodbye"]
        (prompt,) = [one for one in the.realtime.sessions[0].received if "has to end in" in str(one.event)]
        assert prompt.event["type"] == "response.create"
        sessions = len(the.realtime.sessions)

        second = await the.carrier.ring()
        await second.wait_ended()
        await the.quiet()
        (away,) = the.happened("call_turned_away")
        assert away["reason"] == "budget"
        assert second.spoken
        assert not second.streams, "a stream is opened for a sentence of the carrier's"
        assert len(the.realtime.sessions) == sessions, "a model was paid for a call that is turned away"

        refused = await dial(the)
        assert refused.status_code == 503
        assert "of 0.05 minutes" in refused.json()["error"]
        checked = (await ask(the, "POST", "/api/calls/check", {"toNumber": PERSON})).json()
        assert not checked["may"]
        assert "of 0.05 minutes" in checked["why"]
        today = await told(the)
        assert today["all"]["used"] >= 1
        assert today["known"]
        assert today["all"]["calls"] >= 1


async def test_a_profile_has_limits_of_its_own_and_the_busy_tone_if_it_wants() -> None:
    sales = {"numbers": [SALES], "profile_daily_minutes": 0.001, "over_budget": "busy"}
    async with product(realtime=model(), profiles={"sales": sales}, **SETTINGS) as the:
        if products.usual == "twilio":
            the.twilio.exchange.number(SALES)
        other = await the.carrier.ring()
        first = await the.carrier.ring(to_number=SALES)
        await first.wait_ended()
        await the.until(lambda: len(the.app.switchboard.calls) == 1, "the first call to be let go")
        second = await the.carrier.ring(to_number=SALES)
        await second.wait_ended()
        await the.until(lambda: the.happened("call_refused"), "the refusal")
        (refused,) = the.happened("call_refused")
        assert refused["reason"] == "budget"
        assert "profile sales" in refused["why"]
        assert other.state != "ended", "a call of another profile suffered"
        await other.hang_up()
        await the.quiet()


@pytest.mark.carrier("telnyx")
async def test_of_yesterdays_calls_nothing_is_kept() -> None:
    async with product(realtime=model(), **SETTINGS) as the:
        one = await talk(the)
        await one.call.hang_up()
        await the.quiet()
        budget = the.app.budget
        assert budget._lately
        budget._day = day_of(time.time() + 86400, ZoneInfo("UTC"))
        assert await budget._read()
        assert not budget._lately


@pytest.mark.carrier("telnyx")
async def test_what_a_call_took_before_a_restart_counts_after_it() -> None:
    async with office(MAX_DAILY_MINUTES=9, CONSOLE_TOKEN=TOKEN) as one:

        async def minutes() -> float:
            assert one.process is not None
            url = f"http://127.0.0.1:{await one.process.console_port()}/api/budget"
            async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
                answer = await client.get(url, headers={"Authorization": f"Bearer {TOKEN}"})
                (call,) = answer.json()["live"]
                return float(call["minutes"])

        caller = await one.ring()
        before = 0.0
        async with asyncio.timeout(20):
            while before < 0.05:
                before = await minutes()
        await one.stop()
        killed = time.monotonic()
        await one.start()
        await caller.hears_again(killed)
        assert await minutes() >= before
        await caller.call.hang_up()


async def test_what_the_carrier_takes_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CostLookups.__init__, "__kwdefaults__", {"first_seconds": 0.2})
    async with product(realtime=model(), **SETTINGS) as the:
        the.carrier.exchange.usd_per_minute = 0.25
        if products.usual == "telnyx":
            the.telnyx.exchange.application.more["call_cost_in_webhooks"] = True
        one = await talk(the)
        await the.until(lambda: the.happened("usage"), "the model to say what it has used")
        await one.call.hang_up()
        await the.quiet()
        await the.until(lambda: the.happened("carrier_cost"), "the carrier's price")
        await the.app.journal.flushed()
        await the.app.budget._read()
        today = await told(the)
        assert today["all"]["carrierUsd"] == 0.25
        assert today["all"]["engineUsd"] > 0
        assert [caller["carrierUsd"] for caller in today["callers"]] == [0.25]


async def test_whoever_gets_no_agent_any_more_may_get_a_person() -> None:
    fallback: dict[str, Any] = {"fallback_number": PERSON, "over_budget": "fallback", "transfer_ring_seconds": 5}
    async with product(realtime=model(), max_daily_minutes=0.001, **fallback, **SETTINGS) as the:
        the.carrier.exchange.callees[PERSON] = Callee(ring_s=0.1, hangs_up_after_s=1)
        if products.usual == "twilio":
            the.twilio.exchange.number(OURS)
        for number in range(1, 3):  # the one that was talking, and the one who rings when all has been used
            sessions = len(the.realtime.sessions)
            call = await the.carrier.ring()
            await the.until(lambda: the.app.switchboard.calls, "the call")
            await the.until(lambda: the.call.model.state == "bridged", "the caller to talk with a person", 15)
            await call.wait_ended()
            await the.quiet()
            assert len(the.realtime.sessions) - sessions == (number == 1), "a model was paid for"
        (away,) = the.happened("call_turned_away")
        assert away["fall_back"]


async def test_at_other_hours_a_caller_hears_a_sentence_and_no_model_is_asked() -> None:
    later = (time.gmtime().tm_hour + 3) % 24
    async with product(realtime=model(), hours=f"{later}-{(later + 1) % 24}", **SETTINGS) as the:
        call = await the.carrier.ring()
        await call.wait_ended()
        await the.quiet()
        (away,) = the.happened("call_turned_away")
        assert away["reason"] == "closed"
        assert [one["clip"] for one in the.happened("clip")] == ["unavailable"] or call.spoken
        assert the.realtime.sessions == []
