"""Timers on the event loop's clock: those of one owner, each with a name, and one that is set very often; and an event
that takes little memory, to wait for.

A second timer of a name replaces the first one, and closing the owner stops all of its timers. This module imports
nothing of ours, so that every package can use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Final, TypeVarTuple


Args = TypeVarTuple("Args")


_NONE: Final[dict[str, asyncio.TimerHandle]] = {}
"""Of every owner that has started no timer yet, as most of those of a call: it stays empty."""


class Timers:
    """The timers of one owner. Not for use from several threads."""

    __slots__ = ("_closed", "_context", "_loop", "_running")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, context: Context | None = None) -> None:
        """`loop`: the event loop that keeps the time. None: the loop that runs when a timer is started. `context`: in
        which the callbacks run. None: that of the task which starts the timer."""
        self._loop, self._context = loop, context
        self._running = _NONE
        self._closed = False

    def start(self, name: str, seconds: float, callback: Callable[[*Args], object], *args: *Args) -> None:
        """Call `callback(*args)` once, after so many seconds. A timer of this name that is running is replaced.

        The callback may start a timer of the same name again. After `close` nothing is started.
        """
        self.stop(name)
        if not self._closed:
            loop = self._loop or asyncio.get_running_loop()
            if self._running is _NONE:
                self._running = {}
            self._running[name] = loop.call_later(seconds, self._fire, name, callback, args, context=self._context)

    def stop(self, *names: str) -> bool:
        """Stop these timers; names that are not running are ignored. Returns whether one of them was running."""
        stopped = False
        for name in names:
            timer = self._running.pop(name, None)
            if timer is not None:
                timer.cancel()
                stopped = True
        return stopped

    def is_running(self, name: str) -> bool:
        """Return whether a timer of this name is still to fire. Within its own callback it is not."""
        return name in self._running

    def close(self) -> None:
        """Stop all timers, for good. May be called more than once."""
        self._closed = True
        self.stop(*self._running)

    def _fire(self, name: str, callback: Callable[[*Args], object], args: tuple[*Args]) -> None:
        self._running.pop(name, None)
        callback(*args)


class Timer:
    """One timer, cheap to set anew many times a second. Not for use from several threads."""

    __slots__ = ("_loop", "handle")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.handle: asyncio.TimerHandle | None = None
        """None: it is not running. Looked at where a call would take too long."""

    @property
    def is_running(self) -> bool:
        """Whether it is still to fire. Within its own callback it is not."""
        return self.handle is not None

    def start(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call the callback once, after so many seconds. What was to be called before is not."""
        if self.handle is not None:
            self.handle.cancel()
        self.handle = self._loop.call_later(seconds, self._fire, callback)

    def stop(self) -> None:
        """Call nothing."""
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None

    def _fire(self, callback: Callable[[], object]) -> None:
        self.handle = None
        callback()


class SmallEvent:
    """Something that has happened or not, and that can be waited for. It takes 0.1 kB; `asyncio.Event` takes 0.8, for a
    queue that is nearly always empty. Not for use from several threads."""

    __slots__ = ("_is_set", "_waiting")

    def __init__(self, *, is_set: bool = False) -> None:
        self._is_set = is_set
        self._waiting: list[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        """Return whether it has happened."""
        return self._is_set

    def set(self) -> None:
        """Note that it has happened: nobody waits any more."""
        self._is_set = True
        for one in self._waiting:
            if not one.done():
                one.set_result(None)

    def clear(self) -> None:
        """Note that it has not happened, or no longer counts: whoever asks from now on waits."""
        self._is_set = False

    async def wait(self) -> None:
        """Return once it has happened; at once if it has."""
        if self._is_set:
            return
        happens: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(happens)
        try:
            await happens
        finally:
            self._waiting.remove(happens)
