"""The event loop of the tests."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import uvloop

from callflow.runtime import gives_result_late


Result = TypeVar("Result")


class Loop(uvloop.Loop):
    """The product's loop. What was closed at the very end of a test has a few turns to be gone."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not gives_result_late(context):  # a test runner has a handler of its own
            super().call_exception_handler(context)

    def close(self) -> None:
        if not self.is_closed():
            self.run_until_complete(_turns())
        # A warning that is raised as an error keeps uvloop from closing what it warns of, and it would wait for that,
        # out of reach of any time limit.
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            super().close()
        for one in told:
            warnings.warn(one.message, one.category, stacklevel=2)


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0.001)


def run_apart(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on a loop of its own and wait for it, also where a loop is running."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, main).result()


def other_tasks() -> set[asyncio.Task[Any]]:
    """All tasks of the running loop but this one and those of the test runner."""
    mine = asyncio.current_task()
    return {
        task
        for task in asyncio.all_tasks()
        if task is not mine and not getattr(task.get_coro(), "__qualname__", "").startswith("TestRunner.")
    }
