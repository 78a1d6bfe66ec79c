"""The tasks of one call. After the end of the call all of them end within half a second."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final


_CLOSE_SECONDS: Final = 0.5


class OwnedTasks:
    """Tasks that end with a call; tasks of the engine's sessions may run a moment longer."""

    def __init__(self, call: str) -> None:
        self._call = call
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a task that ends with the call."""
        self._start(self._tasks, work, name)

    def start_session(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a task of an engine's session."""
        self._start(self._sessions, work, name)

    async def end(self, *closes: Coroutine[Any, Any, None], sessions: bool) -> None:
        """Run `closes` for half a second at most, then cancel all running tasks. `sessions`: also the tasks of the
        engine's sessions."""
        closing = [asyncio.ensure_future(close) for close in closes]
        try:
            await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
        finally:
            running = (*closing, *self._tasks, *(self._sessions if sessions else ()))
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _start(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"{name} {self._call}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)
