"""The order of the tests: the longest first, so that none is left for the end; those that run alone last of all.

`tests/durations.txt` holds how many seconds each test took that takes long. `scripts/test --note-durations` writes it
anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest


FILE: Final = Path(__file__).with_name("durations.txt")
LEAST: Final = 1.0
"""Seconds of a test that is noted."""
_USUAL: Final = {"unit": 0.01, "e2e": 0.5, "process": 0.8}


def noted() -> dict[str, float]:
    """Seconds of each noted test."""
    lines = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []
    pairs = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]
    return {name: float(seconds) for seconds, name in pairs}


def arrange(items: list[pytest.Item], workers: int) -> None:
    """Deal the longest tests out like cards, to the front of each worker's share.

    With `--dist worksteal` a worker begins with an equal part of the list, and takes from the end of another's when its
    own is done.

    Sorting is stable, and all workers arrive at the same list.
    """
    seconds = noted()

    def rank(item: pytest.Item) -> tuple[bool, float]:
        usual = next(each for kind, each in _USUAL.items() if item.get_closest_marker(kind) is not None)
        return item.get_closest_marker("alone") is not None, -seconds.get(item.nodeid, usual)

    if workers > 1:
        ranked = sorted(items, key=rank)
        items[:] = [item for first in range(workers) for item in ranked[first::workers]]


def write(seconds: dict[str, float]) -> None:
    """Note these tests' seconds, of all that ran."""
    long = {name: taken for name, taken in seconds.items() if taken >= LEAST}
    lines = [f"{taken:.0f} {name}\n" for name, taken in sorted(long.items(), key=lambda one: (-round(one[1]), one[0]))]
    text = f"# Seconds of each test that takes {LEAST:g} s or longer, for the order of the tests: see tests/order.py.\n"
    FILE.write_text(text + "".join(lines), encoding="utf-8")
