"""The vendor's account, shared by all calls: decides which call may connect, and finds out when a failing vendor
recovers.

The rules are in `callflow.engines.breaker`; here are the clock, the sockets and the one task that probes. The
application makes one account for each API address and key, starts it with the server, and closes it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from typing import Any, Final

from callflow.contracts.errors import EngineError, HandshakeError
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.engines.breaker import Breaker, Pace
from callflow.engines.common import connection
from callflow.engines.common.connection import Destination
from callflow.engines.common.engine_socket import EngineSocket
from callflow.engines.common.refused_fields import RefusedFields
from callflow.engines.common.spares import Spares


log = logging.getLogger(__name__)

_NO_ANSWER: Final = "no answer came in time"
_SHORTEST_HANG: Final = 1.0
"""Seconds. A handshake ended by a call's deadline after less time is no evidence about the vendor."""
_FORGET_SECONDS: Final = 5.0
"""Interval at which the paces of calls that are connected, or over, are forgotten."""


class Account:
    """One API key at one address, shared by all calls: breaker, probes and refused fields."""

    def __init__(self, spares: int = 0) -> None:
        """`spares`: how many connections are opened ahead."""
        self._breaker = Breaker()
        self._paces: dict[str, Pace] = {}
        self._forget_at = 0.0
        """When outdated ones are forgotten, on the loop's clock."""
        self._under_way = 0
        """Number of handshakes without an answer, except late ones."""
        self._changed: asyncio.Future[None] | None = None
        """A future for waiting attempts; it is set, and replaced by a new one, whenever an attempt may proceed."""
        self._refused: Destination | None = None
        """The configuration that was refused when the breaker opened; the probes connect with it."""
        self._probing: asyncio.Task[None] | None = None
        self._since = time.time()
        self._repeats = RepeatedWarnings(log)
        self.refused_fields = RefusedFields()
        """The fields of our sessions that the vendor refuses."""
        self.spares = Spares(spares, self)
        """The connections that are opened ahead."""
        self._beside: Account | None = None
        self._is_started = False

    @property
    def beside(self) -> Account:
        """The account of the same key at the vendor's other interface: one may fail while the other does not."""
        if self._beside is None:
            self._beside = Account()
            if self._is_started:
                self._beside.start()
        return self._beside

    @property
    def is_open(self) -> bool:
        """Whether the breaker lets no call connect."""
        return self._breaker.is_open

    @property
    def why(self) -> str:
        """The last failure, in a few words, while that is so."""
        return self._breaker.why

    def describe(self) -> dict[str, Any]:
        """Return the account's state, for operators.

        {"state": "closed", "open" or "probing", "since": Unix seconds, "why": text,
        "next_probe_in": seconds, or None unless it is open, "spares": connections opened ahead,
        "beside": the same of the other interface, if any call may use it}
        """
        breaker, next_probe = self._breaker, None
        if breaker.state == "open":
            next_probe = round(max(breaker.probe_at - asyncio.get_running_loop().time(), 0.0), 1)
        return {
            "state": breaker.state,
            "since": round(self._since, 3),
            "why": breaker.why,
            "next_probe_in": next_probe,
            "spares": self.spares.count,
            **({"beside": self._beside.describe()} if self._beside is not None else {}),
        }

    def warn_left_out(self, what: str, why: str) -> None:
        """Log once for all calls that a field is left out of sessions. `why`: the vendor's message."""
        self._repeats.say(f"left out {what}", "the engine refuses %s, which is left out from here on: %s", what, why)

    async def open(self, config: Destination, call: str, *, arrives: bool) -> EngineSocket:
        """Open a connection for one session of a call, within `config.connect_seconds`. Raises EngineError.

        `arrives`: this is the call's first session. While the breaker is open, a first session is refused at once;
        later sessions of a call wait for the vendor until their time has passed, but do not connect. A first session
        gets a connection that was opened ahead, if there is one.
        """
        if arrives and (spare := self.spares.take(config)) is not None:
            return spare
        if arrives and self._breaker.is_open:
            why = f"the engine refused the connection: {self._breaker.why}; it is not asked again until a probe gets in"
            raise EngineError(why, retry=False)
        pace = self._pace(call)
        pace.users += 1
        try:
            return await _Opening(self, config, call, pace, arrives=arrives).run()
        finally:
            pace.users -= 1

    async def open_beside(self, config: Destination, call: str, url: str) -> EngineSocket:
        """Open the socket beside a call once, as soon as the breaker and the pace of that call allow it. Raises
        HandshakeError. That it is not found says nothing of the account: it may not be there yet, or not any more."""
        pace = self._pace(call)
        pace.users += 1
        try:
            while (due := pace.may_begin_at(now := _now(), self.closed_at)) > now or not self.has_room:
                await asyncio.wait([self.changed], timeout=due - now if due > now else None)
            self.began()
            try:
                socket = await connection.open_once(config, url=url)
            except HandshakeError as error:
                if error.counts:
                    pace.began(now)
                    pace.refused(_now(), error.wait, random.random())
                    self.failed(config, call, error)
                raise
            finally:
                self.answered()
            pace.began(now)
            pace.opened()
            self.succeeded()
            return socket
        finally:
            pace.users -= 1

    def start(self, ahead: Destination | None = None) -> None:
        """Start the task that probes the vendor while the breaker is open, and open spares.

        `ahead`: for calls with this configuration; None: no spares.
        """
        if ahead is not None:
            self.spares.start(ahead)
        self._is_started = True
        if self._beside is not None:
            self._beside.start()
        self._probing = self._probing or asyncio.create_task(self._probe(), name="account-probe")

    async def close(self) -> None:
        """Stop probing, and close the spares."""
        if self._beside is not None:
            await self._beside.close()
        await self.spares.close()
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    # For the attempts to connect

    @property
    def changed(self) -> asyncio.Future[None]:
        """Return a future that is set when a waiting attempt should check again."""
        if self._changed is None or self._changed.done():
            self._changed = asyncio.get_running_loop().create_future()
        return self._changed

    @property
    def has_room(self) -> bool:
        """Return whether one more attempt may begin now."""
        return self._breaker.has_room(self._under_way)

    @property
    def closed_at(self) -> float:
        """Return when the breaker last closed, by the event loop's clock; infinity while it is not closed."""
        return math.inf if self._breaker.is_open else self._breaker.closed_at

    def began(self) -> None:
        """Record that a handshake begins."""
        self._under_way += 1

    def answered(self) -> None:
        """Record that a handshake has an answer, or is late."""
        self._under_way -= 1
        self._wake()

    def succeeded(self) -> None:
        """Record that a call was connected."""
        if self._breaker.succeeded(_now()):
            self._log_closed()
        self._wake()

    def failed(self, config: Destination, call: str, error: HandshakeError) -> None:
        """Record that a call was refused, or got no answer in time."""
        if not self._breaker.failed(_now(), call, error.counts, error.why, error.wait, random.random()):
            return
        self._since, self._refused = time.time(), config
        log.error("the engine refuses calls (%s): none asks it until a probe gets through", error.why)
        self._wake()

    def warn(self, call: str, error: EngineError) -> None:
        """Log an error after which the call tries again; calls with the same error share one warning."""
        self._repeats.say(str(error), "call %s: %s; it may be asked again", call, error)

    # Inside

    def _pace(self, call: str) -> Pace:
        now = _now()
        if now >= self._forget_at:  # not for each call: the more calls there are, the longer it takes
            self._forget_at = now + _FORGET_SECONDS
            for name in [name for name, pace in self._paces.items() if pace.is_outdated(now)]:
                del self._paces[name]
        pace = self._paces.get(call)
        if pace is None or pace.is_outdated(now):
            pace = self._paces[call] = Pace()
        return pace

    async def _probe(self) -> None:
        """Connect periodically while the breaker is open, one connection at a time."""
        breaker = self._breaker
        while True:
            wait = max(breaker.probe_at - _now(), 0.0) if breaker.is_open else None
            if wait != 0:
                await asyncio.wait([self.changed], timeout=wait)
                continue
            breaker.probe_began(_now())
            assert self._refused is not None
            answer = await self._try(self._refused, breaker.probe_seconds)
            if isinstance(answer, HandshakeError):
                closed = breaker.probe_ended(_now(), answer.counts, answer.why, answer.wait, random.random())
            else:
                closed = breaker.probe_ended(_now(), "")
            if closed:
                self._log_closed()
                self._wake()
            if isinstance(answer, EngineSocket):
                await answer.close()

    async def _try(self, config: Destination, seconds: float) -> EngineSocket | HandshakeError:
        try:
            async with asyncio.timeout(seconds):
                return await connection.open_once(config)
        except TimeoutError:
            return _late()
        except HandshakeError as error:
            return error
        except Exception as error:  # an internal error must not end this task: the breaker would stay open
            log.exception("a probe of the engine failed because of an internal error")
            why = f"a probe failed: {type(error).__name__}"
            return HandshakeError(why, why, counts="one", retry=True)

    def _log_closed(self) -> None:
        log.warning("the engine takes calls again, after %.1f s", time.time() - self._since)
        self._since = time.time()

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)


class _Opening:
    """Opens one session's connection: attempts one after another, and a second attempt beside one that hangs."""

    def __init__(self, account: Account, config: Destination, call: str, pace: Pace, *, arrives: bool) -> None:
        self._account, self._config, self._call, self._pace = account, config, call, pace
        self._arrives = arrives
        self._deadline = _now() + config.connect_seconds
        self._attempts: dict[asyncio.Task[EngineSocket], float] = {}
        """Attempts without an answer, with the times of their beginnings."""
        self._late: set[asyncio.Task[EngineSocket]] = set()
        """The attempts that hang, which may still succeed."""
        self._error = "no answer came"

    async def run(self) -> EngineSocket:
        """Return the first connection that succeeds. Raises EngineError."""
        seconds = self._config.connect_seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._open()
        except TimeoutError:
            for task in self._begun_before(_now() - min(_SHORTEST_HANG, seconds / 2)):
                self._count_late(task)
            raise EngineError(f"no connection to the engine within {seconds:g} s; {self._error}") from None
        finally:
            await self._drop()

    async def _open(self) -> EngineSocket:
        account, pace = self._account, self._pace
        while True:
            now = _now()
            due = pace.may_begin_at(now, account.closed_at)
            if due <= now and account.has_room:
                self._begin(now)
                continue
            if self._arrives and due > self._deadline and not self._attempts:
                # The next attempt would come too late, so fail now: the caller hears the apology sooner. (In a running
                # call the caller hears a filler meanwhile, so waiting costs nothing.)
                raise EngineError(self._error, retry=False)
            times = [due] if due > now else []
            times += [self._attempts[task] + pace.HANDSHAKE_SECONDS for task in self._attempts.keys() - self._late]
            timeout = max(min(times) - now, 0.0) if times else None
            ends: set[asyncio.Future[Any]] = {*self._attempts, account.changed}
            await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in self._attempts if task.done()]:
                if (connection := self._take(task)) is not None:
                    return connection
            for task in self._begun_before(_now() - pace.HANDSHAKE_SECONDS):
                pace.hangs(_now())
                self._count_late(task)
                account.warn(self._call, _late())

    def _begin(self, now: float) -> None:
        self._pace.began(now)
        self._account.began()
        work = connection.open_once(self._config)
        self._attempts[asyncio.create_task(work, name=f"engine-handshake {self._call}")] = now

    def _take(self, task: asyncio.Task[EngineSocket]) -> EngineSocket | None:
        """Return the connection of an ended attempt; None: the attempt was refused and may be repeated.

        Raises EngineError."""
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
        self._error = str(error)
        self._pace.refused(_now(), error.wait, random.random())
        if not was_late:  # a late attempt was counted when it became late
            account.failed(self._config, self._call, error)
        if not error.retry:
            raise error
        account.warn(self._call, error)
        return None

    def _begun_before(self, moment: float) -> list[asyncio.Task[EngineSocket]]:
        """Return the attempts without an answer that began at this time or earlier, except late ones."""
        return [task for task, began in self._attempts.items() if began <= moment and task not in self._late]

    def _count_late(self, task: asyncio.Task[EngineSocket]) -> None:
        """Count a hanging attempt as a failure. The attempt may still succeed, but no other attempt waits for it."""
        self._late.add(task)
        self._account.answered()
        self._account.failed(self._config, self._call, _late())

    def _forget(self, task: asyncio.Task[EngineSocket]) -> None:
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
                task.result().transport.abort()  # another attempt was quicker, or the call has ended


async def open_socket(config: Destination, call: str, account: Account, *, arrives: bool = True) -> EngineSocket:
    """See `Account.open`."""
    return await account.open(config, call, arrives=arrives)


def _late() -> HandshakeError:
    return HandshakeError(_NO_ANSWER, _NO_ANSWER, counts="one", retry=True)


def _now() -> float:
    return asyncio.get_running_loop().time()
