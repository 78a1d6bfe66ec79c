"""Where tools run: never on the loop that carries the audio.

Whatever a tool does, the callers' sound goes on: plain functions run in threads of their own, asynchronous ones on one
loop beside the server's, so that even a `time.sleep` in one of them holds up other tools at most. All of these threads
are daemons: a tool that hangs keeps no process from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final


_MOST_THREADS: Final = 64
"""Tools that may run at the same time; more wait for their turn, within their own deadline."""

_loop_lock: Final = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_threads: Final = threading.BoundedSemaphore(_MOST_THREADS)
_POLL_SECONDS: Final = 0.02


async def in_thread(function: Callable[[], Any]) -> Any:
    """The result of a plain function. When this is cancelled, the function goes on, and nobody hears of it any more."""
    while not _threads.acquire(blocking=False):  # noqa: ASYNC110 - released by threads, which cannot set an Event
        await asyncio.sleep(_POLL_SECONDS)
    here = asyncio.get_running_loop()
    result: asyncio.Future[Any] = here.create_future()

    def settle(set_it: Callable[[Any], None], value: Any) -> None:
        if not result.done():
            set_it(value)

    def work() -> None:
        try:
            told = (result.set_result, function())
        except BaseException as error:
            told = (result.set_exception, _bearable(error))
        finally:
            _threads.release()
        try:
            here.call_soon_threadsafe(settle, *told)
        except RuntimeError:
            pass  # the server has ended meanwhile

    threading.Thread(target=work, name="tool", daemon=True).start()
    return await result


async def beside(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that runs on the tools' own loop. Cancelled together with this."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_guarded(work), _tools_loop()))


async def _guarded(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await work
    except (KeyboardInterrupt, SystemExit, StopIteration) as error:
        raise _bearable(error) from error


def _bearable(error: BaseException) -> BaseException:
    """A tool that raises what is meant to end a process, or what a future cannot hold, has merely failed."""
    bearable = isinstance(error, Exception) and not isinstance(error, StopIteration)
    return error if bearable else RuntimeError(f"{type(error).__name__}: {error}")


def _tools_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _loop_lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="tools", daemon=True).start()
        return _loop
