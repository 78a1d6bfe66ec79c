"""Measures how late the event loop runs a timer: what a frame that arrives meanwhile would have waited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter, thread_time
from typing import Final

from callflow.telemetry.metrics import NAMED, Histogram


EVERY_SECONDS: Final = 0.1


class LoopLag:
    """One timer, every 0.1 s."""

    def __init__(self, each_time: Callable[[float, float, float], None]) -> None:
        """`each_time`: called with each sample: how late the timer was, the processor time of this thread since it was
        set, and the time now, all in seconds; must not wait or raise."""
        self._each_time = each_time
        self._used = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.seconds = Histogram(NAMED["callflow_loop_lag_seconds"].buckets)

    def start(self) -> None:
        """Begin to measure; a loop must be running."""
        self.close()
        # Not `loop.time()`: uvloop's stands still while a callback runs, and is too coarse.
        self._due = perf_counter() + EVERY_SECONDS
        self._used = thread_time()
        self._timer = asyncio.get_running_loop().call_later(EVERY_SECONDS, self._sample)

    def close(self) -> None:
        """Stop measuring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sample(self) -> None:
        now = perf_counter()
        self.seconds.observe(now - self._due)
        self._each_time(now - self._due, thread_time() - self._used, now)
        self.start()
