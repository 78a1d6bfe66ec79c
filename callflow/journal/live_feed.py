"""The live feed: what happens to the calls, told to those who watch at that moment. Nothing is kept.

Telling never waits: a slow watcher loses the oldest news, and can see how many.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from callflow.journal import notes
from callflow.journal.notes import Note, UnknownNote


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """One step or note of a call, as it is told to those who watch."""

    at: float
    """Unix time, seconds."""
    call: str
    kind: str
    """`step`, or the kind of a note."""
    data: dict[str, Any] = field(default_factory=dict)
    """Of a step: event, before, after, commands, cause and the numbers of both sides. Of a note: its fields."""

    @property
    def note(self) -> Note | UnknownNote | None:
        """Read the note that it tells. None: it tells a step."""
        return None if self.kind == "step" else notes.read({"event": self.kind, **self.data})


class Watcher:
    """`async for news in watcher` until `close`."""

    def __init__(self, bound: int) -> None:
        self._queue: deque[LiveEvent] = deque(maxlen=bound)
        self._wake = asyncio.Event()
        self._closed = False
        self.missed = 0

    def add(self, news: LiveEvent) -> None:
        """Add an event to what waits for this watcher; the oldest one is lost if there are too many."""
        if len(self._queue) == self._queue.maxlen:
            self.missed += 1
        self._queue.append(news)
        self._wake.set()

    def close(self) -> None:
        """End the iteration, when what waits has been read."""
        self._closed = True
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[LiveEvent]:
        while True:
            while self._queue:
                yield self._queue.popleft()
            if self._closed:
                return
            self._wake.clear()
            await self._wake.wait()


class LiveFeed:
    """Tells every watcher what happens in all calls. It costs nothing while nobody watches."""

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []

    def publish(self, at: float, call: str, kind: str, **data: Any) -> None:
        """Tell all watchers of a step or a note. `at`: Unix time, seconds. `kind`, `data`: see `LiveEvent`."""
        if self._watchers:
            news = LiveEvent(at, call, kind, data)
            for watcher in self._watchers:
                watcher.add(news)

    @contextmanager
    def watch(self, bound: int = 1000) -> Iterator[Watcher]:
        """Watch from now until the block is left. `bound`: the most events that wait for this watcher."""
        watcher = Watcher(bound)
        self._watchers.append(watcher)
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)
            watcher.close()
