"""How often somebody may try to log in with a wrong token. Pure."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final


TRIES: Final = 10
"""From one address at once; and then one in every `EACH` seconds."""
EACH: Final = 6.0
TRIES_OF_ALL: Final = 100
EACH_OF_ALL: Final = 0.5
_MOST_ADDRESSES: Final = 1000
_ROUNDING: Final = 1e-6


class LoginLimit:
    """Counts wrong tokens, by address and in all. Whoever is over the limit is not even compared."""

    def __init__(self) -> None:
        self._full: OrderedDict[str, float] = OrderedDict()
        """By address: when it has all its tries back. The one with the oldest try comes first."""
        self._all = -math.inf

    def wait(self, address: str, now: float) -> int:
        """Return after how many seconds this address may try; 0: now. `now`: seconds, of any steady clock."""
        own = self._full.get(address, now) - now - (TRIES - 1) * EACH
        all_ = self._all - now - (TRIES_OF_ALL - 1) * EACH_OF_ALL
        return max(0, math.ceil(max(own, all_) - _ROUNDING))

    def failed(self, address: str, now: float) -> None:
        """Count a wrong token. `now`: as for `wait`."""
        self._full[address] = max(self._full.pop(address, now), now) + EACH
        self._all = max(self._all, now) + EACH_OF_ALL
        if len(self._full) > _MOST_ADDRESSES:
            self._full.popitem(last=False)
