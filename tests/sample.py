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
        today = datetime.datetime.now(datetime.UTC).date().toordinal()
        return found if self._whole else found[today % every :: every]
