"""Tools that do whatever they like: each call of one ends in one answer, within its time, and no audio waits for it."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_json

from callflow.contracts.errors import ToolsError
from callflow.tools import registry as tools_module
from callflow.tools import runner
from callflow.tools.loader import load
from callflow.tools.registry import ToolContext, ToolResult, Tools, from_definition
from callflow.tools.results import release, to_json_text


def written_file(folder: Path, source: str) -> Path:
    path = folder / "tools.py"
    path.write_text(textwrap.dedent(source))
    return path


async def answer(tools: Tools, name: str, arguments: str = "", *, seconds: float = 5.0) -> tuple[Any, bool]:
    result = await tools.run(name, arguments, ToolContext("c"), seconds=seconds)
    return json.loads(result.output), result.ok


SOURCE = """
import asyncio, contextlib, functools, itertools, sys, threading, time

LET_GO = threading.Event()


class Own(BaseException):
    pass


class Mute(Exception):
    def __str__(self):
        raise SystemExit("I say nothing")

    __repr__ = __str__


class Endless(Exception):
    def __str__(self):
        return "long " * 1_000_000


RAISED = {
    "cancelled": asyncio.CancelledError, "generator_exit": GeneratorExit, "own": Own, "stop": StopIteration,
    "stop_async": StopAsyncIteration, "exit": SystemExit, "interrupt": KeyboardInterrupt, "mute": Mute,
    "endless": Endless, "timeout": TimeoutError, "recursion": RecursionError, "memory": MemoryError,
    "half": functools.partial(ValueError, "\\ud800"), "group": functools.partial(BaseExceptionGroup, "two", [Own()]),
}


def raises(what: str): raise RAISED[what]()
async def raises_async(what: str): raise RAISED[what]()
async def raises_later(what: str):
    await asyncio.sleep(0.001)
    raise RAISED[what]()
def raises_in_result(what: str):
    yield 1
    raise RAISED[what]()
async def raises_beside(what: str):
    async def child(): raise RAISED[what]()
    with contextlib.suppress(BaseException):
        await asyncio.gather(asyncio.create_task(child()), return_exceptions=True)
    await asyncio.sleep(0.001)
    return "still here"
async def raises_in_a_thread(what: str):
    return await asyncio.to_thread(raises, what)
def raises_in_attribute(what: str):
    class Odd:
        @property
        def __class__(self): raise RAISED[what]()
    return Odd()


async def cancels_itself():
    asyncio.current_task().cancel()
    await asyncio.sleep(5)
async def stops_its_loop():
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.001)
    return "still here"
async def is_deaf():
    while not LET_GO.is_set():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass


async def five(): return 5
def returns_coroutine(): return five()
async def returns_coroutine_async(): return five()
async def returns_task(): return asyncio.create_task(five())
async def returns_future():
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, 5)
    return future
class Awaitable:
    def __await__(self):
        yield from asyncio.sleep(0.001).__await__()
        return 5
def returns_awaitable(): return Awaitable()
def returns_sleep(): return asyncio.sleep(0.001, 5)
class Called:
    async def __call__(self): return 5


def blocks(): LET_GO.wait(30)
async def waits(): await asyncio.sleep(30)
def blocks_in_result():
    yield 1
    LET_GO.wait(30)
class Slow:
    @property
    def __class__(self): LET_GO.wait(30)
def blocks_in_attribute(): return [Slow()]
async def blocks_in_result_async(): return blocks_in_result()
class Patient(Exception):
    def __str__(self): LET_GO.wait(30)
def blocks_in_error(): raise Patient
async def blocks_in_error_async(): raise Patient
def returns_sleeper(): return asyncio.sleep(30)
async def never_resolved(): await asyncio.get_running_loop().create_future()
async def blocks_aside(): await asyncio.to_thread(LET_GO.wait, 30)


def endless(): return itertools.count()
def huge_text(): return "x" * 20_000_000
def no_json(): return object()
async def no_json_async(): return object()
async def async_generator(): yield 1


tools = [
    value for name, value in list(globals().items())
    if callable(value) and name.islower() and not isinstance(value, type) and name != "five"
]
tools += [
    ({"name": "returns_of_object"}, Called()), ({"name": "returns_of_partial"}, functools.partial(five)),
    ({"name": "returns_of_method"}, Called().__call__), ({"name": "returns_of_lambda"}, lambda: five()),
]
"""
RAISED = [
    "cancelled", "generator_exit", "own", "stop", "stop_async", "exit", "interrupt", "mute", "endless", "timeout",
    "recursion", "memory", "half", "group",
]  # fmt: skip


KINDS = {
    "cancelled": "CancelledError", "generator_exit": "GeneratorExit", "own": "Own",
    "stop_async": "StopAsyncIteration", "exit": "SystemExit", "interrupt": "KeyboardInterrupt", "mute": "Mute",
    "endless": "Endless", "group": "BaseExceptionGroup",
}  # fmt: skip
"""What the model is told of each; the others are told by a name that ends in Error."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    return load(written_file(tmp_path_factory.mktemp("hostile"), SOURCE))


@pytest.mark.parametrize(
    "tool", ["raises", "raises_async", "raises_later", "raises_in_result", "raises_in_a_thread", "raises_in_attribute"]
)
async def test_whatever_a_tool_raises_is_an_answer(tool: str, hostile: Tools) -> None:
    for what in RAISED:
        told, ok = await answer(hostile, tool, json.dumps({"what": what}))
        assert not ok, what
        assert list(told) == ["error"], what
        assert len(told["error"]) < 300, what
        assert told["error"].startswith((f"{tool} failed: ", f"the result of {tool} cannot be written as JSON: "))
        assert KINDS.get(what, "Error") in told["error"] or what == "stop", what
        current = asyncio.current_task()
        assert current is not None
        assert not current.cancelling(), f"{what} went through to the server's task"


async def test_what_it_begins_beside_itself_may_raise_whatever_it_likes(hostile: Tools) -> None:
    for what in RAISED:
        if what != "stop":  # no coroutine can
            assert await answer(hostile, "raises_beside", json.dumps({"what": what})) == ("still here", True), what


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_tool_that_ends_its_own_task_or_loop_is_answered_and_so_are_others(hostile: Tools) -> None:
    told, ok = await answer(hostile, "cancels_itself")
    assert (told, ok) == ({"error": "cancels_itself failed: CancelledError"}, False)
    assert await answer(hostile, "stops_its_loop") == ("still here", True)
    assert await answer(hostile, "returns_task") == (5, True)


async def test_what_is_still_to_be_awaited_is_awaited(hostile: Tools) -> None:
    names = [name for name in hostile.local if name.startswith("returns_") and name != "returns_sleeper"]
    assert len(names) >= 8
    for name in names:
        assert await answer(hostile, name) == (5, True), name


TIMELESS = [
    "blocks", "waits", "is_deaf", "blocks_in_result", "blocks_in_attribute", "blocks_in_result_async",
    "blocks_in_error", "blocks_in_error_async", "returns_sleeper", "never_resolved", "blocks_aside",
]  # fmt: skip


@pytest.mark.e2e
async def test_whatever_takes_too_long_is_an_answer_in_time(hostile: Tools) -> None:
    try:
        answers = await asyncio.gather(
            *(hostile.run(name, "", ToolContext(f"call {number}"), seconds=0.7) for number, name in enumerate(TIMELESS))
        )
    finally:
        sys.modules["callflow_tools_tools"].LET_GO.set()
    told = {name: json.loads(each.output) for name, each in zip(TIMELESS, answers, strict=True)}
    assert told == {name: {"error": f"{name} did not answer within 0.7 seconds"} for name in TIMELESS}


async def test_results_that_are_too_much_or_no_json(hostile: Tools) -> None:
    for name in ("endless", "huge_text"):
        told, ok = await answer(hostile, name)
        assert ok
        assert list(told) == ["note", "result"], name
    for name in ("no_json", "no_json_async", "async_generator"):
        told, ok = await answer(hostile, name)
        assert not ok
        assert "cannot be written as JSON" in told["error"], name


# Arguments


def echo(**given: Any) -> Any:
    return given


def defined(schema: dict[str, Any]) -> Tools:
    return Tools({"echo": from_definition({"name": "echo", "parameters": schema}, echo)})


@pytest.mark.e2e
async def test_arguments_are_checked_beside_the_servers_loop_and_no_longer_than_anybody_waits() -> None:
    steps = {f"s{n}": {"allOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(40)}  # 2 ** 40 of them
    tools = defined({"$defs": {**steps, "s40": {}}, "$ref": "#/$defs/s0"})
    running = asyncio.create_task(tools.run("echo", "{}", ToolContext("slow"), seconds=0.3))
    turns = 0
    while not running.done():
        await asyncio.sleep(0)
        turns += 1
    assert "did not answer within 0.3 seconds" in (await running).output
    assert turns > 20, "the server's loop stood still"
    async with asyncio.timeout(10):
        while any(each.call == "slow" for each in runner.default_runner.thread_slots.holders()):  # noqa: ASYNC110 - a thread's
            await asyncio.sleep(0.005)


def test_a_schema_is_prepared_once_when_its_tool_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = load(written_file(tmp_path, "def one(x: int): return x\ntools = [one]\n"))

    def again(*_: Any) -> None:
        raise AssertionError("prepared again")

    monkeypatch.setattr(tools_module, "_prepared", again)
    for _ in range(3):
        assert asyncio.run(answer(tools, "one", '{"x": 1}')) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("[" * 5000, "nested too deeply"), ("x" * 70_000, "too long"), ('{"a": "' + "x" * 70_000 + '"}', "too long"),
        ('{"a": ', "not valid JSON"), ('{"a": "\\udc00"}', "not valid JSON"), ("7", "must be a JSON object"),
        ('{"n": "x"}', "do not fit at n"), (json.dumps({"s": "a" * 50 + "!"}), "do not fit at s"),
        (json.dumps({"l": [[n] for n in range(5000)] + [[5]]}), "do not fit at l"),
    ],
    ids=range(9),
)  # fmt: skip
def test_arguments_that_do_not_fit_are_an_answer(arguments: str, complaint: str) -> None:
    schema = {"properties": {"n": {"type": "integer"}, "s": {"pattern": "^(a+)+$"}, "l": {"uniqueItems": True}}}
    told, ok = asyncio.run(answer(defined(schema), "echo", arguments))
    assert not ok
    assert complaint in told["error"]
    assert len(told["error"]) <= 600


def test_arguments_are_repaired_where_that_is_clear() -> None:
    for arguments, given in [("", {}), (" \n", {}), ('{"a": "\ud800"}', {"a": "?"})]:
        assert asyncio.run(answer(defined({"type": "object"}), "echo", arguments)) == (given, True)


def test_a_name_that_is_none_is_an_answer() -> None:
    for name in ("nonesuch", "", "x" * 100_000, "\ud800", "\n"):
        told, ok = asyncio.run(answer(Tools(), name))
        assert not ok
        assert "there is no tool" in told["error"]
        assert len(told["error"]) < 200


# Files


def test_a_callable_that_cannot_be_inspected_runs_with_its_definition(tmp_path: Path) -> None:
    source = """
        class Secretive:
            @property
            def __signature__(self): raise RuntimeError("not for you")
            def __call__(self, **given): return given

        class Odd:
            __signature__ = 5
            def __call__(self, **given): return given

        schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
        tools = [({"name": "a", "parameters": schema}, Secretive()), ({"name": "b", "parameters": schema}, Odd()),
                 ({"name": "c", "parameters": schema}, dict)]
        """
    tools = load(written_file(tmp_path, source))
    for name in "abc":
        assert asyncio.run(answer(tools, name, '{"x": 1}')) == ({"x": 1}, True)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("tools = [dict]\n", ""),
        ("from __future__ import annotations\ndef f(x: Nowhere): ...\ntools = [f]\n", "NameError"),
        ("def f(_x: int): ...\ntools = [f]\n", ""),
        ("class A: ...\ndef f(x: A): ...\ntools = [f]\n", "tool f"),
        ("from callflow import tool\n@tool(seconds='5')\ndef f(): ...\n", "its seconds"),
        ("from callflow import tool\n@tool(seconds=-1)\ndef f(): ...\n", "its seconds"),
        ("from callflow import tool\n@tool(seconds=float('nan'))\ndef f(): ...\n", "its seconds"),
        ("from callflow import tool\n@tool(description='\\ud800')\ndef f(): ...\n", "cannot be written"),
        ("def f(): ...\ntools = [({'name': 'a', 'parameters': {'x': object()}}, f)]\n", "no JSON schema"),
        ("def f(): ...\ntools = [({'name': 'a', 'parameters': 5}, f)]\n", "no JSON schema"),
        ("tools = [{'type': 'mcp', 'server_label': 'a', 'x': object()}]\n", "cannot be written"),
        ("class E(Exception):\n def __str__(self): raise ValueError\nraise E\n", "cannot be shown"),
        ("raise ValueError('two\\nlines')\n", "two lines"),
    ],
    ids=range(13),
)
def test_a_file_with_a_tool_that_cannot_be_read_is_told_in_one_line(
    source: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(ToolsError) as caught:
        load(written_file(tmp_path, source))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


# The server's loop


def stretch(work: Callable[[list[Any]], object], value: Any) -> float:
    """The longest stretch in ms of this thread's work without a step of Python's own: no other thread can run."""
    longest, last, box = 0.0, 0.0, [value]
    del value

    def step(*_: object) -> None:
        nonlocal longest, last
        now = time.thread_time()
        longest, last = max(longest, now - last), now

    last = time.thread_time()
    sys.setprofile(step)
    work(box)
    sys.setprofile(None)
    return longest * 1000


NUMBERS = list(range(5_000_000))
HUGE: dict[str, Callable[[], Any]] = {
    "numbers": lambda: NUMBERS,
    "numbers in a list in a dict": lambda: {"a": [NUMBERS]},
    "texts": lambda: ["a text of a few words"] * 5_000_000,
    "members": lambda: dict.fromkeys(range(1_000_000), "x"),
    "one text": lambda: "x" * 100_000_000,
    "one text of what is escaped": lambda: "\x01" * 50_000_000,
}


@pytest.mark.proof
@pytest.mark.e2e
@pytest.mark.parametrize("name", HUGE)
def test_writing_what_is_huge_lets_other_threads_run(name: str) -> None:
    """As opposed to the usual way, which does it in one go."""
    result = HUGE[name]()
    ours, usual = stretch(lambda box: to_json_text(box[0]), result), stretch(lambda box: to_json(box[0]), result)
    assert ours < usual / 10, f"nothing else can run for {ours:.2f} ms; in one go that is {usual:.1f} ms"


@pytest.mark.alone
def test_freeing_what_is_huge_lets_other_threads_run() -> None:
    def numbers() -> list[float]:
        return [n + 0.5 for n in range(2_000_000)]

    ours, usual = stretch(release, numbers()), stretch(lambda box: box.clear(), numbers())
    assert ours < usual / 3, f"nothing else can run for {ours:.2f} ms; in one go that is {usual:.1f} ms"


def test_a_result_is_written_once_as_it_comes() -> None:
    assert asyncio.run(Tools({"echo": defined({}).local["echo"]}).run("echo", "", ToolContext(), seconds=5)) == (
        ToolResult("{}", True)
    )
