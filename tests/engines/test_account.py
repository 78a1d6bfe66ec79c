"""The engine's account over real sockets: who asks, how often, and who finds out that the vendor is back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from callflow.contracts.errors import EngineError
from callflow.engines.breaker import Breaker, Pace
from callflow.engines.common.account import Account
from callflow.sandbox.openai_realtime import Faults, Realtime
from tests.configs import realtime_config


class Office:
    """An account and its vendor."""

    def __init__(self, realtime: Realtime, account: Account) -> None:
        self.realtime, self.account = realtime, account
        self.opened: list[ClientConnection] = []

    async def open(self, call: str = "a", *, arrives: bool = True, seconds: float = 10.0, **config: Any) -> float:
        """How long it took to have a connection. Raises EngineError."""
        began = time.monotonic()
        chosen = {"api_key": self.realtime.api_key, "url": self.realtime.url, "connect_seconds": seconds, **config}
        self.opened.append(await self.account.open(realtime_config(**chosen), call, arrives=arrives))
        return time.monotonic() - began

    async def refused(self, call: str = "a", **options: Any) -> tuple[EngineError, float]:
        began = time.monotonic()
        with pytest.raises(EngineError) as caught:
            await self.open(call, **options)
        return caught.value, time.monotonic() - began

    @property
    def attempts(self) -> int:
        return self.realtime.connections_attempted

    @property
    def state(self) -> str:
        return str(self.account.describe()["state"])

    async def until(self, condition: Callable[[], object], what: str, seconds: float = 5.0) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():  # noqa: ASYNC110 - conditions of several packages, without an event
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"waited {seconds:g} s for {what}") from None


@contextlib.asynccontextmanager
async def office(**faults: Any) -> AsyncIterator[Office]:
    async with Realtime(faults=Faults(**faults)) as realtime:
        account = Account()
        account.start()
        one = Office(realtime, account)
        try:
            yield one
        finally:
            await account.close()
            for connection in one.opened:
                await connection.close()
            assert account._probing is not None
            assert account._probing.done(), "the probing outlives the account"
            assert account._under_way == 0, "an attempt is counted for ever"


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(25):
            await work

    asyncio.run(bounded())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds in life takes tenths."""
    monkeypatch.setattr(Pace, "PAUSES", (0.05, 0.2, 0.2, 0.2))
    monkeypatch.setattr(Pace, "HANDSHAKE_SECONDS", 0.2)
    monkeypatch.setattr(Breaker, "PROBES", (0.1, 0.2, 0.2))


# One call


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_a_call_asks_five_times_over_all_its_sessions(status: int) -> None:
    async with office(refuse_next=-1, refuse_status=status, retry_after="") as one:
        error, _ = await one.refused()
        assert str(status) in str(error)
        assert not error.retry, "the call tries again although it may not ask any more"
        assert one.attempts == 5
        assert one.state == "closed", "what one call meets alone is its own"
        error, seconds = await one.refused(arrives=False, seconds=0.3)
        assert seconds > 0.25, "a live call does not wait"
        assert error.retry
        assert one.attempts == 5
        await one.refused("another", seconds=0.5)
        assert one.state != "closed", "two calls have met it, five times in a row"


@pytest.mark.usefixtures("impatient")
async def test_sessions_that_break_one_after_the_other_are_not_without_end() -> None:
    async with office() as one:
        for number in range(10):
            await one.open(arrives=number == 0)
            one.opened[-1].transport.abort()
        await one.refused(arrives=False, seconds=0.3)
        assert one.attempts == 10
        await one.open("b")  # another call has attempts of its own
        assert one.attempts == 11
        assert one.state == "closed"


@pytest.mark.usefixtures("impatient")
async def test_a_wait_that_was_asked_of_one_session_holds_for_the_next() -> None:
    async with office(refuse_next=1, retry_after="2") as one:
        _, seconds = await one.refused(arrives=False, seconds=0.3)
        assert seconds > 0.25
        took = await one.open(arrives=False)
        assert one.attempts == 2
        first, second = one.realtime.attempted_at
        assert 2.0 <= second - first < 4.0
        assert took > 1.0


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("after", ["30", "Fri, 31 Dec 2100 23:59:59 GMT"])
async def test_a_call_that_arrives_does_not_wait_for_what_comes_too_late_and_does_not_come_before(after: str) -> None:
    async with office(refuse_next=-1, retry_after=after) as one:
        error, seconds = await one.refused()
        assert not error.retry
        assert seconds < 2
        assert one.attempts == 1
        await one.refused(arrives=False, seconds=0.5)
        assert one.attempts == 1, "it came before it was asked to"


async def test_an_engine_that_recovers_is_asked_within_three_seconds() -> None:
    async def scene(recovers: float, fault: str) -> None:
        async with office(**{fault: -1}, refuse_status=500) as one:
            opening = asyncio.create_task(one.open())
            await asyncio.sleep(recovers)  # how long the engine is away is what this is about
            setattr(one.realtime.faults, fault, 0)
            async with asyncio.timeout(3.2):
                await opening
            assert one.attempts <= 5

    refusing = [scene(recovers, "refuse_next") for recovers in (0.1, 1.2, 4.0, 7.0)]
    hanging = [scene(recovers, "hang_next") for recovers in (0.5, 1.0, 4.0, 7.0)]
    await asyncio.gather(*refusing, *hanging)


@pytest.mark.usefixtures("impatient")
async def test_a_handshake_that_is_answered_late_is_a_connection_all_the_same() -> None:
    async with office() as one:
        admit, late = one.realtime._admit, asyncio.Event()

        async def slow(connection: Any, request: Any) -> Any:
            first = one.attempts == 0
            answer = await admit(connection, request)
            if first:
                await late.wait()
            else:
                late.set()
                await one.realtime._closing.wait()
            return answer

        one.realtime._admit = slow  # type: ignore[method-assign]
        await one.realtime.close()
        await one.realtime.start()
        await one.open()
        assert one.attempts == 2
        assert one.state == "closed"


@pytest.mark.usefixtures("impatient")
def test_a_caller_who_gives_up_leaves_nothing_behind() -> None:
    async def scene(**faults: Any) -> None:
        async with office(**faults) as one:
            opening = asyncio.create_task(one.open())
            await one.realtime.wait_attempt()
            opening.cancel()
            await asyncio.wait([opening])
            assert opening.cancelled()
            assert one.state == "closed", "a caller who gives up says nothing about the vendor"

    run(scene(hang_next=-1))
    run(scene(refuse_next=-1))


# All calls


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "faults",
    [
        {"refuse_next": -1, "refuse_status": 429},
        {"refuse_next": -1, "refuse_status": 503},
        {"refuse_next": -1, "refuse_status": 500},
        {"refuse_next": -1, "refuse_status": 401},
        {"refuse_next": -1, "refuse_status": 403, "refuse_code": "country_not_supported"},
        {"hang_next": -1},
    ],
    ids=["429", "503", "500", "401", "403", "hangs"],
)
async def test_forty_calls_do_not_storm_a_vendor_that_refuses(
    faults: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "callflow.engines.common.account")
    async with office(**faults) as one:
        waiting = [asyncio.create_task(one.refused(f"call {number}", seconds=1.5)) for number in range(40)]
        await one.until(lambda: one.state != "closed", "the breaker to open")
        before = one.attempts
        arriving = [one.refused(f"later {number}", seconds=1.5) for number in range(40)]
        for error, seconds in await asyncio.gather(*arriving):
            assert not error.retry, "it tries again"
            assert seconds < 1.0, "it waited"
        told = one.account.describe()
        assert told["why"]
        assert 0 <= time.time() - told["since"] < 5
        await asyncio.gather(*waiting)
        assert one.attempts - before <= 20
        for name in ("refuse_next", "hang_next"):
            setattr(one.realtime.faults, name, 0)
        await one.until(lambda: one.state == "closed", "the breaker to close")
        assert one.account.describe() | {"since": 0} == {
            "state": "closed", "since": 0, "why": "", "next_probe_in": None, "spares": 0,
        }  # fmt: skip
        await one.open("one more")
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "refuses calls" in line]) == 1, said
    assert len([line for line in said if "takes calls again" in line]) == 1, said
    assert len(said) < 10, "every call says so"
    assert not [line for line in said if one.realtime.api_key in line or "://" in line]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "faults",
    [
        {"refuse_status": 404, "refuse_code": "model_not_found"},
        {"refuse_status": 404},
        {"refuse_status": 403, "refuse_code": "model_not_found"},
        {"refuse_status": 400},
    ],
    ids=["404 model", "404", "403 model", "400"],
)
async def test_a_refusal_of_one_model_or_session_stops_no_other_call(faults: dict[str, Any]) -> None:
    async with office(refuse_next=12, **faults) as one:
        for number in range(12):
            error, _ = await one.refused(f"call {number}")
            assert not error.retry
        assert one.attempts == 12
        assert one.state == "closed"
        await one.open("another")


@pytest.mark.usefixtures("impatient")
async def test_a_key_that_is_refused_is_told_at_once_and_the_call_that_was_waiting_has_its_time() -> None:
    async with office(refuse_next=-1, refuse_status=500) as one:
        waiting = asyncio.create_task(one.open("waits"))
        await one.realtime.wait_attempt()
        one.realtime.faults.refuse_status = 401
        error, _ = await one.refused("another")
        assert not error.retry
        assert one.state != "closed"
        error, seconds = await one.refused("a third")
        assert "401" in str(error)
        assert seconds < 0.5
        assert not waiting.done(), "a caller who waited was given up"
        one.realtime.faults.refuse_next = 0
        await waiting


@pytest.mark.usefixtures("impatient")
async def test_a_call_that_is_being_talked_with_waits_where_one_that_arrives_is_told_at_once() -> None:
    """Neither asks: the vendor refuses everybody. But one of them has a caller who hears a filler meanwhile."""
    async with office(refuse_next=-1, refuse_status=401) as one:
        await one.refused()
        assert one.state != "closed"
        error, seconds = await one.refused("arrives")
        assert (error.retry, seconds < 0.5) == (False, True)
        waiting = asyncio.create_task(one.open("lives", arrives=False))
        error, seconds = await one.refused("lives, and not for long", arrives=False, seconds=0.3)
        assert (error.retry, 0.25 < seconds < 1.5) == (True, True)
        assert not waiting.done()
        one.realtime.faults.refuse_next = 0
        async with asyncio.timeout(5):
            await waiting


@pytest.mark.usefixtures("impatient")
async def test_whoever_waits_is_told_when_a_probe_gets_through_and_asks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Pace, "HANDSHAKE_SECONDS", 3.0
    )  # 40 handshakes at once may take longer than a tenth of a second
    async with office(refuse_next=-1, refuse_status=429) as one:
        waiting = [asyncio.create_task(one.open(f"call {number}")) for number in range(40)]
        await one.until(lambda: one.state != "closed", "the breaker to open")
        await one.until(lambda: one.account._under_way == 0, "the last refusal")
        before = one.attempts
        one.realtime.faults.refuse_next = 0
        async with asyncio.timeout(3.0):
            await asyncio.gather(*waiting)
        assert one.attempts - before <= 40 + 2, "some call asked twice"


@pytest.mark.usefixtures("impatient")
async def test_only_one_probe_at_a_time_and_never_before_it_was_asked_for() -> None:
    async with office(refuse_next=5, retry_after="2") as one:
        waiting = [asyncio.create_task(one.open(f"call {number}")) for number in range(5)]
        await one.until(lambda: one.state == "open", "the breaker to open")
        assert 1.0 < one.account.describe()["next_probe_in"] <= 2.0
        await asyncio.gather(*waiting)
        first, probe = list(one.realtime.attempted_at)[4:6]
        assert probe - first >= 1.99, "the vendor asked for two seconds"
        assert one.attempts == 5 + 1 + 5


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_is_not_there_opens_it_as_well() -> None:
    async with office() as one:
        nowhere = "ws://127.0.0.1:1/v1/realtime?api-key=SECRET"
        for call in "ab":
            await one.refused(call, url=nowhere, seconds=1.0)
        assert one.state != "closed"
        assert one.account.describe()["why"] == "the engine cannot be reached: ConnectionRefusedError"
