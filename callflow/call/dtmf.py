"""The caller's telephone keypad: each key counted once, and gathered into entries. Pure.

A carrier tells a key twice, as a frame of the media stream and as a webhook, in any order and perhaps only once. A key
told by one side is taken, and the same key told by the other side within a while is known to be that one.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from callflow.contracts.rate_limit import RateLimit


KEYS: Final = frozenset("0123456789*#ABCD")
MASK: Final = "•"
"""What stands on record for a digit that nobody is to read."""
_SAME_SECONDS: Final = 10.0
_MOST: Final = 64

Source = Literal["stream", ""]
"""By a frame of the media stream, or by a webhook."""


def pace() -> RateLimit:
    """How fast keys may come: no faster than a telephone can send them (ITU-T Q.24: 80 ms a key), each told twice, and
    many of them late and together."""
    return RateLimit(per_second=30.0, at_once=60)


class KeyBuffer:
    def __init__(self, *, end: str = "#") -> None:
        self._end = end
        self._digits = ""
        self._told: dict[Source, deque[tuple[str, float]]] = {"stream": deque(), "": deque()}

    def press(self, digit: str, source: Source, now: float) -> bool:
        """False: it is no key, or the one that the other side has told already."""
        digit = digit.upper()
        if digit not in KEYS:
            return False
        other = self._told["" if source == "stream" else "stream"]
        while other and now - other[0][1] > _SAME_SECONDS:
            other.popleft()
        for told in other:
            if told[0] == digit:
                other.remove(told)
                return False
        self._told[source].append((digit, now))
        if len(self._told[source]) > _MOST:
            self._told[source].popleft()
        if len(self._digits) < _MOST:
            self._digits += digit
        return True

    @property
    def is_complete(self) -> bool:
        """The key that ends an entry was the last one."""
        return bool(self._end) and self._digits.endswith(self._end)

    def take(self) -> str:
        """The entry so far, without the key that ended it; the next one begins."""
        digits, self._digits = self._digits, ""
        return digits.removesuffix(self._end) if self._end and digits != self._end else digits
