"""A thread with an event loop of its own, on which the connections to a database server live.

The asynchronous driver decodes rows, and what reads them makes dicts of them and looks at files, on the loop that the
connections belong to. This one carries no audio.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from callflow import runtime
from callflow.contracts.errors import DatabaseError


_Found = TypeVar("_Found")

_END_SECONDS: Final = 3.0
"""How long the end waits for what is still being asked: a server that stands still may take longer."""


class ServerThread:
    """Begins with the first coroutine that it is given, and ends with `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()
        self._is_closed = False

    async def run(self, work: Callable[[], Coroutine[Any, Any, _Found]]) -> _Found:
        """Run the coroutine that `work` makes on the thread, and return what it returns, to any event loop.

        Who is cancelled waits until the coroutine, which is cancelled too, has ended, as if it ran here: a transaction
        is then over. Raises what it raises, and DatabaseError once the thread is closed.
        """
        here = asyncio.get_running_loop()
        ended: asyncio.Future[None] = here.create_future()
        tasks: list[asyncio.Task[_Found]] = []

        def begin() -> None:
            task = there.create_task(work(), name="database")
            tasks.append(task)
            task.add_done_callback(tell)

        def tell(_: asyncio.Task[_Found]) -> None:
            try:
                here.call_soon_threadsafe(ended.set_result, None)
            except RuntimeError:  # the loop that asked has ended meanwhile
                pass

        with self._lock:  # so that `close` finds the task
            there = self._opened()
            there.call_soon_threadsafe(begin)
        cancelled: asyncio.CancelledError | None = None
        while not ended.done():
            try:
                await asyncio.shield(ended)
            except asyncio.CancelledError as error:
                cancelled = error
                there.call_soon_threadsafe(lambda: tasks[0].cancel())
        (task,) = tasks
        failed = None if task.cancelled() else task.exception()
        if cancelled is not None:
            raise cancelled
        if task.cancelled():
            raise DatabaseError("the database was closed while it was asked")
        if failed is not None:
            raise failed
        return task.result()

    async def close(self) -> None:
        """End the thread; what is still being asked is cancelled."""
        with self._lock:
            self._is_closed = True
            loop, thread = self._loop, self._thread
        if loop is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(self._closing.set)
            await asyncio.to_thread(thread.join, _END_SECONDS)

    def _opened(self) -> asyncio.AbstractEventLoop:
        if self._is_closed:
            raise DatabaseError("the database is closed")
        if self._loop is None:
            self._loop = runtime.new_loop()
            self._thread = threading.Thread(target=self._serve, args=(self._loop,), name="database", daemon=True)
            self._thread.start()
        return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.get_loop().set_exception_handler(runtime.on_loop_error)
            runner.run(self._until_closed())

    async def _until_closed(self) -> None:
        await self._closing.wait()
