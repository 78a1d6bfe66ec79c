"""A sample of many cases: all of them are looked at by `scripts/test --long`."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import TypeVar


Case = TypeVar("Case")


class Sample:
    """Chooses the cases of this run; the fixture `some` is one."""

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole

    def __call__(self, cases: Iterable[Case], every: int) -> list[Case]:
        """Every n-th of these, others from day to day. All of them with --long."""
        found = list(cases)
        return found if self._whole else found[_today() % every :: every]

    def is_due(self, number: int, every: int) -> bool:
        """Whether this is the day of the case with that number, one day of so many."""
        return self._whole or (number + _today()) % every == 0


def _today() -> int:
    return datetime.datetime.now(datetime.UTC).date().toordinal()
