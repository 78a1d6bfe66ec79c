"""How often something may happen: so many at once, and so many a second in the long run. Pure: time is an argument."""

from __future__ import annotations


class RateLimit:
    """A token bucket: lets `at_once` through at the same time, and `per_second` in the long run."""

    __slots__ = ("_at", "_left", "_most", "_per_second")

    def __init__(self, *, per_second: float, at_once: int) -> None:
        self._per_second, self._most = per_second, float(at_once)
        self._left = self._most
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Take one; False: it comes too soon. `now`: seconds, of a clock that does not go back."""
        self._left = min(self._left + (now - self._at) * self._per_second, self._most)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
