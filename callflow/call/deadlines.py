"""The deadlines of one call: named timers, each of which posts `DeadlinePassed` when its time is over."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Final

from callflow.contracts.events import DeadlinePassed, Event
from callflow.timers import Timers


COUNTED: Final = ("warning", "call")
"""The parts of a call's time limit: what was over when one was stopped is over when it is armed again, so that a caller
who comes back from a person has no second time limit."""
GO_ON: Final = (*COUNTED, "hold")
"""Deadlines that another process began, and that go on in the process that takes a call over."""
_LEAST_SHARE: Final = 0.25
"""Share of a shared time: with less time left, no further attempt begins."""
_FORGOTTEN: Final = 2.0
"""A shared time starts anew after this many times its length, because attempts from before have ended long ago."""


class Deadlines:
    """The running deadlines of one call, by name. `arm` is given the length."""

    def __init__(self, post: Callable[[Event], None]) -> None:
        """`post`: takes the event when a deadline has passed."""
        self._post = post
        self._loop = asyncio.get_running_loop()
        self._timers = Timers(self._loop)
        self._elapsed: dict[str, float] = {}
        """Seconds by which the next `arm` of a name is shortened."""
        self._since: dict[str, float] = {}
        """From when on the running deadlines of `COUNTED` are counted, on the loop's clock."""
        self._began: dict[str, float] = {}
        """When the first of the attempts began that share a deadline's time, by deadline."""

    def restore(self, elapsed: Mapping[str, float]) -> None:
        """Set the seconds that passed in another process: the next `arm` of each name is shortened by them."""
        self._elapsed = dict(elapsed)

    def arm(self, name: str, seconds: float, *, shared: bool = False) -> None:
        """Start the deadline, in place of a running one of the same name.

        `shared`: attempts that follow each other share `seconds`, counted from the first one, until `settled` is
        called. So an engine that connects and breaks again and again gets no more time than an engine that never
        connects.
        """
        now = self._loop.time()
        if name in COUNTED:
            self._stop_counting(name)
            self._since[name] = now - self._elapsed.get(name, 0.0)
        left = max(seconds - self._elapsed.pop(name, 0.0), 0.0)
        if shared:
            began = self._began.get(name, now)
            if now - began >= seconds * _FORGOTTEN:
                began = now
            self._began[name] = began
            left = min(left, began + seconds - now)
            left = left if left >= seconds * _LEAST_SHARE else 0.0
        self._timers.start(name, left, self._passed, name)

    def has_begun(self, name: str) -> bool:
        """Return whether a part of the call's time limit (`COUNTED`) has begun before, and was stopped."""
        return self._elapsed.get(name, 0.0) > 0.0

    def settled(self, name: str) -> None:
        """End the sharing of this deadline's time: the next `arm` gets the full time."""
        self._began.pop(name, None)

    def disarm(self, name: str) -> None:
        """Stop the deadline, if it is running."""
        self._timers.stop(name)
        self._stop_counting(name)

    def _stop_counting(self, name: str) -> None:
        since = self._since.pop(name, None)
        if since is not None:
            self._elapsed[name] = self._loop.time() - since

    def _passed(self, name: str) -> None:
        if self._since.pop(name, None) is not None:
            self._elapsed[name] = math.inf
        self._post(DeadlinePassed(deadline=name))

    def close(self) -> None:
        """Stop all deadlines, for good: the call is over."""
        self._timers.close()
