"""The deadlines of one call: named timers, each of which posts `DeadlinePassed` when its time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from callflow.contracts.events import DeadlinePassed, Event
from callflow.timers import Timers


_LEAST_SHARE: Final = 0.25
"""Part of a shared time: with less than that left, nothing new is begun."""
_FORGOTTEN: Final = 2.0
"""After so many times its length a shared time begins anew: an attempt that began so long ago has ended long since."""


class Deadlines:
    """The running deadlines of one call, by name. How long each is, the caller of `arm` says."""

    def __init__(self, post: Callable[[Event], None]) -> None:
        """`post`: takes the event when a deadline has passed."""
        self._post = post
        self._loop = asyncio.get_running_loop()
        self._timers = Timers(self._loop)
        self._elapsed: dict[str, float] = {}
        self._began: dict[str, float] = {}
        """By deadline: when the first attempt began of those that share its time."""

    def restore(self, elapsed: Mapping[str, float]) -> None:
        """Count seconds that have passed in another process: the next `arm` of that name waits so much less."""
        self._elapsed = dict(elapsed)

    def arm(self, name: str, seconds: float, *, shared: bool = False) -> None:
        """Start the deadline; one of this name that is running is replaced.

        `shared`: attempts that follow each other share `seconds`, counted from the first one, until `settled` is
        called. An engine that connects and breaks again and again therefore gets no more time than one that never
        connects.
        """
        left = max(seconds - self._elapsed.pop(name, 0.0), 0.0)
        if shared:
            now = self._loop.time()
            began = self._began.get(name, now)
            if now - began >= seconds * _FORGOTTEN:
                began = now
            self._began[name] = began
            left = min(left, began + seconds - now)
            left = left if left >= seconds * _LEAST_SHARE else 0.0
        self._timers.start(name, left, self._post, DeadlinePassed(deadline=name))

    def settled(self, name: str) -> None:
        """End the sharing of this deadline's time: the next `arm` has all of it again."""
        self._began.pop(name, None)

    def disarm(self, name: str) -> None:
        """Stop the deadline, if it is running."""
        self._timers.stop(name)

    def close(self) -> None:
        """Stop all deadlines, for good: the call is over."""
        self._timers.close()
