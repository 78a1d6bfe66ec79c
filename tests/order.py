"""The order of the tests for several processes: the longest first, so that none is left for the end.

A process takes a group of tests at a time: a test of the kind `e2e` by itself, those of the other kinds by module,
because some of these share what a fixture has made. Those that run alone come last, one by one.

`tests/durations.txt` holds the seconds of each test that takes long; `scripts/test --note-durations` writes it anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest


FILE: Final = Path(__file__).with_name("durations.txt")
LEAST: Final = 1.0
"""Seconds of a test that is noted."""
_USUAL: Final = {"e2e": 0.5, "process": 0.8, "unit": 0.0}
"""Seconds of one that is not noted."""


def noted() -> dict[str, float]:
    """Seconds of each noted test."""
    lines = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []
    pairs = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]
    return {name: float(seconds) for seconds, name in pairs}


def groups(items: list[pytest.Item]) -> list[list[pytest.Item]]:
    """Return all tests in the order in which processes take them."""
    seconds = noted()
    found: dict[tuple[bool, str], list[pytest.Item]] = {}
    weights: dict[tuple[bool, str], float] = {}
    for item in items:
        kind = next(kind for kind in _USUAL if item.get_closest_marker(kind) is not None)
        alone = item.get_closest_marker("alone") is not None
        group = (alone, item.nodeid if kind == "e2e" or alone else item.nodeid.partition("::")[0])
        found.setdefault(group, []).append(item)
        weights[group] = weights.get(group, 0.0) + seconds.get(item.nodeid, _USUAL[kind])
    return [found[group] for group in sorted(found, key=lambda group: (group[0], -weights[group]))]


def write(seconds: dict[str, float]) -> None:
    """Note these tests' seconds, of all that ran."""
    long = {name: taken for name, taken in seconds.items() if taken >= LEAST}
    lines = [f"{taken:.0f} {name}\n" for name, taken in sorted(long.items(), key=lambda one: (-round(one[1]), one[0]))]
    text = f"# Seconds of each test that takes {LEAST:g} s or longer, for the order of the tests: see tests/order.py.\n"
    FILE.write_text(text + "".join(lines), encoding="utf-8")
