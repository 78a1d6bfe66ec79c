"""Decides from the lag of the event loop whether there is room for another call. Pure: time is an argument."""

from __future__ import annotations

from math import ceil
from typing import Final

from callflow.contracts.loop_work import is_own_work


_WINDOW_SECONDS: Final = 5.0
_BAD_WINDOWS: Final = 2
"""So many in a row close the door; one good one opens it again."""


class LagAdmission:
    """Judges the loop's lag in windows, by its 99th percentile (nearest rank)."""

    def __init__(self, lag_ms: float, min_calls: int, *, window_seconds: float = _WINDOW_SECONDS) -> None:
        """`lag_ms`: the highest lag that is good; 0: nothing is ever refused. `min_calls`: so many live calls are
        accepted whatever the lag."""
        self._lag_ms, self._min_calls, self._window_seconds = lag_ms, min_calls, window_seconds
        self._began: float | None = None
        self._lags: list[float] = []
        self._bad = 0
        self._windows = 0
        self.is_overloaded = False
        """Whether the last windows were bad."""
        self.p99_ms = 0.0
        """Of the last complete window; 0 after the first one, which has the imports of the start and its one full
        collection of garbage."""

    def sample(self, lag: float, used: float, now: float) -> bool:
        """Take how late a timer was, in seconds; True: `is_overloaded` has changed.

        `used`: how many of these seconds the loop itself was at work. A timer that something else held up
        (`is_own_work`) counts as punctual. `now`: seconds of a monotonic clock.
        """
        if self._began is None:
            self._began = now
        self._lags.append(max(lag, 0.0) if is_own_work(lag, used) else 0.0)
        if now - self._began < self._window_seconds:
            return False
        self._lags.sort()
        p99_ms = self._lags[ceil(len(self._lags) * 0.99) - 1] * 1000
        self._began, self._lags = now, []
        self.p99_ms, self._windows = p99_ms if self._windows else 0.0, self._windows + 1
        self._bad = self._bad + 1 if self._lag_ms > 0 and p99_ms > self._lag_ms else 0
        before, self.is_overloaded = self.is_overloaded, self._bad >= _BAD_WINDOWS
        return before != self.is_overloaded

    def refusal(self, live: int) -> str:
        """Return why a new call is refused; "": it is not. `live`: the live calls, the new one not included."""
        if not self.is_overloaded or live <= self._min_calls:
            return ""
        return f"the event loop is {self.p99_ms:.0f} ms late (p99), more than {self._lag_ms:g} ms"

    def said(self) -> str:
        """Return what the log is told when `is_overloaded` has changed."""
        late = f"the event loop was {self.p99_ms:.0f} ms late"
        if not self.is_overloaded:
            return f"new calls are taken again: {late} at most"
        return (
            f"NEW CALLS HEAR BUSY, beyond {self._min_calls} live: {late}, twice in a row; the setting admission_lag_ms "
            f"is {self._lag_ms:g}"
        )
