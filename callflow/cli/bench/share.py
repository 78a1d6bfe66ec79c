"""`python -m callflow.cli.bench.share SHARE PID…`: holds each of these processes to a share of a core until it ends.

As the kernel's own bandwidth control does it (`cpu.max` of a control group, Docker's `--cpus`): in each period of
20 ms a process may use so much processor time, and then stands still until the next one. It needs no control group and
no privileges: a process that has used its part is stopped (SIGSTOP) and goes on (SIGCONT) with the next period. What it
has used beyond its part is taken off the next one, so that the mean is exact; what it has not used is lost, as there.

What this distorts: audio that comes while a process stands still waits for up to the rest of the period, and is then
carried in one go, which is cheaper than one frame at a time. The core itself is as fast as ever, and so are its caches.
A parent is told by SIGCHLD whenever a worker is stopped or goes on, which takes some of the parent's own part.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Final


PERIOD: Final = 0.02
"""Seconds. The usual 100 ms of the kernel would have five frames of each call carried in one go."""
_LOOK: Final = 0.0005
"""How often the processor time is read, in seconds: by so much may a process exceed its part, and owe it."""


class Held:
    """One process, and what it may use."""

    def __init__(self, pid: int, share: float) -> None:
        self._pid, self._part = pid, share * PERIOD
        self._clock = (~pid << 3) | 2  # clock_getcpuclockid(3): the time of all of its threads, in ns
        self._used = time.clock_gettime(self._clock)
        self._left = self._part
        self._is_stopped = False

    def begin(self) -> None:
        """Begin a new period. Raises ProcessLookupError if the process has ended."""
        self._left = min(self._left, 0.0) + self._part
        if self._is_stopped and self._left > 0:
            self._is_stopped = False
            os.kill(self._pid, signal.SIGCONT)

    def look(self) -> None:
        """Stop the process if it has used its part. Raises ProcessLookupError or OSError if the process has ended."""
        if self._is_stopped:
            return
        used = time.clock_gettime(self._clock)
        self._left -= used - self._used
        self._used = used
        if self._left <= 0:
            self._is_stopped = True
            os.kill(self._pid, signal.SIGSTOP)

    def let_go(self) -> None:
        """Let the process go on, at the end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)


def hold(pids: Sequence[int], share: float) -> None:
    """Hold these processes to their share until one of them has ended."""
    held = [Held(pid, share) for pid in pids]
    due = time.monotonic() + PERIOD
    try:
        while True:
            time.sleep(_LOOK)
            for each in held:
                each.look()
            if (now := time.monotonic()) >= due:
                due = max(due + PERIOD, now)
                for each in held:
                    each.begin()
    except OSError:  # it has ended
        pass
    finally:
        for each in held:
            each.let_go()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        hold([int(word) for word in sys.argv[2:]], float(sys.argv[1]))
