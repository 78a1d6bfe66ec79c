"""Tells how much processor time was taken from this process: by the limit of its control group, and by the host of its
virtual machine.

Sources: Linux, Documentation/admin-guide/cgroup-v2.rst (`cpu.stat`: `throttled_usec`, in µs) and
Documentation/scheduler/sched-bwc.rst (of version 1: `throttled_time`, in ns); proc_stat(5) (`steal`, the eighth figure
of the first line, in ticks, of all processors together).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, NamedTuple


_UNITS: Final = {"throttled_usec": 1e6, "throttled_time": 1e9}
"""Of a second."""
_STEAL: Final = 8
_FIXED: Final = ("", "cpu", "cpu,cpuacct")


class Taken(NamedTuple):
    """Seconds since the machine, or the group, began; 0 where that cannot be told."""

    throttled: float = 0.0
    stolen: float = 0.0


def stolen_time(root: Path = Path("/")) -> Taken:
    """Read the figures, from small files that are no disk's: on a thread all the same. `root`: where they begin."""
    return Taken(_throttled(root), _stolen(root))


def _throttled(root: Path) -> float:
    groups, own = root / "sys/fs/cgroup", [""]
    with contextlib.suppress(OSError):
        told = (root / "proc/self/cgroup").read_text().splitlines()
        own = [
            path for _, names, path in (line.split(":", 2) for line in told) if not names or "cpu" in names.split(",")
        ]
    for path in [*own, ""]:  # in a container the group's own path may not be there, and its files are at the top
        for controller in _FIXED:
            with contextlib.suppress(OSError, ValueError):
                for line in (groups / controller / path.lstrip("/") / "cpu.stat").read_text().splitlines():
                    name, _, figure = line.partition(" ")
                    if name in _UNITS:
                        return int(figure) / _UNITS[name]
    return 0.0


def _stolen(root: Path) -> float:
    with contextlib.suppress(OSError, ValueError, IndexError), (root / "proc/stat").open() as file:
        return int(file.readline().split()[_STEAL]) / os.sysconf("SC_CLK_TCK")
    return 0.0
