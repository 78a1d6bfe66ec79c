"""Tools that keep the interpreter from the event loop are named; those that wait, or work beside it, are not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from callflow.telemetry.loop_lag import LoopLag
from callflow.tools.concurrency import Bounds, Slot
from callflow.tools.interpreter_watch import InterpreterWatch, Work, WorkingThreads
from callflow.tools.registry import ToolContext, Tools, from_function
from callflow.tools.runner import Runner, default_runner


def work(tool: str = "sums", seconds: float = 1.0, used: float = 0.9, delayed: float = 0.0) -> Work:
    return Work(tool, "a call", seconds, used, 0.0, delayed)


def watched(at_work: list[Work], samples: list[tuple[float, float]], every: float = 0.1) -> None:
    watch, now = InterpreterWatch(lambda since: at_work), 100.0
    for lag, used in samples:
        watch.sample(lag, used, now)
        now += every


def test_one_long_stop_names_the_tool(caplog: pytest.LogCaptureFixture) -> None:
    watched([work()], [(0.3, 0.002)])
    (line,) = caplog.messages
    assert line.startswith("call a call: THE TOOL sums HOLDS THE INTERPRETER")
    assert "for 300 ms so far, in 1.00 s of which it used the processor for 0.90 s" in line


def test_many_short_ones_do_too_and_only_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    watched([work()], [(0.005, 0.001)] * 9)
    assert not caplog.messages
    watched([work()], [(0.005, 0.001)] * 500)
    assert len(caplog.messages) == 1
    caplog.clear()
    watched([work()], [(0.005, 0.001)] * 700)
    assert len(caplog.messages) == 2


def test_a_tool_that_waits_for_its_turn_of_the_processor_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """On a busy machine it holds the interpreter for as long as it waits, too."""
    watched([work(used=0.2, delayed=0.7)], [(0.3, 0.0)])
    assert "THE TOOL sums HOLDS" in caplog.text


@pytest.mark.parametrize(
    ("at_work", "samples"),
    [
        ([work()], [(0.3, 0.4)] * 5),  # the loop was late by its own work
        ([work()], [(0.003, 0.0)] * 99),  # and this is nothing
        ([], [(0.3, 0.0)] * 5),
        ([work(seconds=5.0, used=0.1)], [(0.3, 0.0)] * 5),  # it waits for something
        ([work(seconds=5.0, used=0.1, delayed=0.5)], [(0.3, 0.0)] * 5),
    ],
)
def test_others_are_not_named(
    at_work: list[Work], samples: list[tuple[float, float]], caplog: pytest.LogCaptureFixture
) -> None:
    watched(at_work, samples)
    assert not caplog.messages


def test_of_several_the_one_that_works_most_is_named(caplog: pytest.LogCaptureFixture) -> None:
    watched([work("waits", 1.0, 0.0), work("sums", 1.0, 0.9), work("adds", 1.0, 0.4)], [(0.3, 0.0)])
    assert "THE TOOL sums" in caplog.text


def test_what_has_just_ended_counts() -> None:
    threads = WorkingThreads()
    slot = Slot("a call", "sums", 0.0)
    before = time.monotonic()

    def run() -> None:
        threads.began(slot)
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        assert [each.tool for each in threads.since(before)] == ["sums"]
        threads.ended(slot)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    (ended,) = threads.since(before)
    assert (ended.tool, ended.call) == ("sums", "a call")
    assert ended.processor_seconds >= 0.02
    assert threads.since(time.monotonic() + 1) == []


@pytest.mark.process
def test_threads_that_have_ended_at_the_moment_of_the_look_do_not_end_the_server() -> None:
    """In a process of its own: where it goes wrong, the process is gone."""
    done = subprocess.run([sys.executable, "-c", _ENDED_UNNOTICED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


_ENDED_UNNOTICED = """
import threading, time
from callflow.tools.concurrency import Slot
from callflow.tools.interpreter_watch import WorkingThreads

threads = WorkingThreads()
together = threading.Barrier(40)

def run(number):
    threads.began(Slot("a call", f"tool {number}", 0.0))
    together.wait()

runs = [threading.Thread(target=run, args=(number,)) for number in range(40)]
for each in runs:
    each.start()
for each in runs:
    each.join()
ends = time.monotonic() + 20
while (found := threads.since(0.0)) and time.monotonic() < ends:
    pass  # the system may need a moment longer than Python to end a thread
print(found)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the processor time of another thread")
def test_what_is_at_work_has_the_processor_time_of_its_own_thread() -> None:
    threads, over, noted = WorkingThreads(), threading.Event(), threading.Event()

    def run(tool: str, used: float) -> None:
        until = time.thread_time() + used
        while time.thread_time() < until:
            pass
        threads.began(Slot("a call", tool, 0.0))
        noted.set()
        over.wait(10)

    runs = []
    for tool, used in (("sums", 0.1), ("waits", 0.0)):
        runs.append(threading.Thread(target=run, args=(tool, used)))
        noted.clear()
        runs[-1].start()
        assert noted.wait(10)
    used_by = {work.tool: work.processor_seconds for work in threads.since(time.monotonic())}
    over.set()
    for each in runs:
        each.join()
    assert used_by["sums"] >= 0.1
    assert used_by["waits"] < 0.1


def holds_the_interpreter() -> None:
    """As one call into C does, for as long as it takes to be noticed: by its processor time, which it has to share on a
    busy machine."""
    size = 1_000_000
    while True:
        began = time.thread_time()
        sum(range(size))
        if time.thread_time() - began > 0.3:
            return
        size *= 2


async def awaits_and_holds_it() -> None:
    await asyncio.sleep(0)
    holds_the_interpreter()


@pytest.mark.parametrize("function", [holds_the_interpreter, awaits_and_holds_it])
@pytest.mark.e2e
async def test_a_tool_of_a_call_is_named_by_the_loop_that_it_holds_up(
    function: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    watch = InterpreterWatch(default_runner.at_work)
    lag = LoopLag(watch.sample)
    lag.start()
    tools = Tools({"sums": from_function(function, name="sums")})
    result = await tools.run("sums", "{}", ToolContext("a call"), seconds=60)
    assert result.ok
    async with asyncio.timeout(5):
        while "THE TOOL sums HOLDS" not in caplog.text:  # noqa: ASYNC110 - the timer is what is waited for
            await asyncio.sleep(0.01)
    lag.close()
    assert Runner(Bounds(1, 1, 1, 0)).at_work(0.0) == []
