"""Since when each finding is as it is, and how it was in the last hour. Pure: times are Unix seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from callflow.contracts.diagnostics import Finding


MINUTES: Final = 60
UNKNOWN: Final = "-"
_WORDS: Final = {"ok": "0", "note": "1", "wrong": "2"}
_MOST_NAMES: Final = 200
_MOST_SAMPLES: Final = 100


class _Past:
    """One finding."""

    def __init__(self, state: str, at: float) -> None:
        self.state, self.since = state, at
        self.minutes: deque[tuple[int, str]] = deque(maxlen=MINUTES)
        self.seen_at = at


class FindingHistory:
    """Is told every look, and tells of each finding since when and how often."""

    def __init__(self) -> None:
        self._past: dict[str, _Past] = {}

    def take(self, findings: Iterable[Finding], at: float) -> None:
        """Take what one look has found."""
        minute = int(at // 60)
        for one in findings:
            past = self._past.get(one.name)
            if past is None:
                if len(self._past) >= _MOST_NAMES:
                    continue
                past = self._past[one.name] = _Past(one.state, at)
            elif past.state != one.state:
                past.state, past.since = one.state, at
            past.seen_at = at
            word = _WORDS[one.state]
            if past.minutes and past.minutes[-1][0] >= minute:
                last, before = past.minutes[-1]
                past.minutes[-1] = (last, max(before, word))
            else:
                past.minutes.append((minute, word))
        for name in [name for name, past in self._past.items() if at - past.seen_at > 60 * MINUTES]:
            del self._past[name]

    def since(self, name: str) -> float | None:
        """Return since when a finding has its state; None: it was never there."""
        past = self._past.get(name)
        return past.since if past is not None else None

    def hour(self, name: str, at: float) -> str:
        """Return how a finding was in each minute of the last hour, oldest first: 0 well, 1 worth a look, 2 wrong,
        `-` not looked at. What it was at worst counts."""
        past = self._past.get(name)
        known = dict(past.minutes) if past is not None else {}
        now = int(at // 60)
        return "".join(known.get(minute, UNKNOWN) for minute in range(now - MINUTES + 1, now + 1))


class RecentIncrease:
    """How much figures that only rise have risen lately."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._samples: dict[str, deque[tuple[float, float]]] = {}

    def take(self, name: str, value: float, at: float) -> float:
        """Take a figure as it is now. Returns how much it has changed within the last seconds."""
        samples = self._samples.setdefault(name, deque([(at, value)], maxlen=_MOST_SAMPLES))
        while len(samples) > 1 and samples[1][0] <= at - self._seconds:
            samples.popleft()
        if at - samples[-1][0] >= self._seconds / (_MOST_SAMPLES - 2) or at < samples[-1][0]:
            samples.append((at, value))
        return value - samples[0][1]
