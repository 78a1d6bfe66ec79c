"""The 20 ms clock of all audio, and the signal that something has changed."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

from callflow.media.g711 import FRAME_MS


log = logging.getLogger(__name__)


class Signal:
    """Wakes up everything that waits for a condition. Call it after each change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, condition: Callable[[], object], timeout: float | None, story: Callable[[], str]) -> None:
        """Wait until the condition holds. Raises TimeoutError after `timeout` seconds (None: never), with `story()`."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    await self._event.wait()
        except TimeoutError:
            raise TimeoutError(f"not within {timeout:g} s: {story()}") from None


class Ticking(Protocol):
    """A client of the pacer. Times are `time.monotonic()` seconds."""

    next_tick: float

    def tick(self, at: float) -> None:
        """Do what is due at `at`, a time on the client's 20 ms schedule, which may have passed already."""


class Pacer:
    """The one clock of all audio: it ticks every client each 20 ms, on a schedule per client that never drifts.

    Clients start on a 5 ms grid, so that many calls share few timer wake-ups and are still spread over the 20 ms. A
    client whose tick raises is removed, and the error is appended to `failures`.
    """

    TICK_S: Final = FRAME_MS / 1000
    GRID_S: Final = 0.005

    def __init__(self, failures: list[BaseException]) -> None:
        self._clients: dict[Ticking, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._failures = failures
        self._first: dict[Ticking, tuple[float, int]] = {}

    def __contains__(self, client: Ticking) -> bool:
        return client in self._clients

    def add(self, client: Ticking) -> None:
        """Start ticking a client, from the next point of the 5 ms grid on. Adding it again changes nothing."""
        if client not in self._clients:
            first = (math.floor(monotonic() / self.GRID_S) + 1) * self.GRID_S
            client.next_tick = first
            self._first[client] = (first, 0)
            self._clients[client] = None
            self._arm()

    def remove(self, client: Ticking) -> None:
        """Stop ticking a client. One that is not there is ignored."""
        self._clients.pop(client, None)
        self._first.pop(client, None)

    def close(self) -> None:
        """Remove all clients and stop the timer."""
        self._clients.clear()
        self._first.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._clients:
            wait = min(client.next_tick for client in self._clients) - monotonic()
            # uvloop counts in whole milliseconds, to the nearest: a timer that is early would be set again and again.
            wait = math.ceil(max(0.0, wait) * 1000) / 1000
            self._timer = asyncio.get_running_loop().call_later(wait, self._run)

    def _run(self) -> None:
        self._timer = None
        now = monotonic()
        for client in tuple(self._clients):
            while client in self._clients and client.next_tick <= now:
                at = client.next_tick
                first, count = self._first[client]
                self._first[client] = (first, count + 1)
                client.next_tick = first + (count + 1) * self.TICK_S
                try:
                    client.tick(at)
                except Exception as error:
                    log.exception("a tick failed")
                    self._failures.append(error)
                    self.remove(client)
        self._arm()
