"""Decides when Python's garbage collector looks through everything: when nobody is on the line, or hardly ever.

A full collection stands still for as long as there are objects to look through: those of the modules (0.1 s, left out
by freezing them after the start) and those of all live calls (0.2 ms each). Ended calls leave next to nothing, because
their parts do not hold each other (`contracts/back_references.py`). docs/performance.md has the figures.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from typing import Final

from callflow.timers import Timers


log = logging.getLogger(__name__)

_THRESHOLDS: Final = (150, 6, 1_000_000)
"""Of the young generations, so small that a collection of theirs takes less than 5 ms while 100 calls are live. The
third, in place of "after ten of the second": never by itself, see `call_gone`."""
_QUIET_SECONDS: Final = 0.3
"""How long a call that has just ended takes until nothing holds it any more."""
_GONE_FOR_EACH_LIVE: Final = 1000
"""A full collection is due when this many calls have gone for each that is live, and so always when none is: it takes
the longer the more are live, and ended calls leave hardly anything that makes it worth while."""


class GarbageCollection:
    """The garbage collections of a process that serves calls, from `begin` to `end`."""

    def __init__(self, live: Callable[[], int], *, gone_for_each_live: int = _GONE_FOR_EACH_LIVE) -> None:
        """`live`: returns the number of live calls. `gone_for_each_live`: see `_GONE_FOR_EACH_LIVE`."""
        self._live, self._gone_for_each_live = live, gone_for_each_live
        self._gone = 0
        """Calls that have ended since the last full collection."""
        self._before: tuple[int, int, int] | None = None
        self._timers = Timers()

    def begin(self) -> None:
        """Keep what the start has made out of every collection: it stays for good, also the little of it that is
        garbage (a thousand objects), because to find that takes 0.1 s.

        Collections are on from then on, whether they were before or not.
        """
        gc.enable()
        gc.freeze()
        self._before = gc.get_threshold()
        gc.set_threshold(*_THRESHOLDS)

    def end(self) -> None:
        """Leave the collections to Python again."""
        self._timers.stop("quiet")
        if self._before is not None:
            gc.set_threshold(*self._before)
            gc.unfreeze()
            self._before = None

    def call_gone(self) -> None:
        """Note that a call has ended: when the last one has, or very many have, everything is collected."""
        if self._before is None:
            return
        self._gone += 1
        if not self._timers.is_running("quiet") and self._is_due:
            self._timers.start("quiet", _QUIET_SECONDS, self._look)

    @property
    def _is_due(self) -> bool:
        return self._live() * self._gone_for_each_live <= self._gone

    def _look(self) -> None:
        if not self._is_due:
            return  # somebody has rung meanwhile: when the next call ends
        live, begun, gone, self._gone = self._live(), time.thread_time(), self._gone, 0
        found = gc.collect()
        milliseconds = (time.thread_time() - begun) * 1000
        log.debug("garbage of %d calls: %d objects, %.0f ms, %d calls live", gone, found, milliseconds, live)
