"""Where tools run: real threads and loops, of which some hang. Nothing here sleeps to make time pass."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from callflow.tools import runner
from callflow.tools.concurrency import Bounds
from callflow.tools.registry import ToolContext, ToolResult, Tools, from_function
from callflow.tools.runner import Runner, ThreadSlots


ROOT = Path(__file__).parents[2]


class Bench:
    """Tools that hang until they are let go, and what each of their runs answered."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.began: Counter[str] = Counter()
        self.lock = threading.Lock()

    def note(self, name: str) -> None:
        with self.lock:
            self.began[name] += 1

    def hangs(self, name: str = "hangs") -> str:
        self.note(name)
        assert self.let_go.wait(30), "nobody has let go of a tool that hangs"
        return "at last"

    @property
    def tools(self) -> Tools:
        def hangs() -> str:
            return self.hangs()

        async def blocks(name: str = "blocks") -> str:
            """Holds up its loop."""
            return self.hangs(name)

        async def waits() -> str:
            self.note("waits")
            while not self.let_go.is_set():  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(0.01)
            return "at last"

        def quick(n: int = 0) -> int:
            return n

        async def quick_async(n: int = 0) -> int:
            self.note(f"quick {n}")
            await asyncio.sleep(0)
            return n

        functions = (hangs, blocks, waits, quick, quick_async)
        return Tools({each.__name__: from_function(each) for each in functions})


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(runner, "default_runner", Runner())
    bench = Bench()
    yield bench
    bench.let_go.set()
    wait_for(lambda: not runner.default_runner.thread_slots.holders(), "all threads to be given back")


def wait_for(condition: Callable[[], object], what: str) -> None:
    never = threading.Event()
    for _ in range(2000):
        if condition():
            return
        never.wait(0.005)
    raise AssertionError(f"waited for {what}")


async def until(condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - set by threads
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited for {what}") from None


class Calls:
    """Runs tools of several calls side by side."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.tools = bench, bench.tools
        self.tasks: list[asyncio.Task[ToolResult]] = []

    def start(self, call: str, tool: str, times: int = 1, *, arguments: str = "", seconds: float = 30) -> None:
        self.tasks += [
            asyncio.create_task(self.tools.run(tool, arguments, ToolContext(call), seconds=seconds))
            for _ in range(times)
        ]

    async def one(self, call: str, tool: str, arguments: str = "", *, seconds: float = 10) -> ToolResult:
        return await self.tools.run(tool, arguments, ToolContext(call), seconds=seconds)


@contextlib.asynccontextmanager
async def calls(bench: Bench) -> AsyncIterator[Calls]:
    calls = Calls(bench)
    try:
        yield calls
    finally:
        bench.let_go.set()
        for task in calls.tasks:
            task.cancel()
        await asyncio.gather(*calls.tasks, return_exceptions=True)


def held() -> int:
    return sum(each.runs for each in runner.default_runner.thread_slots.holders())


# Threads


async def test_a_hundred_tools_that_hang_leave_room_for_others(bench: Bench) -> None:
    async with calls(bench) as they:
        they.start("bad", "hangs", 100)
        await until(lambda: bench.began["hangs"] == 8, "the share of the call to be used up")
        for name in ("quick", "quick_async"):
            assert await they.one("good", name, '{"n": 5}') == ToolResult("5", True)
        assert bench.began["hangs"] == 8, "a call has no more than its share"
        bench.let_go.set()
        answers = await asyncio.gather(*they.tasks)
        assert answers == [ToolResult('"at last"', True)] * 100, "the others had their turn as places became free"


async def test_many_calls_with_tools_that_hang_leave_room_for_one_that_has_none(bench: Bench) -> None:
    async with calls(bench) as they:
        for call in range(4):
            they.start(f"bad {call}", "hangs", 20)
        await until(lambda: held() == 32, "the share of the tool to be used up")
        for call in range(4, 8):
            they.start(f"bad {call}", "quick")
        await asyncio.gather(*they.tasks[-4:])
        assert await they.one("good", "quick_async", '{"n": 5}') == ToolResult("5", True)
        assert "hangs" in (await they.one("good", "hangs", seconds=0.05)).output
        assert bench.began["hangs"] == 32


@pytest.mark.parametrize(
    ("others", "why"),
    [(0, "8 tools of this call have not ended yet"), (3, "32 runs of this tool have not ended yet")],
)
async def test_a_tool_that_got_no_thread_in_time_says_so_and_the_log_names_who_holds_them(
    others: int, why: str, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with calls(bench) as they:
        for call in ["bad", *map(str, range(others))]:
            they.start(call, "hangs", 8)
        await until(lambda: held() == 8 * (others + 1), "the places to be taken")
        call = "bad" if others == 0 else "good"
        late = await asyncio.gather(*(they.one(call, "hangs", seconds=0.1) for _ in range(20)))
        assert {each.output for each in late} == {f'{{"error":"hangs could not begin within 0.1 seconds: {why}"}}'}
        warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(warnings) == 1, "twenty were late, and one line is enough"
        assert f"call {call}: tool hangs got no thread: {why}" in warnings[0]
        assert "hangs 8 times in call bad (" in warnings[0], "who holds them"


@pytest.mark.e2e
async def test_a_thread_of_a_tool_whose_time_has_passed_counts_until_it_ends(bench: Bench) -> None:
    async with calls(bench) as they:
        they.start("bad", "hangs", 8, seconds=0.7)
        for late in await asyncio.gather(*they.tasks):
            assert "did not answer within 0.7 seconds" in late.output
        assert held() == bench.began["hangs"] == 8
        late = await they.one("bad", "quick", seconds=0.05)
        assert "could not begin" in late.output
        waiting = asyncio.create_task(they.one("bad", "quick", '{"n": 3}'))
        bench.let_go.set()
        assert await waiting == ToolResult("3", True), "it is woken when a thread is free"
        await until(lambda: held() == 0, "the threads to be given back")


async def test_a_call_that_ends_while_its_tools_wait_for_threads_leaves_nothing_behind(bench: Bench) -> None:
    async with calls(bench) as they:
        they.start("bad", "hangs", 50)
        await until(lambda: bench.began["hangs"] == 8, "its share to be used up")
        for task in they.tasks:
            task.cancel()
        await asyncio.gather(*they.tasks, return_exceptions=True)
        bench.let_go.set()
        await until(lambda: held() == 0, "the threads to be given back")
        assert bench.began["hangs"] == 8, "what waited has never begun"
        assert not runner.default_runner.thread_slots._waiting


async def test_calls_take_turns_when_threads_become_free() -> None:
    slots = ThreadSlots(Bounds(most=1, per_call=1, per_tool=1, reserve=0))
    first = await slots.enter("z", "t")
    order: list[str] = []

    async def go(call: str) -> None:
        place = await slots.enter(call, "t")
        order.append(call)
        slots.leave(place)

    waiting = [asyncio.create_task(go(call)) for call in ["a", "a", "a", "b", "b", "c"]]
    await asyncio.sleep(0)
    slots.leave(first)
    await asyncio.gather(*waiting)
    assert order == ["a", "b", "c", "a", "b", "a"]


async def test_a_place_that_comes_too_late_goes_to_the_next(bench: Bench) -> None:
    slots = ThreadSlots(Bounds(most=1, per_call=1, per_tool=1, reserve=0))
    place = await slots.enter("a", "t")
    waiting = [asyncio.create_task(slots.enter(call, "t")) for call in "bc"]
    await asyncio.sleep(0)
    slots.leave(place)  # b is let in, and is cancelled before it hears of that
    waiting[0].cancel()
    assert (await asyncio.wait_for(waiting[1], 5)).call == "c"


# Loops


@pytest.mark.e2e
async def test_a_tool_that_holds_up_its_loop_holds_up_nobody_that_comes_later(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with calls(bench) as they:
        they.start("bad", "blocks")
        await until(lambda: bench.began["blocks"] == 1, "the loop to be held up")
        numbers = range(20)
        answers = await asyncio.gather(*(they.one("good", "quick_async", f'{{"n": {n}}}') for n in numbers))
        assert [each.output for each in answers] == [str(n) for n in numbers]
        assert all(bench.began[f"quick {n}"] == 1 for n in numbers), "each has begun exactly once"
        assert "call bad: asynchronous tool blocks holds up its loop" in caplog.text
        bench.let_go.set()
        assert (await they.tasks[0]).output == '"at last"'
        answers = await asyncio.gather(*(they.one("good", "quick_async", f'{{"n": {n}}}') for n in numbers))
        assert all(bench.began[f"quick {n}"] == 2 for n in numbers), "what waited on the old loop begins no more"


@pytest.mark.e2e
async def test_one_call_cannot_hold_up_all_loops(bench: Bench) -> None:
    async with calls(bench) as they:
        they.start("bad", "blocks", 30, seconds=5)
        await until(lambda: bench.began["blocks"] == 2, "the call to hold up what it may")
        assert await they.one("good", "quick_async", '{"n": 5}') == ToolResult("5", True)
        late = await they.one("bad", "quick_async", seconds=0.5)
        assert "could not begin within 0.5 seconds: asynchronous tools do not let go" in late.output
        assert bench.began["quick 0"] == 0
        waiting = {job.tool for job in runner.default_runner.loops._waiting}
        assert waiting <= {"blocks"}, "what is over waits no more"
        assert {each.tool for each in runner.default_runner.loops._jobs.holders(0)} == {"blocks"}
        bench.let_go.set()
        answers = await asyncio.gather(*they.tasks)
        assert [each.output for each in answers] == ['"at last"'] * 30, "the others begin when the loops go on"
        assert bench.began["blocks"] == 30, "each has begun exactly once"


@pytest.mark.e2e
async def test_one_tool_cannot_hold_up_all_loops(bench: Bench) -> None:
    async with calls(bench) as they:
        for call in range(12):
            they.start(f"bad {call}", "blocks", seconds=8)
        await until(lambda: bench.began["blocks"] == 4, "the tool to hold up what it may")
        assert await they.one("good", "quick_async", '{"n": 5}') == ToolResult("5", True)
        assert bench.began["blocks"] == 4


async def test_a_tool_that_waits_as_it_should_holds_up_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callflow.tools.loops._BEGIN_SECONDS", 20)  # a busy machine is not held up
    async with calls(bench) as they:
        they.start("a", "waits", 100)
        await until(lambda: bench.began["waits"] == 100, "all of them to wait at the same time")
        await until(lambda: held() == 0, "their threads to be given back meanwhile")
        bench.let_go.set()
        assert {each.output for each in await asyncio.gather(*they.tasks)} == {'"at last"'}
    assert "holds up" not in caplog.text


async def test_what_an_asynchronous_tool_begins_beside_itself_is_still_its_own(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def parent() -> str:
        async def child() -> str:
            return bench.hangs("child")

        return await asyncio.create_task(child())

    tools = Tools({"parent": from_function(parent)})
    running = asyncio.create_task(tools.run("parent", "", ToolContext("bad"), seconds=20))
    await until(lambda: bench.began["child"] == 1, "the child to block")
    async with calls(bench) as they:
        assert (await they.one("good", "quick_async")).ok
    assert "call bad: asynchronous tool parent holds up its loop" in caplog.text
    assert (await running).output == '"at last"'


async def test_asynchronous_tools_have_many_threads_of_their_own(bench: Bench) -> None:
    """`asyncio.to_thread` in a hundred of them at once."""

    async def aside() -> str:
        return await asyncio.to_thread(bench.hangs, "aside")

    tools = Tools({"aside": from_function(aside)})
    running = [
        asyncio.create_task(tools.run("aside", "", ToolContext(f"call {n % 5}"), seconds=20)) for n in range(100)
    ]
    await until(lambda: bench.began["aside"] == 100, "all of them to run at the same time")
    bench.let_go.set()
    assert {each.output for each in await asyncio.gather(*running)} == {'"at last"'}
    again = await asyncio.gather(*(tools.run("aside", "", ToolContext("c"), seconds=20) for _ in range(8)))
    assert {each.output for each in again} == {'"at last"'}


async def test_more_than_can_be_under_way_are_told_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callflow.tools.loops._JOBS", Bounds(10, 5, 10, 2))
    monkeypatch.setattr(runner, "default_runner", Runner())
    async with calls(bench) as they:
        they.start("a", "waits", 5)
        await until(lambda: bench.began["waits"] == 5, "its share to be used up")
        late = await they.one("a", "waits")
        assert "could not begin: " in late.output
        assert (await they.one("b", "quick_async")).ok
        for task in they.tasks:
            task.cancel()
        await until(lambda: not runner.default_runner.loops._jobs.holders(0), "the cancelled ones to end")
        assert (await they.one("a", "quick_async")).ok


@pytest.mark.process
def test_whatever_hangs_keeps_no_process_from_ending(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import asyncio, time
        from callflow.tools.registry import ToolContext, Tools, from_function
        def hangs(): time.sleep(600)
        async def blocks(): time.sleep(600)
        async def aside(): await asyncio.to_thread(time.sleep, 600)
        def writes():
            while True: yield time.sleep(600)
        tools = Tools({each.__name__: from_function(each) for each in (hangs, blocks, aside, writes)})
        async def main():
            runs = (tools.run(name, "", ToolContext("c"), seconds=0.3) for name in tools.local)
            for result in await asyncio.gather(*runs): print(result.output)
        asyncio.run(main())
        """
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    )
    assert len(ended.stdout.splitlines()) == 4, ended.stdout
    assert ended.stdout.count("0.3 seconds") == 4, ended.stdout
