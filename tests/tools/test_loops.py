"""Jobs, and the loops and threads on which asynchronous tools run: what ends how, on real threads.

What hangs, and whom it holds up, is told in test_runner.py.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest

from callflow.contracts.errors import TooManyTools
from callflow.tools import loops as module
from callflow.tools.concurrency import Bounds
from callflow.tools.loops import Job, Loops


SECONDS = 10.0


class Ended:
    """What became of a job."""

    def __init__(self) -> None:
        self.happened = threading.Event()
        self.box: list[Any] = []
        self.error: BaseException | None = None
        self.times = 0

    def __call__(self, box: list[Any], error: BaseException | None) -> None:
        self.box, self.error, self.times = box, error, self.times + 1
        self.happened.set()

    def outcome(self) -> Any:
        assert self.happened.wait(SECONDS), "it does not end"
        return self.error if self.error is not None else self.box[0]


@pytest.fixture
def loops() -> Loops:
    return Loops()


def job(work: Awaitable[Any], ended: Ended, call: str = "c", tool: str = "t") -> Job:
    return Job(call, tool, work, ended)


async def answers(value: Any) -> Any:
    return value


async def nested(depth: int) -> Any:
    return nested(depth - 1) if depth else "found"


async def fails(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("work", "result"),
    [
        (lambda: answers(7), 7), (lambda: answers(None), None), (lambda: nested(3), "found"),
        (lambda: nested(10), "found"),
    ],
)  # fmt: skip
def test_what_a_tool_returns_is_its_result_also_behind_other_awaitables(
    loops: Loops, work: Callable[[], Any], result: Any
) -> None:
    ended = Ended()
    made = job(work(), ended)
    loops.start(made)
    assert (ended.outcome(), ended.times, made.has_begun) == (result, 1, True)
    loops.end(made)
    loops.start(made)
    assert ended.times == 1, "it begins once"


def test_a_tool_that_promises_for_ever_is_not_awaited_for_ever(loops: Loops) -> None:
    ended = Ended()
    loops.start(job(nested(50), ended))
    left = ended.outcome()
    assert inspect.iscoroutine(left)
    left.close()


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_whatever_a_tool_raises_ends_it_alone(loops: Loops, error: BaseException) -> None:
    ended, after = Ended(), Ended()
    loops.start(job(fails(error), ended))
    assert type(ended.outcome()) is type(error)
    loops.start(job(answers("on"), after))
    assert after.outcome() == "on"
    assert len(loops._loops) == 1, "its loop goes on"


def test_a_job_that_is_dropped_before_it_begins_never_does(loops: Loops) -> None:
    ended, work = Ended(), answers(1)
    dropped = job(work, ended)
    assert not dropped.drop()
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED, "nobody is warned of it"
    assert (dropped.settled.is_set(), dropped.has_begun) == (True, False)
    loops.start(dropped)
    asyncio.run(dropped.run())
    assert (ended.times, loops._jobs.free) == (0, module._JOBS.most)


def test_a_job_that_is_dropped_while_it_runs_is_cancelled(loops: Loops) -> None:
    ended, cleaned = Ended(), threading.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    running = job(waits(), ended)
    loops.start(running)
    assert running.drop()
    assert isinstance(ended.outcome(), asyncio.CancelledError)
    assert cleaned.is_set()
    assert running.drop(), "once more is nothing"


def test_places_are_bounded_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_JOBS", Bounds(most=2, per_call=1, per_tool=2, reserve=0))
    loops = Loops()
    first, second, third = (job(answers(1), Ended(), call) for call in ("a", "a", "b"))
    loops.start(first)
    with pytest.raises(TooManyTools):
        loops.start(second)
    loops.start(third)
    loops.end(second)  # it had none
    loops.end(first)
    loops.end(first)
    loops.start(second)
    assert second.settled.wait(SECONDS)
    for each in (second, third):
        loops.end(each)
    assert loops._jobs.holders(0) == []


def test_who_has_a_loops_thread_at_this_moment_is_told(loops: Loops) -> None:
    goes_on, ended = threading.Event(), Ended()

    async def blocks() -> None:
        goes_on.wait(SECONDS)

    blocking = job(blocks(), ended, "call", "tool")
    loops.start(blocking)
    (work,) = loops.at_work()
    assert (work.tool, work.call) == ("tool", "call")
    goes_on.set()
    ended.outcome()
    loops.end(blocking)
    assert loops.at_work() == []


# Threads


def done(future: Future[Any]) -> Any:
    return future.result(SECONDS)


def test_the_threads_of_tools_give_results_and_errors_and_are_no_more_than_they_may_be() -> None:
    threads, names, goes_on = module._DaemonThreads(2), set[int](), threading.Event()

    def works(value: int) -> int:
        names.add(threading.get_ident())
        goes_on.wait(SECONDS)
        return value

    waiting = [threads.submit(works, number) for number in range(6)]
    cancelled = waiting.pop()
    assert cancelled.cancel(), "no thread has come to it"
    goes_on.set()
    assert [done(each) for each in waiting] == list(range(5))
    assert len(names) <= 2
    with pytest.raises(CancelledError):
        done(cancelled)
    assert done(threads.submit(works, 7)) == 7, "its threads are free again"


@pytest.mark.parametrize(
    ("error", "told"), [(ValueError("x"), ValueError), (StopIteration(1), RuntimeError), (SystemExit(1), SystemExit)]
)
def test_what_a_thread_raises_is_told_and_ends_no_thread(error: BaseException, told: type[BaseException]) -> None:
    threads = module._DaemonThreads(1)

    def fails() -> None:
        raise error

    with pytest.raises(told):
        done(threads.submit(fails))
    assert done(threads.submit(lambda: threading.current_thread().daemon)) is True
