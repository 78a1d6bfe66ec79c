"""Connections opened ahead, over real sockets: whose they are, how many, for how long, and what the vendor may do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from callflow.contracts.errors import EngineError
from callflow.engines.common import spares
from callflow.engines.common.account import Account
from callflow.engines.common.engine_socket import EngineSocket
from callflow.engines.openai_realtime.session_config import RealtimeConfig
from callflow.sandbox.openai_realtime import Faults, Quirks, Realtime
from tests.configs import realtime_config


pytestmark = pytest.mark.e2e


class Office:
    """An account that opens connections ahead, and its vendor."""

    def __init__(self, realtime: Realtime, most: int) -> None:
        self.realtime, self.account = realtime, Account(most)
        self.opened: list[EngineSocket] = []
        self.stuck = 0
        """Sessions that the vendor does not end, whatever the client does."""

    def config(self, **chosen: Any) -> RealtimeConfig:
        usual = {"api_key": self.realtime.api_key, "url": self.realtime.url, "connect_seconds": 1.0}
        return realtime_config(**usual | chosen)

    async def open(self, **chosen: Any) -> bool:
        """Open a connection for a first session. Returns whether it had been opened ahead."""
        had = self.realtime.connections_attempted
        socket = await self.account.open(self.config(**chosen), "call", arrives=True)
        self.opened.append(socket)
        return self.realtime.connections_attempted == had

    async def until(self, condition: Callable[[], object], what: str, seconds: float = 5.0) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():  # noqa: ASYNC110 - conditions of several packages, without an event
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"waited {seconds:g} s for {what}") from None

    async def has(self, count: int) -> None:
        await self.until(lambda: self.account.spares.count == count, f"{count} spares")

    @property
    def live(self) -> int:
        return sum(not session.closed for session in self.realtime.sessions)


@contextlib.asynccontextmanager
async def office(
    most: int, *, ahead: bool = True, quirks: Quirks | None = None, **faults: Any
) -> AsyncIterator[Office]:
    async with Realtime(faults=Faults(**faults), quirks=quirks) as realtime:
        one = Office(realtime, most)
        one.account.start(one.config() if ahead else None)
        try:
            yield one
        finally:
            await one.account.close()
            assert one.account.spares.count == 0
            await one.until(lambda: one.live <= len(one.opened) + one.stuck, "the spares to be closed")
            assert one.account._under_way == 0, "an attempt is counted for ever"
            for socket in one.opened:
                await socket.close()


async def received(socket: EngineSocket, count: int = 1) -> list[dict[str, Any]]:
    """The first events that come on a connection, from its beginning on."""
    got: list[dict[str, Any]] = []
    done = asyncio.Event()

    def take(message: bytes) -> None:
        got.append(json.loads(message))
        if len(got) == count:
            done.set()

    socket.start(take, lambda reason: done.set(), write_seconds=5, most_waiting=1 << 20)
    async with asyncio.timeout(5):
        await done.wait()
    return got


async def test_a_first_session_gets_a_connection_that_is_there_with_all_that_came_on_it() -> None:
    async with office(1) as one:
        await one.has(1)
        assert await one.open()
        (created,) = await received(one.opened[0])
        assert created["type"] == "session.created"
        assert one.opened[0].ping_interval == 3
        await one.has(1)
        assert len(one.realtime.sessions) == 2, "another has taken its place"


async def test_without_the_setting_and_before_the_start_there_are_none() -> None:
    async with office(0) as none, office(1, ahead=False) as not_yet:
        for one in (none, not_yet):
            assert not await one.open()
            assert len(one.realtime.sessions) == 1


async def test_a_later_session_of_a_call_leaves_them_to_the_next_caller() -> None:
    async with office(1) as one:
        await one.has(1)
        one.opened.append(await one.account.open(one.config(), "call", arrives=False))
        assert len(one.realtime.sessions) == 2
        assert one.account.spares.count == 1


@pytest.mark.parametrize("other", [{"model": "gpt-realtime-mini"}, {"api_key": "sk-other"}, {"url": "?a=1"}], ids=str)
async def test_a_connection_is_for_its_own_address_model_and_key_alone(other: dict[str, str]) -> None:
    async with office(1) as one:
        await one.has(1)
        if "url" in other:
            other = {"url": one.realtime.url + other["url"]}
        if "api_key" in other:
            with pytest.raises(EngineError):
                await one.open(**other)
        else:
            assert not await one.open(**other)
            await one.until(lambda: len(one.realtime.sessions) == 3, "one for the next of these callers")
            await one.has(1)
            assert await one.open(**other)


async def test_there_are_never_more_than_the_setting_says_however_many_call() -> None:
    async with office(3) as one:
        await one.has(3)
        assert [await one.open() for _ in range(3)] == [True] * 3
        for _ in range(20):
            await one.open()
            assert one.live <= len(one.opened) + 3
        await one.has(3)
        assert one.live == len(one.opened) + 3


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_connection_that_breaks_is_noticed_and_replaced(how: str) -> None:
    async with office(1) as one:
        await one.has(1)
        broken = one.realtime.sessions[0]
        broken.drop() if how == "reset" else await broken._socket.close(1001, "going away")
        await one.has(0)
        assert not await one.open(), "the caller has one of their own, at once"
        await one.until(lambda: len(one.realtime.sessions) >= 3, "another")
        await one.has(1)


async def test_a_connection_whose_server_hangs_is_noticed_by_its_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares, "_PING_SECONDS", 0.1)
    async with office(1, freeze_after_s=0.1, only_connections=[1]) as one:
        one.stuck = 1
        await one.until(lambda: len(one.realtime.sessions) >= 2, "another in its place")
        await one.has(1)
        assert await one.open()
        assert one.opened[0].is_open


async def test_a_connection_is_replaced_before_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares, "_MOST_AGE", 0.2)
    monkeypatch.setattr(spares, "_LEAST_AGE", 0.1)
    async with office(1) as one:
        await one.until(lambda: len(one.realtime.sessions) >= 3, "the third")
        codes = [1000, 1000]
        await one.until(lambda: [each.close_code for each in one.realtime.sessions[:2]] == codes, "their end")


async def test_a_caller_who_comes_while_a_connection_is_replaced_gets_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spares, "_MOST_AGE", 0.2)
    monkeypatch.setattr(spares, "_LEAST_AGE", 0.1)
    async with office(1) as one:
        await one.has(1)
        one.realtime.faults.hang_next = 1
        await one.realtime.wait_attempt(2)
        assert await one.open(), "the old one is gone, and the new one not there yet"
        assert one.opened[0].is_open
        one.realtime.faults.hang_next = 0
        await one.has(1)


async def test_while_connections_are_replaced_none_is_lacking_and_one_more_is_open_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spares, "_MOST_AGE", 0.3)
    monkeypatch.setattr(spares, "_LEAST_AGE", 0.1)
    async with office(2) as one:
        await one.has(2)

        def go_on() -> bool:
            assert one.account.spares.count >= 2
            assert one.live <= 3
            return len(one.realtime.sessions) >= 8

        await one.until(go_on, "three for each of them")


async def test_an_old_connection_is_given_up_when_no_other_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares, "_MOST_AGE", 0.2)
    monkeypatch.setattr(spares, "_LEAST_AGE", 0.1)
    async with office(1) as one:
        await one.has(1)
        one.realtime.faults.refuse_next = -1
        await one.has(0)
        await one.until(lambda: one.realtime.sessions[0].close_code == 1000, "its end")


async def test_a_session_that_lives_short_is_kept_for_a_tenth_of_its_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares, "_LEAST_AGE", 0.1)
    async with office(1, quirks=Quirks(expires_at_in=3)) as one:
        await one.until(lambda: len(one.realtime.sessions) >= 3, "the third")


@pytest.mark.parametrize("faults", [{"refuse_next": -1}, {"drop_after_s": 0.01}], ids=["handshake", "later"])
async def test_a_vendor_who_refuses_is_asked_less_and_less_often(faults: dict[str, Any]) -> None:
    async with office(1, retry_after="", **faults) as one:
        await one.realtime.wait_attempt(2)
        first, second = list(one.realtime.attempted_at)[:2]
        assert second - first > 0.9
        assert one.account.describe()["state"] == "closed", "that is for calls to find out"
        one.account.spares._again = 0.0  # so that nobody has to wait
        one.account.spares._wake.set()
        await one.realtime.wait_attempt(3)
        await one.until(lambda: one.account.spares._again > asyncio.get_running_loop().time() + 2, "a longer pause")


async def test_nothing_is_opened_while_the_breaker_is_open() -> None:
    async with office(1, ahead=False, refuse_next=-1, refuse_status=401) as one:
        with pytest.raises(EngineError):
            await one.open()
        assert one.account.describe()["state"] == "open"
        one.account.spares.start(one.config())
        one.account.spares._wake.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert one.realtime.connections_attempted == 1
        one.realtime.faults.refuse_next = 0
        await one.has(1)
        assert one.account.describe()["state"] == "closed", "a probe was first"


async def test_what_a_server_sends_to_a_spare_is_bounded() -> None:
    async with office(1) as one:
        await one.has(1)
        (session,) = one.realtime.sessions
        for _ in range(2000):
            session.send({"type": "rate_limits.updated", "rate_limits": []})
        await one.until(lambda: len(one.realtime.sessions) > 1, "another: this one's pings have no answer", 10)
