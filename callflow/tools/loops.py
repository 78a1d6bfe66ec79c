"""The loops that asynchronous tools run on: usually one. A tool that holds up its loop (a `time.sleep` in it) holds up
those that run on it already, and nobody else: whatever comes later goes to another loop.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakKeyDictionary

from callflow.contracts.errors import TooManyTools
from callflow.tools.concurrency import Bounds, Held, Place, Places


log = logging.getLogger(__name__)

_BEGIN_SECONDS: Final = 0.25
"""A loop that has not begun a coroutine after so long is held up."""
_LOOPS: Final = Bounds(most=8, per_call=2, per_tool=4, reserve=2)
"""Who may hold up how many; whoever has, waits for these to go on."""
_JOBS: Final = Bounds(most=1000, per_call=200, per_tool=500, reserve=200)
"""Coroutines under way, also those whose time has passed and that do not end."""
_MOST_THREADS: Final = 256
"""For what asynchronous tools hand to threads themselves (`asyncio.to_thread`), all together."""
_NESTED: Final = 10
"""So many times a result may be awaitable itself."""

_whose: Final[ContextVar[Job | None]] = ContextVar("whose", default=None)


class Job:
    """An awaitable that is begun once, by whichever loop comes to it first, or never.

    `ended` is told its result, in a list of one, or what it raised; not when it was dropped before it began.
    """

    def __init__(
        self, call: str, tool: str, work: Awaitable[Any], ended: Callable[[list[Any], BaseException | None], None]
    ) -> None:
        self.call, self.tool = call, tool
        self.settled = threading.Event()
        """It has begun, or never will."""
        self._work: Awaitable[Any] | None = work
        self._ended = ended
        self._lock = threading.Lock()
        self._task: asyncio.Task[Any] | None = None
        self.place: Place | None = None

    @property
    def has_begun(self) -> bool:
        return self._task is not None

    def drop(self) -> bool:
        """Nobody waits for it any more: it is cancelled, or (False) never begins. From any thread."""
        with self._lock:
            work, self._work = self._work, None
            self.settled.set()
        if self._task is None:
            if inspect.iscoroutine(work):
                work.close()
            return False
        try:
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        except RuntimeError:
            pass  # a tool has closed its loop
        return True

    async def run(self) -> None:
        """On one of the loops."""
        with self._lock:
            work, self._work = self._work, None
            if work is None:
                return
            self._task = asyncio.current_task()
            self.settled.set()
        _whose.set(self)
        box: list[Any] = []
        error: BaseException | None = None
        try:
            box.append(await work)
            for _ in range(_NESTED):
                if not inspect.isawaitable(box[0]):
                    break
                box.append(await box.pop())
        except BaseException as raised:  # also its own CancelledError or SystemExit: it has failed, and nothing else
            error = raised
        self._ended(box, error)


class Loops:
    bounds: Final = _JOBS

    def __init__(self) -> None:
        self._lock = threading.Lock()
        """The server's loop takes it too: nobody holds it for longer than a look at these takes."""
        self._making = threading.Lock()
        self._loops: list[_Loop] = []
        self._held_up = Places(_LOOPS)
        self._jobs = Places(_JOBS)
        self._waiting: dict[Job, None] = {}
        self._executor = _DaemonThreads(max_workers=_MOST_THREADS)

    def start(self, job: Job) -> None:
        """Returns when it has begun, was dropped, or waits for a loop to go on. Not for a thread with a loop.

        Raises Crowded."""
        with self._lock:
            if job.settled.is_set():
                return
            reason = self._jobs.refusal(job.call, job.tool)
            if reason:
                raise TooManyTools(reason)
            job.place = self._jobs.take(job.call, job.tool, time.monotonic())
        while not job.settled.is_set():
            loop = self._choose(job)
            if loop is None:
                return
            loop.begin(job)
            if not job.settled.wait(_BEGIN_SECONDS):
                self._held(loop)

    def end(self, job: Job) -> None:
        """It is over, whether it ever began or not."""
        with self._lock:
            self._waiting.pop(job, None)
            if job.place is not None:
                self._jobs.give_back(job.place)
                job.place = None

    def holders(self) -> list[Held]:
        """Who holds up loops."""
        with self._lock:
            return self._held_up.holders(time.monotonic())

    def _choose(self, job: Job) -> _Loop | None:
        """The first loop that goes on. None: the job waits for one that does not."""
        with self._making:
            with self._lock:
                if job.settled.is_set():
                    return None
                if self._held_up.refusal(job.call, job.tool):
                    self._waiting[job] = None
                    return None
                found = next((loop for loop in self._loops if loop.held_up is None), None)
            if found is None:
                found = _Loop(self._executor)
                with self._lock:
                    self._loops.append(found)
            return found

    def _held(self, loop: _Loop) -> None:
        with self._lock:
            if loop.held_up is not None:
                return
            by = loop.present()
            call, tool = (by.call, by.tool) if by is not None else ("", "a callback")
            loop.held_up = self._held_up.take(call, tool, time.monotonic())
        log.warning("call %s: asynchronous tool %s holds up its loop: others begin on another one", call, tool)
        loop.call(lambda: self._goes_on(loop))

    def _goes_on(self, loop: _Loop) -> None:
        with self._lock:
            if loop.held_up is not None:
                self._held_up.give_back(loop.held_up)
                loop.held_up = None
        self._take_waiting(loop)

    def _take_waiting(self, loop: _Loop) -> None:
        """One of those that wait begins here; the next one only when the loop has gone on behind it."""
        with self._lock:
            job = next((each for each in self._waiting if not self._held_up.refusal(each.call, each.tool)), None)
            if job is None or loop.held_up is not None:
                return
            del self._waiting[job]
        loop.begin(job)
        loop.call(lambda: loop.call(lambda: self._take_waiting(loop)))  # its first step lies between these two


class _Loop:
    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.held_up: Place | None = None
        """Whose fault it is that it does not go on."""
        self._whose: WeakKeyDictionary[asyncio.Task[Any], Job] = WeakKeyDictionary()
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(self._task)
        self._loop.set_default_executor(executor)
        threading.Thread(target=self._run, name="tools", daemon=True).start()

    def begin(self, job: Job) -> None:
        self.call(lambda: self._begin(job))

    def call(self, function: Callable[[], Any]) -> None:
        """From any thread."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # a tool has closed it: what was on it is answered when its time has passed

    def present(self) -> Job | None:
        """The job that runs at this moment. From any thread."""
        task = asyncio.current_task(self._loop)
        return self._whose.get(task) if task is not None else None

    def _begin(self, job: Job) -> None:
        task = self._loop.create_task(job.run(), name=f"tool {job.tool}")
        self._whose[task] = job

    def _task(self, loop: asyncio.AbstractEventLoop, work: Any, **others: Any) -> asyncio.Task[Any]:
        """What a tool begins beside itself is still the tool."""
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **others)
        job = _whose.get()
        if job is not None:
            self._whose[task] = job
        return task

    def _run(self) -> None:
        """A tool that stops the loop, or ends it with SystemExit in a task of its own, ends nothing."""
        while not self._loop.is_closed():
            try:
                self._loop.run_forever()
            except BaseException as error:
                log.error("the loop of asynchronous tools goes on after %s", type(error).__name__)


class _DaemonThreads(ThreadPoolExecutor):
    """As many threads as are asked for, up to a bound. Unlike its parent's, they keep no process from ending."""

    def __init__(self, max_workers: int) -> None:
        super().__init__(max_workers)
        self._left = max_workers
        self._idle = self._behind = 0
        """Threads that nothing was given to yet; work that none of them will take at once."""
        self._count = threading.Lock()
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()

    def submit(self, function: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._count:
            is_new = not self._idle and self._left > 0
            self._left -= is_new
            self._behind += not self._idle and not is_new
            self._idle -= self._idle > 0
        self._work.put((future, lambda: function(*args, **named)))
        if is_new:
            threading.Thread(target=self._run, name="tools-thread", daemon=True).start()
        return future

    def _run(self) -> None:
        while True:
            future, function = self._work.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except StopIteration as error:
                    future.set_exception(RuntimeError(repr(error)))  # no future of asyncio takes it
                except BaseException as error:
                    future.set_exception(error)
            del future, function
            with self._count:
                self._idle += not self._behind
                self._behind -= self._behind > 0
