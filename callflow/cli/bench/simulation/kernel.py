"""Virtual time: what happens when, and processes that can be frozen and killed.

Work is a generator that yields how many seconds it waits, or the signal it waits for. Nothing reads a clock, and what
happens at the same moment happens in the order in which it was asked for.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from typing import Any, Literal


Work = Generator["float | Signal", Any, None]


class Kernel:
    """The clock, and what is still to happen."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the beginning."""
        self._queue: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._count = 0

    def after(self, seconds: float, do: Callable[..., object], *arguments: Any) -> None:
        """Call something after so many seconds of virtual time."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + seconds, self._count, do, arguments))

    def run(self, until: float) -> None:
        """Let everything happen that is due until then."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, do, arguments = heapq.heappop(queue)
            do(*arguments)
        self.now = until


class Signal:
    """Something that happens once, and has a value then."""

    __slots__ = ("_waiting", "is_set", "value")

    def __init__(self) -> None:
        self.is_set = False
        self.value: Any = None
        self._waiting: list[Callable[[Any], object]] = []

    def fire(self, value: Any = None) -> None:
        """Resume all who wait for it, with this value. Does nothing the second time."""
        if self.is_set:
            return
        self.is_set, self.value = True, value
        for resume in self._waiting:
            resume(value)
        self._waiting.clear()

    def then(self, do: Callable[[Any], object]) -> None:
        """Call something with the value: now, if it has happened."""
        if self.is_set:
            do(self.value)
        else:
            self._waiting.append(do)


class Host:
    """A process of an operating system. Frozen: nothing of it goes on. Ended: nothing of it ever will."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.state: Literal["running", "frozen", "ended"] = "running"
        self._held_back: list[tuple[Work, Any]] = []
        self._free_at = 0.0

    def start(self, work: Work) -> None:
        """Begin some work."""
        self._resume(work, None)

    def freeze(self) -> None:
        """Stop the process as SIGSTOP does."""
        if self.state == "running":
            self.state = "frozen"

    def thaw(self) -> None:
        """Let the process go on, with all that has come meanwhile."""
        if self.state == "frozen":
            self.state = "running"
            waiting, self._held_back = self._held_back, []
            for work, value in waiting:
                self._resume(work, value)

    def end(self) -> None:
        """Kill the process."""
        self.state = "ended"
        self._held_back.clear()

    def compute(self, seconds: float) -> float:
        """Take the only processor of this process for so long. Returns after how many seconds that is done."""
        self._free_at = max(self._free_at, self.kernel.now) + seconds
        return self._free_at - self.kernel.now

    @property
    def lag(self) -> float:
        """How long work waits for the processor now, in seconds."""
        return max(0.0, self._free_at - self.kernel.now)

    def _resume(self, work: Work, value: Any) -> None:
        if self.state != "running":
            if self.state == "frozen":
                self._held_back.append((work, value))
            return
        try:
            wanted = work.send(value)
        except StopIteration:
            return
        if isinstance(wanted, Signal):
            wanted.then(lambda found: self._resume(work, found))
        else:
            self.kernel.after(wanted, self._resume, work, None)
