"""Measures how late the event loop runs a timer: what a frame that arrives meanwhile would have waited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from time import perf_counter, thread_time
from typing import Final

from callflow.telemetry.metrics import NAMED, Histogram


EVERY_SECONDS: Final = 0.1


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


class LoopLag:
    """One timer, every 0.1 s."""

    def __init__(self, each_time: Callable[[float, float, float], None]) -> None:
        """`each_time`: called with each sample: how late the timer was, without the time for which this thread got no
        processor; the processor time of this thread since the timer was set; the time now. All in seconds; it must not
        wait or raise."""
        self._each_time = each_time
        self._used = self._delayed = 0.0
        self._delay: RunDelay | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.seconds = Histogram(NAMED["callflow_loop_lag_seconds"].buckets)

    def start(self) -> None:
        """Begin to measure; a loop must be running."""
        self.close()
        self._delay = RunDelay()
        self._set()

    def close(self) -> None:
        """Stop measuring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._delay is not None:
            self._delay.close()
            self._delay = None

    def _set(self) -> None:
        # Not `loop.time()`: uvloop's stands still while a callback runs, and is too coarse.
        self._due = perf_counter() + EVERY_SECONDS
        self._used = thread_time()
        self._delayed = self._delay.seconds() if self._delay else 0.0
        self._timer = asyncio.get_running_loop().call_later(EVERY_SECONDS, self._sample)

    def _sample(self) -> None:
        now = perf_counter()
        self.seconds.observe(now - self._due)
        delayed = self._delay.seconds() - self._delayed if self._delay else 0.0
        self._each_time(max(now - self._due - delayed, 0.0), thread_time() - self._used, now)
        self._set()
