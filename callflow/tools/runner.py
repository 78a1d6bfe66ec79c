"""Where tools run: never on the loop that carries the audio.

A run has two or three parts, and each ends in one outcome. In a thread of its own, arguments are read, the function is
called and its result is written. What is awaitable is awaited on a loop beside the server's (`tool_loops.py`), and its
result is written in another thread. The server's loop waits for the outcome, and touches no result.

Threads are shared out (`tool_places.py`), because one whose tool hangs is gone until that ends, if ever. All of them
are daemons: a tool that hangs keeps no process from ending.
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
from callflow.tools.concurrency import Bounds, Held, Place, Places, named
from callflow.tools.loops import Job, Loops


log = logging.getLogger(__name__)

_THREADS: Final = Bounds(most=64, per_call=8, per_tool=32, reserve=16)
_WARN_SECONDS: Final = 5.0
"""Who holds the threads is told once in so long."""

Outcome = TypeVar("Outcome")


class Pending(NamedTuple):
    """What a function has answered with is still to be awaited."""

    work: Awaitable[Any]


class _Waiter:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.place: Place | None = None

    def let_in(self, place: Place) -> None:
        self.place = place
        try:
            self.loop.call_soon_threadsafe(self._settle)
        except RuntimeError:
            pass  # its server has ended

    def _settle(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Gate:
    """Lets runs in while there are places for them, the others as soon as one is given back; calls take turns."""

    def __init__(self, bounds: Bounds) -> None:
        self._places = Places(bounds)
        self._waiting: OrderedDict[tuple[str, str], OrderedDict[_Waiter, None]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def bounds(self) -> Bounds:
        return self._places.bounds

    async def enter(self, call: str, tool: str) -> Place:
        key = (call, tool)
        with self._lock:
            if key not in self._waiting and not self._places.refusal(call, tool):
                return self._places.take(call, tool, time.monotonic())
            waiter = _Waiter()
            self._waiting.setdefault(key, OrderedDict())[waiter] = None
        try:
            await waiter.future
        except asyncio.CancelledError:
            with self._lock:
                if waiter.place is not None:
                    self._leave(waiter.place)
                else:
                    self._forget(key, waiter)
            raise
        assert waiter.place is not None
        return waiter.place

    def take(self, call: str, tool: str) -> Place:
        """At once, whatever the bounds say."""
        with self._lock:
            return self._places.take(call, tool, time.monotonic())

    def leave(self, place: Place) -> None:
        """From any thread."""
        with self._lock:
            self._leave(place)

    def refusal(self, call: str, tool: str) -> ToolLimit:
        with self._lock:
            return self._places.refusal(call, tool)

    def holders(self) -> list[Held]:
        with self._lock:
            return self._places.holders(time.monotonic())

    def _leave(self, place: Place) -> None:
        self._places.give_back(place)
        for key in list(self._waiting):
            if self._places.free <= 0:
                break
            if not self._places.refusal(*key):
                waiter = next(iter(self._waiting[key]))
                self._forget(key, waiter)
                if key in self._waiting:
                    self._waiting.move_to_end(key)
                waiter.let_in(self._places.take(*key, time.monotonic()))

    def _forget(self, key: tuple[str, str], waiter: _Waiter) -> None:
        del self._waiting[key][waiter]
        if not self._waiting[key]:
            del self._waiting[key]


class _Starter:
    """Starts threads from one of its own: to start one is to wait for it, for as long as other threads are busy."""

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

    def start(self, place: Place) -> None:
        self.has_thread = True
        self._runner.starter.start(lambda: self._first(place), lambda why: self._no_thread(why, place))

    def is_over(self) -> bool:
        """Nobody waits for the outcome any more."""
        return self._over

    def give_up(self) -> None:
        with self._lock:
            self._over, job = True, self._job
        if job is not None and not job.drop():
            self._runner.loops.end(job)

    @property
    def waits_for_loop(self) -> bool:
        return self._job is not None and not self._job.has_begun

    # In threads

    def _first(self, place: Place) -> None:
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
            self._runner.gate.leave(place)

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
        """On a loop of the tools. What is ready is written, however many threads there are."""
        assert self._job is not None
        job, place = self._job, self._runner.gate.take(self._call, self._tool)
        self._runner.starter.start(
            lambda: self._last(job, place, box, error), lambda why: self._no_thread(why, place, job)
        )

    def _last(self, job: Job, place: Place, box: list[Any], error: BaseException | None) -> None:
        try:
            self._tell(self._finish(box, error, self.is_over))
        except BaseException as raised:
            self._fail(_failed(raised))
        finally:
            self._runner.loops.end(job)
            self._runner.gate.leave(place)

    def _no_thread(self, why: str, place: Place, job: Job | None = None) -> None:
        self._fail(why)
        if job is not None:
            self._runner.loops.end(job)
        self._runner.gate.leave(place)

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
        self.gate, self.starter, self.loops = Gate(threads), _Starter(), Loops()
        self._warnings = RateLimit(per_second=1 / _WARN_SECONDS, at_once=1)

    async def run(
        self,
        call: str,
        tool: str,
        seconds: float,
        begin: Callable[[Callable[[], bool]], Outcome | Pending],
        finish: Callable[[list[Any], BaseException | None, Callable[[], bool]], Outcome],
    ) -> Outcome:
        """The outcome of `begin`, or that of `finish` for what `begin` had pending: its result in a list of one, which
        is to be emptied, or what it raised. Both run in threads, and are given a function that says whether nobody
        waits any more.

        Raises NoOutcome. When this is cancelled, or its time has passed, asynchronous work is cancelled, and nobody
        hears of what a thread still does.
        """
        this = _Run(self, call, tool, begin, finish)
        try:
            async with asyncio.timeout(seconds):
                this.start(await self.gate.enter(call, tool))
                outcome = await this.outcome
        except TimeoutError:
            raise NoOutcome(self._late(this, call, tool, seconds)) from None
        finally:
            this.give_up()
        if isinstance(outcome, NoOutcome):
            log.warning("call %s: tool %s %s", call, tool, outcome)
            raise outcome
        return outcome

    def _late(self, this: _Run[Any], call: str, tool: str, seconds: float) -> str:
        if this.has_thread and not this.waits_for_loop:
            log.warning("call %s: tool %s did not answer within %g s", call, tool, seconds)
            return f"did not answer within {seconds:g} seconds"
        if this.has_thread:
            what, why = "loop", "asynchronous tools do not let go of the loops they run on"
            holders = self.loops.holders()
        else:
            what, why = "thread", _why(self.gate.refusal(call, tool), self.gate.bounds)
            holders = self.gate.holders()
        if self._warnings.take(time.monotonic()):
            log.warning("call %s: tool %s got no %s: %s; held by: %s", call, tool, what, why, named(holders))
        return f"could not begin within {seconds:g} seconds: {why}"


usual: Final = Runner()
"""That of this process."""


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
