"""Runs tools in threads, never on the event loop that carries the audio.

In a thread of its own the arguments are read, the function is called, and its result is written as JSON. An awaitable
result is awaited on a separate event loop (`loops.py`), and written in another thread. The server's loop only waits for
the outcome.

The number of threads is limited (`concurrency.py`), because a tool that hangs keeps its thread until it ends, if ever.
All threads are daemons, so a tool that hangs does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from callflow.contracts.errors import NoOutcome, ToolLimit, TooManyTools
from callflow.contracts.rate_limit import RateLimit
from callflow.tools.concurrency import Bounds, Holder, Slot, Slots, describe_holders
from callflow.tools.interpreter_watch import Work, WorkingThreads
from callflow.tools.loops import Job, Loops


log = logging.getLogger(__name__)

_THREADS: Final = Bounds(most=64, per_call=8, per_tool=32, reserve=16)
_WARN_SECONDS: Final = 5.0
"""The shortest time between two log lines about what holds the threads."""

Outcome = TypeVar("Outcome")


class Pending(NamedTuple):
    """The function has returned an awaitable, which is still to be awaited."""

    work: Awaitable[Any]


class _Waiter:
    """One run that waits for a slot, on the event loop that it was made on."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.slot: Slot | None = None

    def give(self, slot: Slot) -> None:
        """Give it a slot. May be called from any thread."""
        self.slot = slot
        try:
            self.loop.call_soon_threadsafe(self._settle)
        except RuntimeError:
            pass  # that loop has ended

    def _settle(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class ThreadSlots:
    """Admits runs while slots are free. The others wait for one, and calls and tools that wait take turns."""

    def __init__(self, bounds: Bounds) -> None:
        self._slots = Slots(bounds)
        self._waiting: OrderedDict[tuple[str, str], OrderedDict[_Waiter, None]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def bounds(self) -> Bounds:
        """How many runs may go on at a time."""
        return self._slots.bounds

    async def enter(self, call: str, tool: str) -> Slot:
        """Wait for a slot."""
        key = (call, tool)
        with self._lock:
            if key not in self._waiting and not self._slots.refusal(call, tool):
                return self._slots.take(call, tool, time.monotonic())
            waiter = _Waiter()
            self._waiting.setdefault(key, OrderedDict())[waiter] = None
        try:
            await waiter.future
        except asyncio.CancelledError:
            with self._lock:
                if waiter.slot is not None:
                    self._leave(waiter.slot)
                else:
                    self._forget(key, waiter)
            raise
        assert waiter.slot is not None
        return waiter.slot

    def take(self, call: str, tool: str) -> Slot:
        """Take a slot at once, even when there is none."""
        with self._lock:
            return self._slots.take(call, tool, time.monotonic())

    def leave(self, slot: Slot) -> None:
        """Free a slot. May be called from any thread."""
        with self._lock:
            self._leave(slot)

    def refusal(self, call: str, tool: str) -> ToolLimit:
        """See `Slots.refusal`."""
        with self._lock:
            return self._slots.refusal(call, tool)

    def holders(self) -> list[Holder]:
        """See `Slots.holders`."""
        with self._lock:
            return self._slots.holders(time.monotonic())

    def _leave(self, slot: Slot) -> None:
        self._slots.give_back(slot)
        for key in list(self._waiting):
            if self._slots.free <= 0:
                break
            if not self._slots.refusal(*key):
                waiter = next(iter(self._waiting[key]))
                self._forget(key, waiter)
                if key in self._waiting:
                    self._waiting.move_to_end(key)
                waiter.give(self._slots.take(*key, time.monotonic()))

    def _forget(self, key: tuple[str, str], waiter: _Waiter) -> None:
        del self._waiting[key][waiter]
        if not self._waiting[key]:
            del self._waiting[key]


class _Starter:
    """Starts threads from a thread of its own: starting one blocks while other threads are busy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_up = False
        self._work: queue.SimpleQueue[tuple[Callable[[], None], Callable[[str], None]]] = queue.SimpleQueue()

    def start(self, work: Callable[[], None], failed: Callable[[str], None]) -> None:
        with self._lock:
            if not self._is_up:
                threading.Thread(target=self._run, name="tool-starter", daemon=True).start()
                self._is_up = True
        self._work.put((work, failed))

    def _run(self) -> None:
        while True:
            work, failed = self._work.get()
            try:
                threading.Thread(target=work, name="tool", daemon=True).start()
            except (RuntimeError, MemoryError) as error:
                failed(f"could not be given a thread: {error}")
            del work, failed


class _Run(Generic[Outcome]):
    """One run of a tool: see `Runner.run`."""

    def __init__(
        self,
        runner: Runner,
        call: str,
        tool: str,
        begin: Callable[[Callable[[], bool]], Outcome | Pending],
        finish: Callable[[list[Any], BaseException | None, Callable[[], bool]], Outcome],
    ) -> None:
        self._runner, self._call, self._tool, self._begin, self._finish = runner, call, tool, begin, finish
        self._here = asyncio.get_running_loop()
        self.outcome: asyncio.Future[Outcome | NoOutcome] = self._here.create_future()
        self.has_thread = False
        self._over = False
        self._lock = threading.Lock()
        self._job: Job | None = None

    def start(self, slot: Slot) -> None:
        self.has_thread = True
        self._runner.starter.start(lambda: self._first(slot), lambda why: self._no_thread(why, slot))

    def is_over(self) -> bool:
        """Return whether nobody waits for the outcome any more."""
        return self._over

    def give_up(self) -> None:
        """Cancel what can be cancelled: nobody waits any more."""
        with self._lock:
            self._over, job = True, self._job
        if job is not None and not job.drop():
            self._runner.loops.end(job)

    @property
    def waits_for_loop(self) -> bool:
        """Return whether it waits for a loop that is blocked."""
        return self._job is not None and not self._job.has_begun

    # In threads

    def _first(self, slot: Slot) -> None:
        self._runner.working.began(slot)
        try:
            if self._over:
                return
            begun = self._begin(self.is_over)
            if isinstance(begun, Pending):
                self._await(begun.work)
            else:
                self._tell(begun)
        except BaseException as error:
            self._fail(_failed(error))
        finally:
            self._runner.working.ended(slot)
            self._runner.thread_slots.leave(slot)

    def _await(self, work: Awaitable[Any]) -> None:
        job = Job(self._call, self._tool, work, self._ended)
        with self._lock:
            self._job = job
        try:
            if self._over:
                job.drop()
            else:
                self._runner.loops.start(job)
        except TooManyTools as crowded:
            job.drop()
            self._fail(f"could not begin: {_why(crowded.reason, self._runner.loops.bounds)}")

    def _ended(self, box: list[Any], error: BaseException | None) -> None:
        """Write the result in another thread, even when there is no slot. Runs on the loop of the tool."""
        assert self._job is not None
        job, slot = self._job, self._runner.thread_slots.take(self._call, self._tool)
        self._runner.starter.start(
            lambda: self._last(job, slot, box, error), lambda why: self._no_thread(why, slot, job)
        )

    def _last(self, job: Job, slot: Slot, box: list[Any], error: BaseException | None) -> None:
        self._runner.working.began(slot)
        try:
            self._tell(self._finish(box, error, self.is_over))
        except BaseException as raised:
            self._fail(_failed(raised))
        finally:
            self._runner.loops.end(job)
            self._runner.working.ended(slot)
            self._runner.thread_slots.leave(slot)

    def _no_thread(self, why: str, slot: Slot, job: Job | None = None) -> None:
        self._fail(why)
        if job is not None:
            self._runner.loops.end(job)
        self._runner.thread_slots.leave(slot)

    def _fail(self, why: str) -> None:
        self._tell(NoOutcome(why))

    def _tell(self, outcome: Outcome | NoOutcome) -> None:
        try:
            self._here.call_soon_threadsafe(self._settle, outcome)
        except RuntimeError:
            pass  # the server has ended meanwhile

    def _settle(self, outcome: Outcome | NoOutcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Runner:
    """The threads and loops of one process."""

    def __init__(self, threads: Bounds = _THREADS) -> None:
        self.thread_slots, self.starter, self.loops = ThreadSlots(threads), _Starter(), Loops()
        self.working = WorkingThreads()
        self._warnings = RateLimit(per_second=1 / _WARN_SECONDS, at_once=1)

    async def run(
        self,
        call: str,
        tool: str,
        seconds: float,
        begin: Callable[[Callable[[], bool]], Outcome | Pending],
        finish: Callable[[list[Any], BaseException | None, Callable[[], bool]], Outcome],
    ) -> Outcome:
        """Run a tool within a time limit of `seconds`, and return its outcome.

        `begin` calls the tool; it returns an outcome or `Pending`. `finish` is then given the result of the awaitable,
        in a list of one that it should empty, or the exception. Both run in threads, and are given a function that says
        whether nobody waits any more.

        Raises NoOutcome. When this is cancelled, or the time has passed, asynchronous work is cancelled, and what a
        thread still does is ignored.
        """
        this = _Run(self, call, tool, begin, finish)
        try:
            async with asyncio.timeout(seconds):
                this.start(await self.thread_slots.enter(call, tool))
                outcome = await this.outcome
        except TimeoutError:
            raise NoOutcome(self._late(this, call, tool, seconds)) from None
        finally:
            this.give_up()
        if isinstance(outcome, NoOutcome):
            log.warning("call %s: tool %s %s", call, tool, outcome)
            raise outcome
        return outcome

    def at_work(self, since: float) -> list[Work]:
        """Return what was at work at this time of the monotonic clock, or later."""
        return self.working.since(since) + self.loops.at_work()

    def _late(self, this: _Run[Any], call: str, tool: str, seconds: float) -> str:
        if this.has_thread and not this.waits_for_loop:
            log.warning("call %s: tool %s did not answer within %g s", call, tool, seconds)
            return f"did not answer within {seconds:g} seconds"
        if this.has_thread:
            what, why = "loop", "asynchronous tools do not let go of the loops they run on"
            holders = self.loops.holders()
        else:
            what, why = "thread", _why(self.thread_slots.refusal(call, tool), self.thread_slots.bounds)
            holders = self.thread_slots.holders()
        if self._warnings.take(time.monotonic()):
            log.warning("call %s: tool %s got no %s: %s; held by: %s", call, tool, what, why, describe_holders(holders))
        return f"could not begin within {seconds:g} seconds: {why}"


default_runner: Final = Runner()
"""The runner of this process."""


def _why(reason: ToolLimit, bounds: Bounds) -> str:
    match reason:
        case "call":
            return f"{bounds.per_call} tools of this call have not ended yet"
        case "tool":
            return f"{bounds.per_tool} runs of this tool have not ended yet"
        case "reserve":
            return "tools of this call have not ended yet, and the last places are kept for other calls"
        case _:
            return "too many tools have not ended yet"


def _failed(error: BaseException) -> str:
    log.error("a tool's outcome could not be told: %s", object.__repr__(error))
    return "failed"
