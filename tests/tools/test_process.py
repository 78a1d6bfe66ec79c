"""Tools in a process of their own: the same results and errors, and whatever they do there holds up nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from callflow.telemetry.loop_lag import LoopLag
from callflow.tools import process as tool_process
from callflow.tools import worker
from callflow.tools.loader import ToolLoader
from callflow.tools.process import ToolProcess
from callflow.tools.registry import ToolContext, ToolResult


pytestmark = pytest.mark.process
TOOLS = '''
import asyncio, logging, os, subprocess, sys, time
from callflow import tool, ToolContext

@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b

@tool
async def whose(call: ToolContext) -> dict:
    """Tell for whom this runs."""
    await asyncio.sleep(0)
    return {"call": call.call, "from": call.from_number, "to": call.to_number, "key": call.idempotency_key}

@tool
def where() -> int:
    """Tell the process."""
    print("what a tool prints is no answer")
    return os.getpid()

@tool
def fails() -> None:
    """Fail."""
    raise RuntimeError("not today")

@tool
def dies() -> None:
    """End the process."""
    os._exit(7)

@tool(seconds=0.2)
def waits() -> None:
    """Wait for ever."""
    time.sleep(3600)

@tool
def holds(seconds: float) -> str:
    """Hold the interpreter, as one call into C does."""
    size, began = 1_000_000, time.monotonic()
    while time.monotonic() - began < seconds:
        sum(range(size))
    return "done"

@tool(seconds=0.3)
def holds_on() -> None:
    """Let nobody else run."""
    sum(range(10 ** 12))

@tool
def reads() -> list:
    """Read standard input, here and in a program."""
    return [sys.stdin.read(), os.read(0, 1).decode(), subprocess.run(["cat"], capture_output=True).stdout.decode()]

@tool
def chatters(lines: int) -> int:
    """Log much, and one warning."""
    log = logging.getLogger("my_tools")
    for number in range(lines):
        log.info("row %d of the price list", number)
    log.warning("the price list is old")
    return lines

@tool
def much() -> list:
    """Tell much."""
    return ["x" * 100] * 2000
'''
CONTEXT = ToolContext("a call", "+15550100001", "+15550100002", "a call:1")


class Scene:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text(TOOLS)
        self.process = ToolProcess(path)
        self.loader = ToolLoader(path, self.process)
        self.here = ToolLoader(path)

    async def run(self, name: str, arguments: Any = None, *, seconds: float = 10) -> ToolResult:
        return await self.loader.current().run(name, json.dumps(arguments or {}), CONTEXT, seconds=seconds)

    async def pid(self) -> int:
        return int((await self.run("where")).output)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path / "tools.py")
    scene.process.start()
    yield scene
    scene.process.close()
    with contextlib.suppress(AttributeError):
        await asyncio.to_thread(scene.process._process.wait, 5)  # type: ignore[union-attr]


async def test_what_comes_out_is_what_would_come_out_here(scene: Scene) -> None:
    for name, arguments in (
        ("add", {"a": 2, "b": 3}),
        ("add", {"a": "two"}),
        ("add", {}),
        ("whose", {}),
        ("fails", {}),
        ("waits", {}),
        ("much", {}),
        ("nothing", {}),
    ):
        there = await scene.run(name, arguments)
        here = await scene.here.current().run(name, json.dumps(arguments), CONTEXT, seconds=10)
        assert (there.output, there.ok) == (here.output, here.ok), name
    assert scene.loader.current().definitions == scene.here.current().definitions


async def test_it_is_another_process_and_what_it_prints_is_no_answer(scene: Scene) -> None:
    pid = await scene.pid()
    assert pid != os.getpid()
    assert await scene.pid() == pid


async def test_what_goes_wrong_there_is_in_the_log_here_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    await scene.run("fails")
    await scene.run("add", {"a": 1, "b": 1})
    lines = [line for line in caplog.messages if "tool fails failed" in line]
    assert len(lines) == 1
    assert lines[0].startswith("call a call: tool fails failed: RuntimeError: not today (tools.py, line ")


async def test_a_tool_that_logs_without_end_holds_up_nobody_and_fills_no_log(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await scene.pid()
    began = time.monotonic()
    assert (await scene.run("chatters", {"lines": 50_000})).ok
    seconds = time.monotonic() - began
    rows = [line for line in caplog.messages if line.startswith("row ")]
    left_out = [int(line.split()[0]) for line in caplog.messages if "lines of the tools' log were left out" in line]
    assert len(rows) <= worker._LINES_AT_ONCE + worker._LINES_A_SECOND * (seconds + 1)
    assert rows[:3] == [f"row {number} of the price list" for number in range(3)]
    assert len(rows) + sum(left_out) == 50_000, "each line is there, or counted"
    assert "the price list is old" in caplog.messages, "chatter hides no warning"
    assert threading.get_ident() not in {record.thread for record in caplog.records}, "the loop wrote it"


async def test_one_that_ends_takes_its_runs_with_it_and_is_started_again(scene: Scene) -> None:
    pid = await scene.pid()
    beside = asyncio.create_task(scene.run("holds", {"seconds": 30}))
    died = await scene.run("dies")
    assert not died.ok
    assert "the tools' process ended before there was a result" in died.output
    assert not (await beside).ok
    assert await scene.pid() != pid


async def test_while_a_tool_holds_the_interpreter_the_loop_does_not_wait(scene: Scene) -> None:
    await scene.pid()
    worst = 0.0

    def seen(lag: float, used: float, now: float) -> None:
        nonlocal worst
        worst = max(worst, lag - used)

    lag = LoopLag(seen)
    lag.start()
    result = await scene.run("holds", {"seconds": 1.0})
    lag.close()
    assert result == ToolResult('"done"', True)
    assert worst < 0.3, "the loop stood still while the tool worked"


async def test_one_that_answers_no_more_is_replaced(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tool_process, "_GRACE_SECONDS", 0.3)
    pid = await scene.pid()
    result = await scene.run("holds_on")
    assert result.output == '{"error":"holds_on did not answer within 0.3 seconds"}'
    assert "the tools' process does not answer, and is started anew" in caplog.text
    assert await scene.pid() != pid
    assert not psutil.pid_exists(pid)


async def test_a_changed_file_is_there_for_the_first_call_that_knows_of_it(scene: Scene) -> None:
    pid = await scene.pid()
    scene.path.write_text(TOOLS.replace("return a + b", "return a * b * 10"))
    scene.loader.refresh()
    together = await asyncio.gather(*(scene.run("add", {"a": 2, "b": 3}) for _ in range(3)))
    assert [each.output for each in together] == ["60"] * 3
    assert await scene.pid() == pid


async def test_there_is_a_bound_to_what_may_wait(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_process, "_MOST_RUNS", 2)
    first = [asyncio.create_task(scene.run("add", {"a": 1, "b": number})) for number in range(2)]
    await asyncio.sleep(0)  # they wait for the process to be ready
    third = await scene.run("add", {"a": 1, "b": 1})
    assert third.output == '{"error":"add could not begin: too many tools have not ended yet"}'
    assert [(await each).output for each in first] == ["1", "2"]


async def test_nobody_waits_any_more(scene: Scene) -> None:
    await scene.pid()
    run = asyncio.create_task(scene.run("holds", {"seconds": 0.2}))
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert scene.process._waiting == {}
    assert (await scene.run("add", {"a": 1, "b": 1})).output == "2"


async def test_a_tool_that_reads_standard_input_takes_no_request_away(scene: Scene) -> None:
    reading, beside = await asyncio.gather(scene.run("reads"), scene.run("add", {"a": 1, "b": 1}))
    assert reading.output == '["","",""]'
    assert beside.output == "2"


async def test_ctrl_c_is_not_for_it(scene: Scene) -> None:
    """A terminal sends it to all processes of the server's group."""
    pid = await scene.pid()
    assert os.getpgid(pid) != os.getpgid(0)
    assert os.getsid(pid) != os.getsid(0)


async def test_it_ends_with_the_server(scene: Scene) -> None:
    """However that ends: its standard input is what it lives on."""
    await scene.pid()
    process = scene.process._process
    assert process is not None
    assert process.stdin is not None
    scene.process._closing.set()  # no other
    await asyncio.to_thread(process.stdin.close)
    assert await asyncio.to_thread(process.wait, 5) == 0
