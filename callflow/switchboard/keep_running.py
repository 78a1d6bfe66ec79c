"""Keeps several background tasks running beside each other.

An exception that nobody has foreseen is a fault of one part. It is logged, the other parts do not notice, and the part
begins again after a pause.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final


log = logging.getLogger(__name__)

Part = Callable[[], Coroutine[Any, Any, None]]
"""Works until it is cancelled, or has nothing more to do. It can be called again."""
_PAUSES: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_WELL_SECONDS: Final = 120.0
"""A part that has worked for so long before it failed is not one that fails again and again."""


async def keep_all_running(parts: Mapping[str, Part], *, pauses: Sequence[float] = _PAUSES) -> None:
    """Do all parts, by name, until cancelled, or until none has anything more to do. `pauses`: see `keep_running`."""
    async with asyncio.TaskGroup() as tasks:
        for name, part in parts.items():
            tasks.create_task(keep_running(name, part, pauses=pauses), name=name)


async def keep_running(name: str, part: Part, *, pauses: Sequence[float] = _PAUSES) -> None:
    """Do one part until it returns, however often it fails. `pauses`: seconds after each failure; the last one holds
    for all that follow."""
    loop, failures = asyncio.get_running_loop(), 0
    while True:
        began = loop.time()
        try:
            await part()
            return
        except (Exception, asyncio.CancelledError) as error:
            if _is_cancelled():
                if isinstance(error, asyncio.CancelledError):
                    raise
                log.exception("%s FAILED because of an internal error as it was to end", name.upper())
                raise asyncio.CancelledError from error  # nobody cancels this task a second time
            failures = 0 if loop.time() - began >= _WELL_SECONDS else failures
            pause = pauses[min(failures, len(pauses) - 1)]
            log.exception("%s FAILED because of an internal error, and begins again in %g s", name.upper(), pause)
            failures += 1
        await asyncio.sleep(pause)


def _is_cancelled() -> bool:
    """Whether this task is to end: what a part waits for may have been cancelled by somebody else."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
