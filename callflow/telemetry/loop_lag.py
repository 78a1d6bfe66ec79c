"""Measures how late the event loop runs a timer: what a frame that arrives meanwhile would have waited."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from time import perf_counter, thread_time
from typing import Final, NamedTuple

from callflow.telemetry.metrics import NAMED, Histogram
from callflow.timers import Timers


EVERY_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 0.08
"""When the clocks are looked at before that: the shorter the time of which it is only estimated what the thread did."""

_NEWEST: Final = 50
"""Samples: of 5 s, or longer where all are late."""


class RunDelay:
    """Tells how long the thread that made it was ready to run while other threads had the processor.

    Source: Linux, Documentation/scheduler/sched-stats.rst: the second figure of `schedstat`, in nanoseconds.
    """

    def __init__(self) -> None:
        """Open the figures of this thread; where there are none, the delay is always 0."""
        self._file = -1
        try:
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            pass

    def seconds(self) -> float:
        """Return the delay since the thread began. About 2 µs; no disk is read."""
        try:
            return int(os.pread(self._file, 64, 0).split()[1]) / 1e9 if self._file >= 0 else 0.0
        except (OSError, ValueError, IndexError):
            return 0.0

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Clocks(NamedTuple):
    """What the clocks of a thread show at one moment, in seconds."""

    now: float
    used: float
    """Its processor time."""
    delayed: float
    """How long it was ready to run while others had the processor."""


def lag_and_work(due: float, before: Clocks, after: Clocks, share: float) -> tuple[float, float]:
    """Return how late a timer was, without the time for which its thread got no processor, and how much of that is the
    thread's own work, in seconds. Pure.

    `due`: when it was to run; `after`: when it ran; `before`: the last look at the clocks before it was due. `share`:
    the part of its time for which the thread has used the processor until then, by which it is estimated how long it
    had nothing to do between that look and `due`. What is neither that nor processor time is time for which something
    else held the thread up. So what it has to catch up with afterwards does not count as its own, and work before `due`
    is not taken for work after it.
    """
    delayed = after.delayed - before.delayed
    idle = (1 - share) * (due - before.now)
    held_up = max(after.now - before.now - delayed - (after.used - before.used) - idle, 0.0)
    lag = max(after.now - due - delayed, 0.0)
    return lag, max(lag - held_up, 0.0)


class LoopLag:
    """One timer, every 0.1 s, and one look at the clocks while it runs."""

    def __init__(self, each_time: Callable[[float, float, float], None]) -> None:
        """`each_time`: called with each sample: what `lag_and_work` returns, and the time now. All in seconds; it must
        not wait or raise."""
        self._each_time = each_time
        self._began = self._before = Clocks(0.0, 0.0, 0.0)
        self._share = 0.0
        self._delay: RunDelay | None = None
        self._timers = Timers()
        self._due = 0.0
        self._late = deque[float](maxlen=_NEWEST)
        self.seconds = Histogram(NAMED["callflow_loop_lag_seconds"].buckets)

    @property
    def felt_ms(self) -> float:
        """How late one in ten of the newest timers ran at least, whatever the reason: what callers hear of it."""
        return sorted(self._late)[len(self._late) * 9 // 10] * 1000 if self._late else 0.0

    def start(self) -> None:
        """Begin to measure; a loop must be running."""
        self.close()
        self._delay = RunDelay()
        self._set(self._clocks())

    def close(self) -> None:
        """Stop measuring."""
        self._timers.stop("sample", "look")
        if self._delay is not None:
            self._delay.close()
            self._delay = None

    def _clocks(self) -> Clocks:
        # Not `loop.time()`: uvloop's stands still while a callback runs, and is too coarse.
        return Clocks(perf_counter(), thread_time(), self._delay.seconds() if self._delay else 0.0)

    def _set(self, now: Clocks) -> None:
        self._began = self._before = now
        self._due = now.now + EVERY_SECONDS
        self._timers.start("sample", EVERY_SECONDS, self._sample)
        self._timers.start("look", _LOOK_SECONDS, self._look)

    def _look(self) -> None:
        now = self._clocks()
        if now.now < self._due:  # later it has the time in it that is to be measured
            self._before = now

    def _sample(self) -> None:
        now, began, before = self._clocks(), self._began, self._before
        if before.now > began.now:
            waited = before.delayed - began.delayed
            self._share = min((before.used - began.used) / max(before.now - began.now - waited, 1e-6), 1.0)
        self._timers.stop("look")
        self.seconds.observe(now.now - self._due)
        self._late.append(now.now - self._due)
        self._each_time(*lag_and_work(self._due, before, now, self._share), now.now)
        self._set(self._clocks())
