"""Changes that are finished although whoever asked for them has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar


_Found = TypeVar("_Found")
_CLOSE_SECONDS: Final = 5.0
"""How long a stop waits for those that are under way."""


class ShieldedChanges:
    """Finishes a change even if its client closes the connection, so that database and server agree. One for all that a
    server changes, so that its stop waits for all of them at once."""

    def __init__(self) -> None:
        self._changes: set[asyncio.Task[Any]] = set()

    async def __call__(self, work: Coroutine[Any, Any, _Found]) -> _Found:
        """Return what it returns."""
        task = asyncio.create_task(work, name="a change that was asked for")
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait, for five seconds at most, until what was asked for is done."""
        if self._changes:
            await asyncio.wait(self._changes, timeout=_CLOSE_SECONDS)
