"""What the calls of the last hour were like, minute by minute, for the operators' page. Pure: times are Unix seconds.

Of the present minute every figure is kept, of those before only what is shown, and of the waits a sample, so that the
hours of several processes can be shown as one. `CallMetrics` and the loop's timer feed it; it decides nothing.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Any, Final


_MINUTES: Final = 60
_MOST_LATENCIES: Final = 2000
_MOST_RESULTS: Final = 1000
_MOST_SAMPLES: Final = 40
"""Of a minute's waits."""
WAITS: Final = "waits"
"""Of each minute how many waits there were, and a sample of them, in ms: what `merged` needs."""


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value below which this share of the values lies; None: there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def sample(values: Sequence[float]) -> list[float]:
    """Return the values in their order, or as many of them, evenly spread, as are kept."""
    ordered, count = sorted(values), len(values)
    if count <= _MOST_SAMPLES:
        return ordered
    return [ordered[int((index + 0.5) * count / _MOST_SAMPLES)] for index in range(_MOST_SAMPLES)]


def merged(hours: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the hours of several processes as one, in the shape of `LastHour.minutes`. `hours`: each with `WAITS`. The
    lag is that of the latest loop."""
    minutes: dict[int, list[tuple[Mapping[str, Any], int]]] = {}
    ended: Counter[str] = Counter()
    for hour in hours:
        ended.update(hour["ended"])
        for index, at in enumerate(hour["at"]):
            minutes.setdefault(at, []).append((hour, index))
    whole: dict[str, Any] = {"at": sorted(minutes), "calls": [], "p50": [], "p95": [], "lag": [], "ended": dict(ended)}
    for at in whole["at"]:
        parts = minutes[at]
        weighed = sorted(
            (wait, count / len(waits))
            for hour, index in parts
            for count, waits in [hour[WAITS][index]]
            for wait in waits
        )
        lags = [hour["lag"][index] for hour, index in parts if hour["lag"][index] is not None]
        whole["calls"].append(sum(hour["calls"][index] for hour, index in parts))
        whole["p50"].append(_weighed_percentile(weighed, 0.5))
        whole["p95"].append(_weighed_percentile(weighed, 0.95))
        whole["lag"].append(max(lags, default=None))
    return whole


def _weighed_percentile(values: Sequence[tuple[float, float]], share: float) -> float | None:
    """Return the value below which this share of the weight lies; None: there are none. `values`: in their order."""
    wanted, passed = share * sum(weight for _, weight in values), 0.0
    for value, weight in values:
        passed += weight
        if passed > wanted:
            return value
    return values[-1][0] if values else None


class _Minute:
    """One minute: what is shown of it, and while it lasts what that is made of."""

    __slots__ = ("at", "calls", "ended", "lag", "lags", "latencies", "p50", "p95", "waits")

    def __init__(self, at: int) -> None:
        self.at = at
        self.calls = 0
        self.ended: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.lags: list[float] = []
        self.p50: float | None = None
        self.p95: float | None = None
        self.lag: float | None = None
        self.waits: tuple[int, list[float]] = 0, []

    def sum_up(self) -> None:
        """Compute what is shown."""
        self.p50, self.p95 = percentile(self.latencies, 0.5), percentile(self.latencies, 0.95)
        self.lag = percentile(self.lags, 0.99)
        self.waits = len(self.latencies), sample(self.latencies)

    def close(self) -> None:
        """Keep only what is shown."""
        self.sum_up()
        self.latencies, self.lags = [], []


class LastHour:
    """The minutes of the last hour in which anything was measured."""

    def __init__(self) -> None:
        self._minutes: deque[_Minute] = deque(maxlen=_MINUTES)
        self._latencies: deque[tuple[float, float]] = deque(maxlen=_MOST_LATENCIES)
        self._results: OrderedDict[str, str] = OrderedDict()

    # Feeding

    def began(self, at: float) -> None:
        """Count a call that has begun."""
        self._minute(at).calls += 1

    def answered(self, at: float, ms: float) -> None:
        """Take how long a caller waited for an answer, in ms."""
        minute = self._minute(at)
        if len(minute.latencies) < _MOST_LATENCIES:
            minute.latencies.append(ms)
        self._latencies.append((at, ms))

    def ended(self, at: float, call: str, result: str) -> None:
        """Count a call that has ended. `result`: one of `metrics.RESULTS`."""
        self._minute(at).ended[result] += 1
        self._results[call] = result
        if len(self._results) > _MOST_RESULTS:
            self._results.popitem(last=False)

    def lagged(self, at: float, seconds: float) -> None:
        """Take how late the event loop was, in seconds. Called ten times a second."""
        self._minute(at).lags.append(seconds)

    def _minute(self, at: float) -> _Minute:
        begins = int(at // 60) * 60
        newest = self._minutes[-1] if self._minutes else None
        if newest is None or begins > newest.at:
            if newest is not None:
                newest.close()
            newest = _Minute(begins)
            self._minutes.append(newest)
        return newest  # after a step of the clock backwards, the newest minute goes on

    # Reading

    def result(self, call: str) -> str:
        """Return how a call ended that was counted here; "": it is not known."""
        return self._results.get(call, "")

    def latency(self, now: float) -> tuple[float | None, float | None]:
        """Return p50 and p95 of the waits of the last hour, in ms, of the newest 2,000."""
        since = now - 60 * _MINUTES
        values = [ms for at, ms in self._latencies if at >= since]
        return percentile(values, 0.5), percentile(values, 0.95)

    def results(self, now: float) -> dict[str, int]:
        """Return how many calls of the last hour ended with each result."""
        found: Counter[str] = Counter()
        for minute in self._recent(now):
            found.update(minute.ended)
        return dict(found)

    def minutes(self, now: float, *, waits: bool = False) -> dict[str, Any]:
        """Return the minutes as lists of the same length: `at`, `calls` (that began), `p50` and `p95` (ms), `lag` (p99,
        ms), and `ended` by result. None: nothing was measured. `waits`: also `WAITS`."""
        minutes = self._recent(now)
        if minutes and minutes[-1] is self._minutes[-1]:
            minutes[-1].sum_up()
        return {
            "at": [minute.at for minute in minutes],
            "calls": [minute.calls for minute in minutes],
            "p50": [minute.p50 for minute in minutes],
            "p95": [minute.p95 for minute in minutes],
            "lag": [None if minute.lag is None else round(minute.lag * 1000, 2) for minute in minutes],
            "ended": self.results(now),
            **({WAITS: [minute.waits for minute in minutes]} if waits else {}),
        }

    def _recent(self, now: float) -> list[_Minute]:
        since = now - 60 * _MINUTES
        return [minute for minute in self._minutes if minute.at > since]
