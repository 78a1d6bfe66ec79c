"""The telemetry of one process: the counts of its calls, and the lag of its event loop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import time

from callflow.telemetry.call_metrics import CallMetrics, Entry
from callflow.telemetry.loop_lag import LoopLag
from callflow.telemetry.metrics import Snapshot


log = logging.getLogger(__name__)


class Telemetry:
    """Is fed with journal entries, and read by `/metrics`. A fault in here never reaches a call."""

    def __init__(self, *, capacity: int = 0, now: Callable[[], float] = time) -> None:
        """`capacity`: how many calls may be live at once. `now`: Unix time in seconds, as of the journal."""
        self.capacity = capacity
        self.calls = CallMetrics()
        self._now = now
        self._is_live: Callable[[str], bool] = lambda call: False
        self._on_lag: Callable[[float, float, float], None] = lambda lag, used, now: None
        self._lag = LoopLag(self._look)
        self._has_failed = False

    def start(self, is_live: Callable[[str], bool], on_lag: Callable[[float, float, float], None]) -> None:
        """Begin to measure; a loop must be running. `is_live`: whether a call of this id is still here. `on_lag`: see
        `LoopLag`."""
        self._is_live, self._on_lag = is_live, on_lag
        self._lag.start()

    def close(self) -> None:
        """Stop measuring."""
        self._lag.close()

    def take(self, entry: Entry) -> None:
        """Count one journal entry. Never raises."""
        try:
            self.calls.take(entry)
        except Exception as error:
            self._failed(error)

    def snapshot(self) -> Snapshot:
        """Return the metrics that are known here; those that the server counts are still to be set."""
        found = Snapshot()
        self.calls.add_to(found)
        found.set_histogram("callflow_loop_lag_seconds", self._lag.seconds)
        found.set("callflow_calls_capacity", self.capacity)
        return found

    def _look(self, lag: float, used: float, now: float) -> None:
        try:
            self._on_lag(lag, used, now)
            self.calls.look(self._now(), self._is_live)
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            log.error("THE METRICS ARE INCOMPLETE through a fault of our own; it is not logged again", exc_info=error)
