"""The event loops that asynchronous tools run on: usually one.

A tool that blocks its loop (with `time.sleep`, say) delays the tools that run on this loop already, and no others: a
tool that begins later runs on another loop.
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
from callflow.tools.concurrency import Bounds, Holder, Slot, Slots
from callflow.tools.interpreter_watch import Work


log = logging.getLogger(__name__)

_BEGIN_SECONDS: Final = 0.25
"""A loop that does not begin a coroutine within this time is blocked."""
_LOOPS: Final = Bounds(most=8, per_call=2, per_tool=4, reserve=2)
"""How many loops may be blocked; a call or tool that has blocked its share waits until they go on."""
_JOBS: Final = Bounds(most=1000, per_call=200, per_tool=500, reserve=200)
"""Coroutines that run, including those whose time limit has passed and that do not end."""
_MOST_THREADS: Final = 256
"""For `asyncio.to_thread` in asynchronous tools, all together."""
_NESTED: Final = 10
"""How often the result of an awaitable may be awaitable itself."""

_current_job: Final[ContextVar[Job | None]] = ContextVar("current_job", default=None)


class Job:
    """One run of an asynchronous tool. It begins once, on the first loop that is free, or never.

    `ended` is called with its result, in a list of one, or the exception that it raised, on the loop it ran on. It is
    not called when the job was dropped before it began.
    """

    def __init__(
        self, call: str, tool: str, work: Awaitable[Any], ended: Callable[[list[Any], BaseException | None], None]
    ) -> None:
        self.call, self.tool = call, tool
        self.settled = threading.Event()
        """It has begun, or will never begin."""
        self._work: Awaitable[Any] | None = work
        self._ended = ended
        self._lock = threading.Lock()
        self._task: asyncio.Task[Any] | None = None
        self.slot: Slot | None = None

    @property
    def has_begun(self) -> bool:
        """Return whether it runs, or has run."""
        return self._task is not None

    def drop(self) -> bool:
        """Cancel the job, or keep it from beginning. May be called from any thread. Returns whether it had begun."""
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
        """Run on the present loop."""
        with self._lock:
            work, self._work = self._work, None
            if work is None:
                return
            self._task = asyncio.current_task()
            self.settled.set()
        _current_job.set(self)
        box: list[Any] = []
        error: BaseException | None = None
        try:
            box.append(await work)
            for _ in range(_NESTED):
                if not inspect.isawaitable(box[0]):
                    break
                box.append(await box.pop())
        except BaseException as raised:  # also its own CancelledError or SystemExit: only the tool has failed
            error = raised
        self._ended(box, error)


class Loops:
    """The loops of one process, and which of them are blocked."""

    bounds: Final = _JOBS

    def __init__(self) -> None:
        self._lock = threading.Lock()
        """The server's loop takes it, too, so it is held only for looking at the fields below."""
        self._choosing = threading.Lock()
        self._loops: list[_Loop] = []
        self._blocked_slots = Slots(_LOOPS)
        self._jobs = Slots(_JOBS)
        self._waiting: dict[Job, None] = {}
        self._executor = _DaemonThreads(max_workers=_MOST_THREADS)

    def start(self, job: Job) -> None:
        """Begin a job. Returns when it has begun, was dropped, or waits for a loop that is blocked.

        Not for a thread that runs an event loop, which would be blocked. Raises TooManyTools.
        """
        with self._lock:
            if job.settled.is_set():
                return
            reason = self._jobs.refusal(job.call, job.tool)
            if reason:
                raise TooManyTools(reason)
            job.slot = self._jobs.take(job.call, job.tool, time.monotonic())
        while not job.settled.is_set():
            loop = self._choose(job)
            if loop is None:
                return
            loop.begin(job)
            if not job.settled.wait(_BEGIN_SECONDS):
                self._note_blocked(loop)

    def end(self, job: Job) -> None:
        """Free what a job holds. It has ended, or was dropped."""
        with self._lock:
            self._waiting.pop(job, None)
            if job.slot is not None:
                self._jobs.give_back(job.slot)
                job.slot = None

    def holders(self) -> list[Holder]:
        """Return which tools block loops."""
        with self._lock:
            return self._blocked_slots.holders(time.monotonic())

    def at_work(self) -> list[Work]:
        """Return the runs that have their loop's thread at this moment."""
        now, found = time.monotonic(), []
        for loop in list(self._loops):
            job = loop.present()
            if job is not None and job.slot is not None:
                seconds = now - job.slot.since
                found.append(Work(job.tool, job.call, seconds, seconds, now))
        return found

    def _choose(self, job: Job) -> _Loop | None:
        """Return the first loop that is not blocked. None: the job waits for one that is."""
        with self._choosing:
            with self._lock:
                if job.settled.is_set():
                    return None
                if self._blocked_slots.refusal(job.call, job.tool):
                    self._waiting[job] = None
                    return None
                found = next((loop for loop in self._loops if loop.blocked_by is None), None)
            if found is None:
                found = _Loop(self._executor)
                with self._lock:
                    self._loops.append(found)
            return found

    def _note_blocked(self, loop: _Loop) -> None:
        with self._lock:
            if loop.blocked_by is not None:
                return
            by = loop.present()
            call, tool = (by.call, by.tool) if by is not None else ("", "a callback")
            loop.blocked_by = self._blocked_slots.take(call, tool, time.monotonic())
        log.warning("call %s: asynchronous tool %s holds up its loop: others begin on another one", call, tool)
        loop.call(lambda: self._goes_on(loop))

    def _goes_on(self, loop: _Loop) -> None:
        with self._lock:
            if loop.blocked_by is not None:
                self._blocked_slots.give_back(loop.blocked_by)
                loop.blocked_by = None
        self._take_waiting(loop)

    def _take_waiting(self, loop: _Loop) -> None:
        """Begin one of the waiting jobs on this loop, and the next one only when the loop has gone on after it."""
        with self._lock:
            job = next((each for each in self._waiting if not self._blocked_slots.refusal(each.call, each.tool)), None)
            if job is None or loop.blocked_by is not None:
                return
            del self._waiting[job]
        loop.begin(job)
        loop.call(lambda: loop.call(lambda: self._take_waiting(loop)))  # the job's first step runs between these two


class _Loop:
    """One event loop in a thread of its own."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.blocked_by: Slot | None = None
        """The slot of the job that blocks it; None: it goes on."""
        self._jobs_of_tasks: WeakKeyDictionary[asyncio.Task[Any], Job] = WeakKeyDictionary()
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(self._task)
        self._loop.set_default_executor(executor)
        threading.Thread(target=self._run, name="tools", daemon=True).start()

    def begin(self, job: Job) -> None:
        """Begin a job. May be called from any thread."""
        self.call(lambda: self._begin(job))

    def call(self, function: Callable[[], Any]) -> None:
        """Call a function on this loop. May be called from any thread."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # a tool has closed it: its jobs end by their time limits

    def present(self) -> Job | None:
        """Return the job that runs at this moment. May be called from any thread."""
        task = asyncio.current_task(self._loop)
        return self._jobs_of_tasks.get(task) if task is not None else None

    def _begin(self, job: Job) -> None:
        task = self._loop.create_task(job.run(), name=f"tool {job.tool}")
        self._jobs_of_tasks[task] = job

    def _task(self, loop: asyncio.AbstractEventLoop, work: Any, **others: Any) -> asyncio.Task[Any]:
        """Make a task; one that a tool begins belongs to the job of that tool."""
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **others)
        job = _current_job.get()
        if job is not None:
            self._jobs_of_tasks[task] = job
        return task

    def _run(self) -> None:
        """Run the loop for ever: also when a tool stops it, or raises SystemExit in a task of its own."""
        while not self._loop.is_closed():
            try:
                self._loop.run_forever()
            except BaseException as error:
                log.error("the loop of asynchronous tools goes on after %s", type(error).__name__)


class _DaemonThreads(ThreadPoolExecutor):
    """A pool of daemon threads, which do not keep the process from ending. It grows up to a limit."""

    def __init__(self, max_workers: int) -> None:
        super().__init__(max_workers)
        self._left = max_workers
        self._idle = self._behind = 0
        """Threads that are free; work that no free thread will take at once."""
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
                    future.set_exception(RuntimeError(repr(error)))  # which a future of asyncio does not accept
                except BaseException as error:
                    future.set_exception(error)
            del future, function
            with self._count:
                self._idle += not self._behind
                self._behind -= self._behind > 0
