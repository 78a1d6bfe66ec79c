"""Names the tools that keep Python's interpreter from the event loop, and so hold up the audio of all calls.

Tools run in threads, but only one thread of a process runs Python at a time, and some calls into C (a sum over millions
of numbers, a sort, a regular expression) let no other run until they are over. `tool_process` gives tools an
interpreter of their own.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from callflow.contracts.loop_work import is_own_work
from callflow.tools.concurrency import Slot


log = logging.getLogger(__name__)

_LEAST_LAG: Final = 0.004
"""Seconds. Shorter delays harm nobody: a tool in Python gives way after 0.5 ms (`runtime.py`)."""
_LEAST_SHARE: Final = 0.3
"""A tool that has used less of the processor than this share of its time has waited for something; its turn of a
processor that others have is nothing that it waits for."""
_HELD_SECONDS: Final = 0.05
"""How long, all together within `_WINDOW_SECONDS`, before a tool is named."""
_WINDOW_SECONDS: Final = 10.0
_AGAIN_SECONDS: Final = 60.0
"""A tool is named once in this time."""
_MOST_TOOLS: Final = 100
_ENDED_KEPT: Final = 32


class Work(NamedTuple):
    """What one run of a tool has done so far in its thread."""

    tool: str
    call: str
    seconds: float
    """Since its beginning."""
    processor_seconds: float
    until: float
    """When it ended, or now, on the monotonic clock."""
    delayed_seconds: float = 0.0
    """How long it was ready to run while others had the processor."""


class WorkingThreads:
    """The threads in which tools work, and what those have done that ended a moment ago. Methods are called from any
    thread, and take no lock: each operation on a dict or deque is atomic."""

    def __init__(self) -> None:
        self._now: dict[Slot, tuple[int, float, float]] = {}
        """The thread, when its run began, and how long it had been delayed until then."""
        self._ended: deque[Work] = deque(maxlen=_ENDED_KEPT)

    def began(self, slot: Slot) -> None:
        """Note that a run begins in this thread, which is new."""
        thread = threading.get_native_id()
        self._now[slot] = thread, time.monotonic(), _delayed_seconds(thread)

    def ended(self, slot: Slot) -> None:
        """Note that the run in this thread has ended."""
        thread, began, before = self._now.pop(slot, (0, 0.0, 0.0))
        if began and (used := time.thread_time()) >= _LEAST_LAG:  # less cannot have held up the loop for longer
            now = time.monotonic()
            delayed = _delayed_seconds(thread) - before
            self._ended.append(Work(slot.tool, slot.call, now - began, used, now, delayed))

    def since(self, at: float) -> list[Work]:
        """Return the runs that were at work at this time or later, on the monotonic clock."""
        now = time.monotonic()
        running = [
            Work(slot.tool, slot.call, now - began, used, now, _delayed_seconds(thread) - before)
            for slot, (thread, began, before) in list(self._now.items())
            if (used := _processor_seconds(thread)) is not None
        ]
        return running + [work for work in list(self._ended) if work.until >= at]


def _processor_seconds(thread: int) -> float | None:
    """Return the processor time of the thread with this native id; None: it is gone, or the system does not tell.

    A thread may end at any moment, and `pthread_getcpuclockid` reads the memory of an ended one, which is not there any
    more. The id of the clock is made here instead, and the kernel looks whether there is such a thread.
    Source: Linux, include/linux/posix-timers_types.h (CPUCLOCK_PERTHREAD_MASK, CPUCLOCK_SCHED).
    """
    if sys.platform != "linux":
        return None
    try:
        return time.clock_gettime(~thread << 3 | 4 | 2)
    except OSError:
        return None


def _delayed_seconds(thread: int) -> float:
    """Return how long the thread with this native id was ready to run while others had the processor; 0: it is gone, or
    the system does not tell.

    Source: Linux, Documentation/scheduler/sched-stats.rst: the second figure of `schedstat`, in nanoseconds.
    """
    try:
        file = os.open(f"/proc/self/task/{thread}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0.0
    try:
        return int(os.read(file, 64).split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
    finally:
        os.close(file)


class InterpreterWatch:
    """Compares how late the event loop is with what tools do meanwhile."""

    def __init__(self, at_work: Callable[[float], Sequence[Work]]) -> None:
        """`at_work`: see `WorkingThreads.since`."""
        self._at_work = at_work
        self._held: dict[str, float] = {}
        """Seconds for which each tool has held up the loop, in the present window."""
        self._window_ends = 0.0
        self._named: dict[str, float] = {}
        """When each tool was named."""

    def sample(self, lag: float, used: float, now: float) -> None:
        """Take how late a timer of the loop was, and for how much of that the loop itself was at work, in seconds.
        `now`: of a monotonic clock. Costs next to nothing while the loop is punctual, or late by its own work."""
        if lag < _LEAST_LAG or is_own_work(lag, used):
            return
        if now >= self._window_ends:
            self._window_ends = now + _WINDOW_SECONDS
            self._held.clear()
        # At most one run had the interpreter at a time: the one that worked most is the likeliest.
        at_work = [work for work in self._at_work(time.monotonic() - lag) if _is_busy(work)]
        if not at_work:
            return
        work = max(at_work, key=lambda each: each.processor_seconds)
        if work.tool in self._held or len(self._held) < _MOST_TOOLS:
            self._held[work.tool] = self._held.get(work.tool, 0.0) + lag
            if self._held[work.tool] >= _HELD_SECONDS:
                self._name(work, now)

    def _name(self, work: Work, now: float) -> None:
        if now < self._named.get(work.tool, float("-inf")) + _AGAIN_SECONDS:
            return
        if len(self._named) >= _MOST_TOOLS:
            self._named.clear()
        self._named[work.tool] = now
        log.warning(
            "call %s: THE TOOL %s HOLDS THE INTERPRETER, and so the audio of all calls: for %.0f ms so far, in %.2f s "
            "of which it used the processor for %.2f s. It is named once a minute; tool_process = true lets tools run "
            "in a process of their own.",
            work.call, work.tool, self._held[work.tool] * 1000, work.seconds, work.processor_seconds,
        )  # fmt: skip


def _is_busy(work: Work) -> bool:
    return work.processor_seconds >= _LEAST_SHARE * (work.seconds - work.delayed_seconds)
