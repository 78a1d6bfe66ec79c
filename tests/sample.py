"""A sample of many cases, the same in every run: all of them are looked at by `scripts/test --long`."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

import pytest


Case = TypeVar("Case")


class Sample:
    """Chooses the cases of this run; the fixture `some` is one."""

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self._whole

    def __call__(self, cases: Iterable[Case], every: int) -> list[Case]:
        """Every n-th of these. All of them with --long."""
        found = list(cases)
        return found if self._whole else found[::every]

    def takes(self, number: int, every: int) -> bool:
        """Whether the case with that number is one of the sample, which is one of so many."""
        return self._whole or number % every == 0


def is_whole(config: pytest.Config) -> bool:
    """Whether nothing is left out of this run but what only --long looks at: in CI, and with --long."""
    return bool(config.getoption("--long")) or os.environ.get("CI") == "true"


def sampled(metafunc: pytest.Metafunc, cases: Sequence[Case]) -> Sequence[Case]:
    """Return over which of these, such as carriers, this test runs: one, another one for another test; all of them with
    --long."""
    if metafunc.config.getoption("--long"):
        return cases
    return [cases[zlib.crc32(metafunc.function.__name__.encode()) % len(cases)]]
