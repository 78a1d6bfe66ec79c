"""The deadlines of one call: each a timer of its name, whose end is an event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from callflow.contracts.events import DeadlinePassed, Event


_LEAST_SHARE: Final = 0.25
"""Of a shared time: with less left than that nothing is begun any more."""
_FORGOTTEN: Final = 2.0
"""After so many times its length a shared time begins anew: what has held for so long was no part of it."""


class Deadlines:
    def __init__(self, post: Callable[[Event], None]) -> None:
        self._post = post
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._elapsed: dict[str, float] = {}
        self._began: dict[str, float] = {}
        """When the first of those began that share their time."""

    def restore(self, elapsed: Mapping[str, float]) -> None:
        """Seconds of these passed in another process: the next time that one is armed, it is so much shorter."""
        self._elapsed = dict(elapsed)

    def arm(self, name: str, seconds: float, *, shared: bool = False) -> None:
        """Start it, again if it runs. `shared`: until `settled`, one that is armed anew has what is left of the first
        one's time: what comes and goes is not waited for time and again."""
        self.disarm(name)
        left = max(seconds - self._elapsed.pop(name, 0.0), 0.0)
        if shared:
            now = self._loop.time()
            began = self._began.get(name, now)
            if now - began >= seconds * _FORGOTTEN:
                began = now
            self._began[name] = began
            left = min(left, began + seconds - now)
            left = left if left >= seconds * _LEAST_SHARE else 0.0
        self._timers[name] = self._loop.call_later(left, self._post, DeadlinePassed(deadline=name))

    def settled(self, name: str) -> None:
        """Next time it has all its time again."""
        self._began.pop(name, None)

    def disarm(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def clear(self) -> None:
        for name in list(self._timers):
            self.disarm(name)
