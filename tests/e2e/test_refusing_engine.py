"""A model's vendor that refuses: how often it is asked, what the callers hear, and how it is found again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from callflow.media import clips
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Faults as ModelFaults
from callflow.sandbox.openai_realtime import Pace, Quirks, Realtime, Script, Turn
from tests.e2e.product import Product, product, run, together
from tests.e2e.talk import FAST, goodbye, noise, saying, talk
from tests.sample import Sample


SORRY = clips.load("en")["sorry"].audio
BEGINNING = 1600
GREETING = noise(300, 1)
SETTINGS: dict[str, Any] = {
    **FAST,
    "engine_tries": 3,
    "engine_seconds": 10.0,
    "max_concurrent_calls": 100,
    "stream_seconds": 20.0,
}
"""The model has ten seconds, in which everything happens that may, and a call may open sessions anew."""


def model(quirks: Quirks | None = None, **faults: Any) -> Realtime:
    script = Script.of(saying(GREETING), otherwise=Turn.silence())
    return Realtime(script=script, pace=Pace.instant(), quirks=quirks, faults=ModelFaults(**faults))


class Caller:
    """Somebody who calls and listens."""

    def __init__(self, the: Product) -> None:
        self._the = the
        self.received = bytearray()
        self.began = time.monotonic()
        self.call: Any = None

    async def ring(self) -> Caller:
        phone = Phone(on_media=lambda at, audio: self.received.extend(audio))
        self.call = await self._the.carrier.ring(phone=phone)
        return self

    @property
    def apologised(self) -> bool:
        return SORRY[:BEGINNING] in self.received or "Sorry." in self.call.spoken

    @property
    def greeted(self) -> bool:
        return GREETING[:BEGINNING] in self.received

    async def hears_apology(self, seconds: float) -> None:
        await self._the.until(lambda: self.apologised, "the apology", seconds)


async def ring(the: Product, count: int) -> list[Caller]:
    return list(await asyncio.gather(*(Caller(the).ring() for _ in range(count))))


async def health(the: Product) -> dict[str, Any]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{the.app.console_at[1]}/health")
    found: dict[str, Any] = answer.json()["engine"]
    return found


def state(the: Product) -> str:
    return str(the.app.account.describe()["state"])


async def opened(the: Product) -> None:
    await the.until(lambda: state(the) != "closed", "the breaker to open", 12)


def within(times: list[float], seconds: float) -> int:
    """The most attempts in any span of so many seconds."""
    return max((sum(first <= at < first + seconds for at in times) for first in times), default=0)


LOST: dict[str, dict[str, Any]] = {
    "429": {"refuse_next": -1, "refuse_status": 429},
    "503": {"refuse_next": -1, "refuse_status": 503},
    "500": {"refuse_next": -1, "refuse_status": 500},
    "503 without Retry-After": {"refuse_next": -1, "refuse_status": 503, "retry_after": ""},
    "429 with four seconds": {"refuse_next": -1, "refuse_status": 429, "retry_after": "4"},
    "429 with a minute": {"refuse_next": -1, "refuse_status": 429, "retry_after": "60"},
    "no answer": {"hang_next": -1},
    "sessions that break at once": {"drop_after_events": 1},
}


def test_one_call_asks_five_times_in_fifteen_seconds_and_ends_with_the_apology_in_its_time() -> None:
    async def scene(faults: dict[str, Any]) -> None:
        async with product(realtime=model(**faults), **SETTINGS) as the:
            (one,) = await ring(the, 1)
            await one.hears_apology(12)
            left = 15.5 - (time.monotonic() - one.began)
            await asyncio.sleep(left)  # nothing may be asked in the time that is left
            assert 1 <= len(the.realtime.attempted_at) <= 5
            assert within(list(the.realtime.attempted_at), 15.0) <= 5
            await the.quiet()

    run(together({name: scene(faults) for name, faults in LOST.items()}))


REFUSING: dict[str, dict[str, Any]] = {
    "429": {"refuse_next": -1, "refuse_status": 429},
    "503": {"refuse_next": -1, "refuse_status": 503, "retry_after": ""},
}


@pytest.mark.proof
@pytest.mark.alone
def test_forty_calls_ask_twenty_times_at_most_once_the_breaker_is_open_and_the_later_ones_hear_so_at_once(
    caplog: pytest.LogCaptureFixture, some: Sample
) -> None:
    refusing = dict(some(REFUSING.items(), 2))

    async def scene(faults: dict[str, Any]) -> None:
        async with product(realtime=model(**faults), **SETTINGS) as the:
            earlier = await ring(the, 20)
            await opened(the)
            before = the.realtime.connections_attempted
            later = await ring(the, 20)
            for one in later:
                await one.hears_apology(16)
            waiting = [one for one in earlier if not one.apologised]  # the others came when it had opened, too
            assert len(waiting) >= 2, "those who waited already are given up, or the others heard it no sooner"
            at_once = [lost for lost in the.happened("engine_lost") if "it is not asked again" in lost["reason"]]
            assert len(at_once) == 40 - len(waiting)
            told = await health(the)
            assert told["state"] in ("open", "probing")
            assert told["why"] == f"HTTP {faults['refuse_status']}"
            assert abs(time.time() - told["since"]) < 12
            assert the.realtime.api_key not in json.dumps(told)
            assert "://" not in json.dumps(told)
            for one in waiting:
                await one.hears_apology(15)
            assert the.realtime.connections_attempted - before <= 20
            await the.quiet(5)

    run(together({name: scene(faults) for name, faults in refusing.items()}))
    said = [record.getMessage() for record in caplog.records if record.name == "callflow.engines.common.account"]
    assert len([line for line in said if "refuses calls" in line]) == len(refusing), said
    assert not [line for line in said if "takes calls again" in line], said


@pytest.mark.proof
@pytest.mark.alone
def test_an_engine_that_recovers_is_asked_at_once_and_whoever_waited_greeted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene(calls: int, faults: dict[str, Any], away: float) -> None:
        async with product(realtime=model(**faults), **SETTINGS) as the:
            callers = await ring(the, calls)
            await asyncio.sleep(away)  # how long it is away is what this is about
            the.realtime.faults.reset()
            back = time.monotonic()
            # who rang when the others had been refused already has heard the apology at once
            callers = [one for one in callers if one.call.state == "answered"]
            assert len(callers) * 2 >= calls
            for one in callers:
                # a filler that is being said goes before it
                await the.until(lambda one=one: one.greeted, "the greeting", 8)  # type: ignore[misc]
            asked = [at for at in the.realtime.attempted_at if at > back]
            assert asked[0] - back < 3.0, "it was asked too late"
            assert asked[-1] - back < 3.5, "those who waited did not ask when the probe had got through"
            assert not any(one.apologised for one in callers)
            await the.until(lambda: state(the) == "closed", "the breaker to close")
            assert (await health(the))["state"] == "closed"
            for one in callers:
                await one.call.hang_up()
            await the.quiet()

    scenes = {
        f"{calls} calls, {name}, {away:g} s": scene(calls, faults, away)
        for calls, name, faults, away in (
            (1, "429", LOST["429"], 4.0),
            (1, "503", LOST["503 without Retry-After"], 4.0),
            (1, "503, later", LOST["503"], 6.5),
            (1, "hangs", LOST["no answer"], 4.0),
            (12, "429", LOST["429"], 4.0),
        )
    }
    run(together(scenes))
    said = [record.getMessage() for record in caplog.records if record.name == "callflow.engines.common.account"]
    assert len([line for line in said if "refuses calls" in line]) == 1, said
    assert len([line for line in said if "takes calls again" in line]) == 1, said


@pytest.mark.proof
def test_a_key_that_is_refused_opens_it_at_once_and_a_model_that_is_refused_does_not() -> None:
    async def at_once(faults: dict[str, Any]) -> None:
        async with product(realtime=model(refuse_next=-1, **faults), **SETTINGS) as the:
            (one,) = await ring(the, 1)
            await one.hears_apology(5)
            first, *later = the.realtime.attempted_at  # what comes a second later is a probe
            assert all(at - first > 0.7 for at in later), "a key that is refused was tried again"
            assert (await health(the))["why"] == f"HTTP {faults['refuse_status']}"
            for each in await ring(the, 5):
                await each.hears_apology(5)
            lost = the.happened("engine_lost")
            assert len([each for each in lost if "it is not asked again" in each["reason"]]) == 5
            the.realtime.faults.refuse_next = 0
            await the.until(lambda: state(the) == "closed", "a probe to get through", 6)
            await the.quiet()
            sessions = len(the.realtime.sessions)  # the probe's
            await goodbye(the, await talk(the))
            assert len(the.realtime.sessions) == sessions + 1

    async def never(faults: dict[str, Any]) -> None:
        async with product(realtime=model(refuse_next=8, **faults), **SETTINGS) as the:
            callers = await ring(the, 8)
            for each in callers:
                await each.hears_apology(5)
            assert the.realtime.connections_attempted == 8
            assert (await health(the))["state"] == "closed"
            await the.quiet()
            await goodbye(the, await talk(the))

    scenes: Mapping[str, Callable[[], Any]] = {
        "401": lambda: at_once({"refuse_status": 401}),
        "403": lambda: at_once({"refuse_status": 403, "refuse_code": "country_not_supported"}),
        "404": lambda: never({"refuse_status": 404}),
        "404 model": lambda: never({"refuse_status": 404, "refuse_code": "model_not_found"}),
        "403 model": lambda: never({"refuse_status": 403, "refuse_code": "model_not_found"}),
        "400": lambda: never({"refuse_status": 400}),
    }
    run(together({name: scene() for name, scene in scenes.items()}))


async def test_a_live_call_that_loses_its_session_waits_without_asking_and_goes_on() -> None:
    async with product(realtime=model(), **SETTINGS) as the:
        one = await talk(the)
        await the.until(lambda: GREETING[:BEGINNING] in one.received, "the greeting")
        the.realtime.faults.set({"refuse_next": -1, "refuse_status": 401})
        (other,) = await ring(the, 1)
        await other.hears_apology(5)
        await opened(the)
        before = the.realtime.connections_attempted
        sessions = len(the.realtime.sessions)
        one.session.drop()
        await the.until(lambda: "streaming>recovering" in states(the, one.call), "the loss")
        await asyncio.sleep(2.5)  # the time in which it would have asked
        assert the.realtime.connections_attempted - before <= 3, "more than the probes have asked"
        the.realtime.faults.refuse_next = 0
        await the.realtime.wait_session(sessions + 2, timeout=4)  # a probe's, and the call's
        await the.until(lambda: "recovering>streaming" in states(the, one.call), "the call to go on")
        assert SORRY[:BEGINNING] not in one.received
        await one.call.hang_up()
        await the.quiet()


def states(the: Product, call: Any) -> list[str]:
    """The transitions of all calls on record."""
    records = [record for name in the.app.journal.calls() for record in the.app.journal.read(name)]
    return [f"{one.before}>{one.after}" for one in records if one.before != one.after]


async def test_a_spare_session_that_is_refused_is_no_storm() -> None:
    quirks = Quirks(session_seconds=12.0)
    async with product(realtime=model(quirks), **{**SETTINGS, "rotation_seconds": 9.0}) as the:
        one = await talk(the)
        the.realtime.faults.set({"refuse_next": -1, "refuse_status": 503, "retry_after": ""})
        await the.realtime.wait_attempt(3, timeout=10)
        assert "streaming>recovering" not in the.timeline(), "the old session was left before its time"
        await asyncio.sleep(4)
        assert within(list(the.realtime.attempted_at), 15.0) <= 5
        await one.call.hang_up()
        await the.quiet()


async def test_a_server_that_stops_while_its_vendor_refuses_leaves_no_probe() -> None:
    async with product(realtime=model(refuse_next=-1, refuse_status=401), **SETTINGS) as the:
        (one,) = await ring(the, 1)
        await one.hears_apology(5)
        await opened(the)
        await the.quiet()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("account-probe")]
