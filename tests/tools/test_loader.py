"""A tools.py is read when it has changed, and one that cannot be used changes nothing."""

from __future__ import annotations

import asyncio
import logging
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from callflow.contracts.errors import ToolsError
from callflow.tools.loader import ToolLoader, load
from callflow.tools.registry import HOOK
from tests.tools.files import answer, written


ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("def broken(:\n", "line 1: "),
        ("import nothing_of_that_name\n", "line 1: ModuleNotFoundError"),
        ("x = 1\ny = 1 / 0\n", "line 2: ZeroDivisionError"),
        ("raise SystemExit(3)\n", "line 1: SystemExit"),
        ("tools = 5\n", "must be a list"),
        ("tools = [5]\n", "is no tool"),
        ("tools = [{'type': 'function', 'name': 'lonely'}]\n", "without a function"),
        ("tools = [{'type': 'mcp', 'server_url': 'https://x'}]\n", "server_label"),
        ("def f(): ...\ntools = [({'name': 'a b'}, f)]\n", "no name for a tool"),
        ("def f(): ...\ndef g(): ...\ntools = [({'name': 'a'}, f), ({'name': 'a'}, g)]\n", "two tools have the name"),
        ("def f(*things): ...\ntools = [f]\n", "things"),
        ("def f(): ...\ntools = [({'name': 'a', 'parameters': {'type': 'nonsense'}}, f)]\n", "no JSON schema"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(source: str, complaint: str, tmp_path: Path) -> None:
    path = written(tmp_path, source)
    with pytest.raises(ToolsError) as caught:
        load(path)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_no_file_is_no_tools(tmp_path: Path) -> None:
    assert load(tmp_path / "none.py").definitions == []


def test_the_sample_that_comes_along_can_be_used() -> None:
    tools = load(ROOT / "examples" / "tools.py")
    assert {"get_weather", "get_weather_from_coords"} <= set(tools.local)


# Reading again


def test_a_changed_file_is_read_again_and_what_runs_goes_on_as_it_began(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, "def one(): return 1\ntools = [one]\n")
    shelf = ToolLoader(path)
    before = shelf.current()
    written(tmp_path, "def one(): return 11\ndef two(): return 2\ntools = [one, two]\n")
    assert shelf.current() is before, "nothing is read where a call asks for the tools"
    shelf.refresh()
    assert set(shelf.current().local) == {"one", "two"}
    assert answer(before, "one") == (1, True)
    assert answer(shelf.current(), "one") == (11, True)
    written(tmp_path, "def one(:\n")
    for _ in range(3):
        shelf.refresh()
        assert set(shelf.current().local) == {"one", "two"}
    assert sum("stay as they were" in message for message in caplog.messages) == 1, "said once"
    path.unlink()
    shelf.refresh()
    assert shelf.current().local == {}


async def test_a_changed_file_is_imported_off_the_loop_and_calls_have_the_last_version_until_then(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "open"
    path = written(tmp_path, "def one(): return 1\ntools = [one]\n")
    shelf = ToolLoader(path)
    before = shelf.current()
    source = f"""
        import pathlib, threading, time
        began = time.monotonic()
        while not pathlib.Path({str(gate)!r}).exists() and time.monotonic() - began < 20:
            time.sleep(0.001)
        THREAD = threading.current_thread().name
        def two(): return THREAD
        tools = [two]
    """
    written(tmp_path, textwrap.dedent(source))
    shelf.watch(0.001)
    try:
        for _ in range(50):  # the loop goes on, and the import hangs
            assert shelf.current() is before
            await asyncio.sleep(0.001)
        gate.touch()
        async with asyncio.timeout(10):
            while shelf.current() is before:  # noqa: ASYNC110 - another thread has no event for us
                await asyncio.sleep(0.001)
    finally:
        shelf.close()
    assert set(shelf.current().local) == {"two"}
    assert shelf.current().local["two"].function() == "tools-file"


def test_a_marked_function_is_a_tool_once_whether_it_is_listed_or_not(tmp_path: Path) -> None:
    source = """
        from callflow import tool
        @tool
        def one(): return 1
        @tool
        def two(): return 2
        again = two
        tools = [one]
    """
    assert list(load(written(tmp_path, source)).local) == ["one", "two"]


def test_a_marked_function_that_is_listed_with_a_definition_is_the_tool_of_that_definition_alone(
    tmp_path: Path,
) -> None:
    source = """
        from callflow import tool
        @tool
        def one(): return 1
        tools = [({"name": "first"}, one)]
    """
    assert list(load(written(tmp_path, source)).local) == ["first"]


@pytest.mark.parametrize("source", ["", "tools = []\n", "tools = ()\n", "def plain(): ...\n", "x = {'type': 'mcp'}\n"])
def test_a_file_that_lists_nothing_has_no_tools(source: str, tmp_path: Path) -> None:
    tools = load(written(tmp_path, source))
    assert (tools.local, list(tools.remote), tools.hook) == ({}, [], None)


def test_the_server_of_a_vendor_keeps_all_that_was_said_of_it_under_either_name(tmp_path: Path) -> None:
    for kind in ("mcp", "mcp_server"):
        entry = {"type": kind, "server_label": "shop", "server_url": "https://shop.example", "headers": {"a": "b"}}
        assert list(load(written(tmp_path, f"tools = [{entry!r}]\n")).remote) == [{**entry, "type": "mcp"}]


def test_no_value_of_a_definition_is_in_the_complaint_because_it_may_be_a_key(tmp_path: Path) -> None:
    source = "tools = [{'authorization': 'sk-0123456789', 'server_url': 'https://shop.example'}]\n"
    with pytest.raises(ToolsError) as caught:
        load(written(tmp_path, source))
    assert "sk-0123456789" not in str(caught.value)
    assert "authorization" in str(caught.value)


HOOKS: list[tuple[str, str]] = [
    ("", "no such function"),
    ("lookup = 5\n", "no such function"),
    ("def lookup(): ...\n", "one parameter of the name `call`"),
    ("def lookup(caller): ...\n", "one parameter of the name `call`"),
]


@pytest.mark.parametrize(("source", "complaint"), HOOKS)
def test_a_hook_takes_the_call_and_nothing_else(source: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ToolsError) as caught:
        load(written(tmp_path, source), "lookup")
    assert complaint in str(caught.value)


def test_a_hook_is_no_tool_of_the_model(tmp_path: Path) -> None:
    tools = load(written(tmp_path, "def lookup(call): return {}\n"), "lookup")
    assert tools.local == {}
    assert tools.hook is not None
    assert tools.hook.name == HOOK


def test_a_hook_without_its_file_is_a_mistake_and_a_file_without_a_hook_is_none(tmp_path: Path) -> None:
    with pytest.raises(ToolsError, match="it is not there"):
        load(tmp_path / "none.py", "lookup")
    assert load(tmp_path / "none.py").hook is None


@pytest.mark.parametrize("source", ["x = 1\n", "def broken(:\n", "raise SystemExit\n"])
def test_reading_a_file_leaves_no_bytecode_and_the_interpreter_as_it_was(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = written(tmp_path, source)
    try:
        load(path)
    except ToolsError:
        pass
    assert sys.dont_write_bytecode is False
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_in_a_file_is_not_taken_for_its_fault(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(written(tmp_path, "raise KeyboardInterrupt\n"))


def test_a_file_that_has_not_changed_is_not_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    shelf = ToolLoader(written(tmp_path, "def one(): return 1\ntools = [one]\n"))
    before = shelf.current()
    shelf.refresh()
    assert shelf.current() is before
    assert caplog.messages == []


def test_a_file_may_appear_later(tmp_path: Path) -> None:
    shelf = ToolLoader(tmp_path / "tools.py")
    assert (shelf.version, shelf.current().local) == ("", {})
    written(tmp_path, "def one(): return 1\ntools = [one]\n")
    shelf.refresh()
    assert list(shelf.current().local) == ["one"]
    assert shelf.version != ""


def test_tools_that_run_elsewhere_know_where_and_which_version_they_are_of(tmp_path: Path) -> None:
    elsewhere: Any = object()
    path = written(tmp_path, "def lookup(call): return {}\ndef one(): return 1\ntools = [one]\n")
    shelf = ToolLoader(path, elsewhere, "lookup")
    hook = shelf.current().hook
    assert hook is not None
    for tool in (shelf.current().local["one"], hook):
        assert (tool.elsewhere, tool.version) == (elsewhere, shelf.version)


def test_a_loader_that_never_watched_can_be_closed_twice(tmp_path: Path) -> None:
    shelf = ToolLoader(tmp_path / "tools.py")
    shelf.close()
    shelf.close()
