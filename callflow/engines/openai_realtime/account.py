"""The vendor's account that all calls share: who may ask it now, and whether it is back.

The rules are in `callflow.engines.breaker`; here are the clock, the sockets and the one task that probes. Whoever wires
the house makes one account for each API base and key, starts it with the server, and closes it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from typing import Any, Final

from websockets.asyncio.client import ClientConnection

from callflow.contracts.errors import EngineError, HandshakeError
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.engines.breaker import Breaker, Pace
from callflow.engines.openai_realtime import connection as realtime_socket
from callflow.engines.openai_realtime import session_refusal
from callflow.engines.openai_realtime.session_config import RealtimeConfig


log = logging.getLogger(__name__)

_NO_ANSWER: Final = "no answer came in time"
_LEAST_HANG: Final = 1.0
"""Seconds: a handshake that a call's deadline cuts off before that says nothing about the vendor."""


class Account:
    def __init__(self) -> None:
        self._breaker = Breaker()
        self._paces: dict[str, Pace] = {}
        self._under_way = 0
        """Handshakes that have had no answer, and are not late yet."""
        self._news: asyncio.Future[None] | None = None
        """Done, and another in its place, whenever somebody who waits may go on."""
        self._refused: RealtimeConfig | None = None
        """What was asked when the breaker opened: the probes ask for the same."""
        self._probing: asyncio.Task[None] | None = None
        self._since = time.time()
        self._repeats = RepeatedWarnings(log)
        self.left_out = session_refusal.Memory()
        """What the vendor refuses of our sessions."""

    def describe(self) -> dict[str, Any]:
        """For operators: how the account is, since when and why, and when it is asked next."""
        breaker, next_probe = self._breaker, None
        if breaker.state == "open":
            next_probe = round(max(breaker.probe_at - asyncio.get_running_loop().time(), 0.0), 1)
        return {
            "state": breaker.state,
            "since": round(self._since, 3),
            "why": breaker.why,
            "next_probe_in": next_probe,
        }

    def say_left_out(self, what: str, why: str) -> None:
        self._repeats.say(f"left out {what}", "the engine refuses %s, which is left out from here on: %s", what, why)

    async def open(self, config: RealtimeConfig, call: str, *, arrives: bool) -> ClientConnection:
        """A connection for one session of a call, within `config.connect_seconds`. Raises EngineError.

        `arrives`: it is the call's first session. Where all are refused such a call is told so at once. Others, whose
        caller is being talked with or was already waiting, wait out their time: for the vendor, but without asking.
        """
        if arrives and self._breaker.is_open:
            why = f"the engine refused the connection: {self._breaker.why}; it is not asked again until a probe gets in"
            raise EngineError(why, retry=False)
        pace = self._pace(call)
        pace.users += 1
        try:
            return await _Opening(self, config, call, pace, arrives=arrives).run()
        finally:
            pace.users -= 1

    def start(self) -> None:
        """Find out from now on when a vendor that refuses is back."""
        self._probing = self._probing or asyncio.create_task(self._probe(), name="account-probe")

    async def close(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    # What those who open sockets tell and ask

    @property
    def news(self) -> asyncio.Future[None]:
        if self._news is None or self._news.done():
            self._news = asyncio.get_running_loop().create_future()
        return self._news

    @property
    def has_room(self) -> bool:
        return self._breaker.has_room(self._under_way)

    @property
    def closed_at(self) -> float:
        """When calls were last let through again, by the loop's clock; while none is, that may be at any moment."""
        return math.inf if self._breaker.is_open else self._breaker.closed_at

    def began(self) -> None:
        self._under_way += 1

    def answered(self) -> None:
        """There was an answer, or it is late."""
        self._under_way -= 1
        self._wake()

    def succeeded(self) -> None:
        if self._breaker.succeeded(_now()):
            self._tell_closed()
        self._wake()

    def failed(self, config: RealtimeConfig, call: str, error: HandshakeError) -> None:
        if not self._breaker.failed(_now(), call, error.counts, error.why, error.wait, random.random()):
            return
        self._since, self._refused = time.time(), config
        log.error("the engine refuses calls (%s): none asks it until a probe gets through", error.why)
        self._wake()

    def trouble(self, call: str, error: EngineError) -> None:
        """It may be tried again; said once for all calls that have the same."""
        self._repeats.say(str(error), "call %s: %s; it may be asked again", call, error)

    # Inside

    def _pace(self, call: str) -> Pace:
        now = _now()
        for name in [name for name, pace in self._paces.items() if pace.is_forgotten(now)]:
            del self._paces[name]
        return self._paces.setdefault(call, Pace())

    async def _probe(self) -> None:
        """While the breaker is open, ask now and then, one at a time."""
        breaker = self._breaker
        while True:
            wait = max(breaker.probe_at - _now(), 0.0) if breaker.is_open else None
            if wait != 0:
                await asyncio.wait([self.news], timeout=wait)
                continue
            breaker.probe_began(_now())
            assert self._refused is not None
            answer = await self._ask(self._refused, breaker.probe_patience)
            if isinstance(answer, HandshakeError):
                closed = breaker.probe_ended(_now(), answer.counts, answer.why, answer.wait, random.random())
            else:
                closed = breaker.probe_ended(_now(), "")
            if closed:
                self._tell_closed()
                self._wake()
            if isinstance(answer, ClientConnection):
                await answer.close()

    async def _ask(self, config: RealtimeConfig, seconds: float) -> ClientConnection | HandshakeError:
        try:
            async with asyncio.timeout(seconds):
                return await realtime_socket.open_once(config)
        except TimeoutError:
            return _late()
        except HandshakeError as error:
            return error
        except Exception as error:  # a fault of our own: nobody else would ever look after the breaker
            log.exception("a probe of the engine failed through a fault of our own")
            why = f"a probe failed: {type(error).__name__}"
            return HandshakeError(why, why, counts="one", retry=True)

    def _tell_closed(self) -> None:
        log.warning("the engine takes calls again, after %.1f s", time.time() - self._since)
        self._since = time.time()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class _Opening:
    """One session's connection being opened: attempts one after the other, and beside one that hangs."""

    def __init__(self, account: Account, config: RealtimeConfig, call: str, pace: Pace, *, arrives: bool) -> None:
        self._account, self._config, self._call, self._pace = account, config, call, pace
        self._arrives = arrives
        self._deadline = _now() + config.connect_seconds
        self._attempts: dict[asyncio.Task[ClientConnection], float] = {}
        """When each of those without an answer was begun."""
        self._late: set[asyncio.Task[ClientConnection]] = set()
        """Those of them that nobody counts on any more, and that may yet be answered."""
        self._trouble = "no answer came"

    async def run(self) -> ClientConnection:
        """Raises EngineError."""
        seconds = self._config.connect_seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._open()
        except TimeoutError:
            for task in self._waiting(_now() - min(_LEAST_HANG, seconds / 2)):
                self._give_up(task)
            raise EngineError(f"no connection to the engine within {seconds:g} s; {self._trouble}") from None
        finally:
            await self._drop()

    async def _open(self) -> ClientConnection:
        account, pace = self._account, self._pace
        while True:
            now = _now()
            due = pace.may_begin_at(now, account.closed_at)
            if due <= now and account.has_room:
                self._begin(now)
                continue
            if self._arrives and due > self._deadline and not self._attempts:
                # Nobody waits for an attempt that would come too late. (A live call does: its caller hears a filler,
                # and its next session in line is not to be given up for it.)
                raise EngineError(self._trouble, retry=False)
            times = [due] if due > now else []
            times += [self._attempts[task] + pace.PATIENCE for task in self._attempts.keys() - self._late]
            timeout = max(min(times) - now, 0.0) if times else None
            ends: set[asyncio.Future[Any]] = {*self._attempts, account.news}
            await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in self._attempts if task.done()]:
                if (connection := self._take(task)) is not None:
                    return connection
            for task in self._waiting(_now() - pace.PATIENCE):
                pace.hangs(_now())
                self._give_up(task)
                account.trouble(self._call, _late())

    def _begin(self, now: float) -> None:
        self._pace.began(now)
        self._account.began()
        work = realtime_socket.open_once(self._config)
        self._attempts[asyncio.create_task(work, name=f"engine-handshake {self._call}")] = now

    def _take(self, task: asyncio.Task[ClientConnection]) -> ClientConnection | None:
        """None: it was refused, and may be tried again. Raises EngineError."""
        account = self._account
        error = task.exception()
        if error is None:
            account.succeeded()
            self._pace.opened()
            self._forget(task)
            return task.result()
        was_late = task in self._late
        self._forget(task)
        if not isinstance(error, HandshakeError):
            raise error
        self._trouble = str(error)
        self._pace.refused(_now(), error.wait, random.random())
        if not was_late:  # else that was counted
            account.failed(self._config, self._call, error)
        if not error.retry:
            raise error
        account.trouble(self._call, error)
        return None

    def _waiting(self, since: float) -> list[asyncio.Task[ClientConnection]]:
        """The attempts that have had no answer since then."""
        return [task for task, began in self._attempts.items() if began <= since and task not in self._late]

    def _give_up(self, task: asyncio.Task[ClientConnection]) -> None:
        """It is late. It may be answered all the same, but nothing waits for that."""
        self._late.add(task)
        self._account.answered()
        self._account.failed(self._config, self._call, _late())

    def _forget(self, task: asyncio.Task[ClientConnection]) -> None:
        del self._attempts[task]
        if task not in self._late:
            self._account.answered()
        self._late.discard(task)

    async def _drop(self) -> None:
        left = list(self._attempts)
        for task in left:
            self._forget(task)
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for task in left:
            if not task.cancelled() and task.exception() is None:
                task.result().transport.abort()  # another was quicker, or the caller has gone


async def open_socket(config: RealtimeConfig, call: str, account: Account, *, arrives: bool = True) -> ClientConnection:
    """See `Account.open`."""
    return await account.open(config, call, arrives=arrives)


def _late() -> HandshakeError:
    return HandshakeError(_NO_ANSWER, _NO_ANSWER, counts="one", retry=True)


def _now() -> float:
    return asyncio.get_running_loop().time()
