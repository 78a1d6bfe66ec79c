"""The order of the tests, for several workers: the longest first, so that none is left for the end.

With `--dist worksteal` each worker begins with an equal part of the list, from its front on, and takes from the end of
another's when its own is done. So the list is put together of such parts:

- in front the long ones, dealt out like cards: each test of the kind `e2e` by itself, those of the kind `process` by
  module, because some of these share what a fixture has made;
- then the others, module by module;
- at the very end those that run alone.

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


def arrange(items: list[pytest.Item], workers: int) -> None:
    """Sort the list in place. Every worker arrives at the same order."""
    if workers < 2:
        return
    seconds = noted()
    alone: list[pytest.Item] = []
    light: list[pytest.Item] = []
    groups: dict[str, list[pytest.Item]] = {}
    weights: dict[str, float] = {}
    for item in items:
        kind = next(kind for kind in _USUAL if item.get_closest_marker(kind) is not None)
        if item.get_closest_marker("alone") is not None:
            alone.append(item)
        elif kind == "unit":
            light.append(item)
        else:
            group = item.nodeid if kind == "e2e" else item.nodeid.partition("::")[0]
            groups.setdefault(group, []).append(item)
            weights[group] = weights.get(group, 0.0) + seconds.get(item.nodeid, _USUAL[kind])
    fronts: list[list[pytest.Item]] = [[] for _ in range(workers)]
    loads = [0.0] * workers
    for group in sorted(groups, key=lambda name: -weights[name]):
        lightest = loads.index(min(loads))
        fronts[lightest] += groups[group]
        loads[lightest] += weights[group]
    light += alone
    left, order = len(items), list[pytest.Item]()
    for number, front in enumerate(fronts):
        size = left // (workers - number)  # of the part that this worker is given
        part = [*front, *light[: max(0, size - len(front))]]
        del light[: len(part) - len(front)]
        order += part
        left -= len(part)
    items[:] = [*order, *light]


def write(seconds: dict[str, float]) -> None:
    """Note these tests' seconds, of all that ran."""
    long = {name: taken for name, taken in seconds.items() if taken >= LEAST}
    lines = [f"{taken:.0f} {name}\n" for name, taken in sorted(long.items(), key=lambda one: (-round(one[1]), one[0]))]
    text = f"# Seconds of each test that takes {LEAST:g} s or longer, for the order of the tests: see tests/order.py.\n"
    FILE.write_text(text + "".join(lines), encoding="utf-8")
