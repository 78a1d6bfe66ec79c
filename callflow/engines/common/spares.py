"""Connections to the model that are opened ahead, so that no caller waits for names, TCP, TLS and the handshake.

A spare is an open WebSocket on which nothing was sent; what the server has sent (`session.created`) waits in it, and
the call that takes it configures its session as on a connection of its own. Only a call with the same address, model
and key gets it. Spares are opened one at a time, for what the last calls had, and never while the account's breaker is
open. One that is too old, or that the last calls had no use for, stays until another is there in its place.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from callflow.contracts.errors import HandshakeError
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.engines.common import connection
from callflow.engines.common.connection import Destination
from callflow.engines.common.engine_socket import EngineSocket


log = logging.getLogger(__name__)

_MOST_AGE: Final = 180.0
"""Seconds after which a spare is replaced. A session's hour begins with its connection, and a call whose session was
older would be moved to another session earlier."""
_MOST_SHARE: Final = 0.1
"""The same, as a share of the session's life, for a server whose sessions live shorter."""
_LEAST_AGE: Final = 10.0
"""No spare is replaced sooner for its age, so that no server is asked again and again."""
_PING_SECONDS: Final = 1.0
"""A spare whose server hangs is noticed within twice this time."""
_SOUND_SECONDS: Final = 30.0
"""A spare that the server closes sooner counts as refused."""
_MOST_PAUSE: Final = 60.0
"""The pause after a refusal is one second, and doubles with each, up to this."""
_LOOK_SECONDS: Final = 1.0
"""How soon it is looked again whether the account has room for another handshake."""
_REST_SECONDS: Final = 10.0
"""The same, whether a spare is too old."""


class Gate(Protocol):
    """The account, as the spares use it."""

    @property
    def has_room(self) -> bool:
        """Whether one more handshake may begin now."""

    @property
    def changed(self) -> asyncio.Future[None]:
        """A future that is set when that may have changed."""

    def began(self) -> None:
        """Record that a handshake begins."""

    def answered(self) -> None:
        """Record that a handshake has an answer, or is given up."""


@dataclass(eq=False, slots=True)
class _Spare:
    socket: EngineSocket
    key: tuple[str, str]
    opened: float
    """On the loop's clock."""
    watch: asyncio.Task[None]
    """Done when the connection has ended."""
    opening_seconds: float
    """How long the opening of another may take, for which a caller gets this one still."""
    fresh_until: float | None = None
    """On the loop's clock; None: not known yet."""


class Spares:
    """The connections opened ahead: `most` of them, with those being opened, and one more while it is replaced, so that
    no caller comes too late for the old one and too early for the new one."""

    def __init__(self, most: int, gate: Gate) -> None:
        """`most`: 0 for none."""
        self._most, self._gate = most, gate
        self._spares: list[_Spare] = []
        self._asked: deque[Destination] = deque(maxlen=most)
        """The configurations of the last calls, one for each spare: what the next calls will need."""
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._failures = 0
        self._again = 0.0
        """When the next handshake may begin, after a refusal."""
        self._repeats = RepeatedWarnings(log)

    @property
    def count(self) -> int:
        """How many are there, ready to be taken."""
        return sum(spare.socket.is_open for spare in self._spares)

    def start(self, config: Destination) -> None:
        """Open spares from now on, at first for calls with this configuration. A loop must be running."""
        if self._most and self._task is None:
            self._asked.extend([config] * self._most)
            self._task = asyncio.create_task(self._keep(), name="engine-spares")

    def take(self, config: Destination) -> EngineSocket | None:
        """Return an open connection for a call with this configuration, which owns it from then on; None: there is
        none. Never waits."""
        if self._task is None:
            return None
        self._asked.append(config)
        self._wake.set()
        key, now = _key(config), _now()
        for spare in self._spares:
            if spare.key == key and spare.socket.is_open and now < self._good_until(spare):
                self._spares.remove(spare)
                spare.watch.cancel()
                spare.socket.ping_interval = spare.socket.ping_timeout = connection.PING_SECONDS
                self._failures = 0
                return spare.socket
        return None

    async def close(self) -> None:
        """Close all spares, and open no others. May be called more than once."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for spare in list(self._spares):
            self._drop(spare)
        await asyncio.gather(*self._closing, return_exceptions=True)

    # Inside

    async def _keep(self) -> None:
        while True:
            self._wake.clear()
            self._drop_useless()
            kept, now = self._kept(), _now()
            surplus = [spare for spare in self._spares if spare not in kept]
            wanted = self._lacking(kept)
            if wanted is None:
                for spare in surplus:
                    self._drop(spare)
                await self._wait(min([self._fresh_until(spare) - now for spare in kept] + [_REST_SECONDS]))
            elif now < self._again:
                await self._wait(min([self._good_until(spare) - now for spare in surplus] + [self._again - now]))
            elif len(self._spares) + len(self._closing) > self._most:
                if not self._closing:
                    self._drop(min(surplus, key=lambda spare: spare.key in map(_key, self._asked)))
                await asyncio.wait(self._closing)
            elif not self._gate.has_room:
                await asyncio.wait([self._gate.changed], timeout=_LOOK_SECONDS)
            else:
                await self._open(wanted)

    async def _wait(self, seconds: float) -> None:
        """Wait until something has changed, at most this many seconds."""
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _drop_useless(self) -> None:
        """Drop what no caller gets any more: it is broken, or too old even while another is opened."""
        now = _now()
        for spare in list(self._spares):
            if not spare.socket.is_open:
                if now - spare.opened < _SOUND_SECONDS:
                    self._failed("the server closed it again")
                self._drop(spare)
            elif now >= self._good_until(spare):
                self._drop(spare)

    def _kept(self) -> list[_Spare]:
        """Return those that need no other in their place: of an address and a key that the last calls had, and not too
        old."""
        now, kept = _now(), []
        wanted = [_key(config) for config in self._asked]
        for spare in reversed(self._spares):
            if spare.key in wanted and now < self._fresh_until(spare):
                wanted.remove(spare.key)
                kept.append(spare)
        return kept

    def _lacking(self, kept: list[_Spare]) -> Destination | None:
        have = [spare.key for spare in kept]
        for config in reversed(self._asked):
            if _key(config) not in have:
                return config
            have.remove(_key(config))
        return None

    async def _open(self, config: Destination) -> None:
        self._gate.began()
        try:
            async with asyncio.timeout(config.connect_seconds):
                socket = await connection.open_once(config, ping_seconds=_PING_SECONDS)
        except HandshakeError as error:
            self._failed(str(error), error.wait)
        except TimeoutError:
            self._failed("no answer came in time")
        except Exception as error:  # an internal error must not end this task
            log.exception("a connection to the engine cannot be opened ahead because of an internal error")
            self._failed(type(error).__name__)
        else:
            watch = asyncio.create_task(socket.wait_closed(), name="engine-spare")
            watch.add_done_callback(lambda _: self._wake.set())
            self._spares.append(_Spare(socket, _key(config), _now(), watch, config.connect_seconds))
        finally:
            self._gate.answered()

    def _failed(self, why: str, wait: float = 0.0) -> None:
        pause = max(min(2.0**self._failures, _MOST_PAUSE), wait)
        self._failures = min(self._failures + 1, 10)
        self._again = _now() + pause
        self._repeats.say(why, "no connection to the engine can be opened ahead: %s", why)

    def _good_until(self, spare: _Spare) -> float:
        return self._fresh_until(spare) + spare.opening_seconds

    def _fresh_until(self, spare: _Spare) -> float:
        if spare.fresh_until is not None:
            return spare.fresh_until
        usual = spare.opened + _MOST_AGE
        first = spare.socket.first_waiting
        if first is None:  # not known yet, and some servers never tell
            return usual
        left = _expires_at(first) - (time.time() - spare.socket.clock_ahead)
        spare.fresh_until = max(min(usual, _now() + left * _MOST_SHARE), spare.opened + _LEAST_AGE)
        return spare.fresh_until

    def _drop(self, spare: _Spare) -> None:
        self._spares.remove(spare)
        spare.watch.cancel()
        task = asyncio.create_task(connection.shut(spare.socket), name="engine-spare-close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _First(msgspec.Struct):
    """The first event of a session, as far as it matters here."""

    session: Any = None


_read_first: Final = msgspec.json.Decoder(_First).decode


def _key(config: Destination) -> tuple[str, str]:
    """Return all that decides whom a connection reaches, and as whom."""
    return config.address, config.api_key


def _expires_at(message: bytes) -> float:
    """Return when a session ends, by its `session.created`, in Unix time; infinity if it does not say so.

    Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/session/created
    """
    try:
        session: Any = _read_first(message).session
        expires = session.get("expires_at") if isinstance(session, dict) else None
        return float(expires) if isinstance(expires, (int, float)) and expires > 0 else math.inf
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return math.inf


def _now() -> float:
    return asyncio.get_running_loop().time()
