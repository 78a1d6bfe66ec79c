"""The telemetry of one process: the counts of its calls, and the lag of its event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import time
from typing import TYPE_CHECKING

from callflow.telemetry.call_metrics import CallMetrics
from callflow.telemetry.entry import Entry
from callflow.telemetry.loop_lag import LoopLag
from callflow.telemetry.metrics import TRACES, Snapshot


if TYPE_CHECKING:  # loaded only where a collector is set
    from callflow.telemetry.spans import IsPrivate
    from callflow.telemetry.traces import Traces

log = logging.getLogger(__name__)


class Telemetry:
    """Is fed with journal entries, and read by `/metrics`. A fault in here never reaches a call."""

    def __init__(self, *, capacity: int = 0, now: Callable[[], float] = time) -> None:
        """`capacity`: how many calls may be live at once. `now`: Unix time in seconds, as of the journal."""
        self.capacity = capacity
        self.calls = CallMetrics()
        self.traces: Traces | None = None
        """Sends a trace of each call, if a collector is set. Set before `start`."""
        self._now = now
        self._is_live: Callable[[str], bool] = lambda call: False
        self._on_lag: Callable[[float, float, float], None] = lambda lag, used, now: None
        self._lag = LoopLag(self._look)
        self._has_failed = False

    def start(
        self,
        is_live: Callable[[str], bool],
        on_lag: Callable[[float, float, float], None],
        read: Callable[[str], Sequence[Entry]],
    ) -> None:
        """Begin to measure; a loop must be running. `is_live`: whether a call of this id is still here. `on_lag`: see
        `LoopLag`. `read`: returns what the journal has of a call."""
        if self.traces is not None:
            self.traces.start(read)
        self._is_live, self._on_lag = is_live, on_lag
        self._lag.start()

    @property
    def felt_ms(self) -> float:
        """See `LoopLag`."""
        return self._lag.felt_ms

    def trace_to(self, endpoint: str, headers: str, service: str, *, is_private: IsPrivate) -> list[str]:
        """Send a trace of each call to a collector, before `start`: see `Traces`. Returns a line for why it cannot: the
        server goes on without traces."""
        from callflow.telemetry import traces

        try:
            self.traces = traces.Traces(endpoint, headers, service, is_private=is_private)
        except ImportError:
            return [traces.MISSING]
        except Exception as error:
            return [traces.refused(error)]
        return []

    async def close(self) -> None:
        """Stop measuring, and send the traces that are left, within two seconds."""
        self._lag.close()
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)

    def take(self, entry: Entry) -> None:
        """Count one journal entry. Never raises."""
        try:
            self.calls.take(entry)
        except Exception as error:
            self._failed(error)
        if self.traces is not None:
            self.traces.take(entry)

    def snapshot(self) -> Snapshot:
        """Return the metrics that are known here; those that the server counts are still to be set."""
        found = Snapshot()
        self.calls.add_to(found)
        found.set_histogram("callflow_loop_lag_seconds", self._lag.seconds)
        found.set("callflow_calls_capacity", self.capacity)
        for outcome in TRACES:
            found.set("callflow_traces_total", self.traces.counts[outcome] if self.traces else 0, outcome)
        return found

    def _look(self, lag: float, used: float, now: float) -> None:
        try:
            self._on_lag(lag, used, now)
            at = self._now()
            self.calls.hour.lagged(at, lag)
            self.calls.look(at, self._is_live)
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            log.error("THE METRICS ARE INCOMPLETE because of an internal error; it is not logged again", exc_info=error)
