"""A tools.py in every form in which people write one, and what its tools answer."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from callflow.contracts.errors import ToolsError
from callflow.contracts.tools import Caller, ToolCall, TransferAction
from callflow.tools.builtin import CallToolset
from callflow.tools.loader import load
from callflow.tools.registry import ToolContext, Tools
from tests.tools.files import answer, written


ROOT = Path(__file__).parents[2]


# The forms


def test_every_form_is_read(tmp_path: Path) -> None:
    tools = load(
        written(
            tmp_path,
            '''
            from callflow import tool


            def pair(x):
                return x

            async def carries(city):
                return city

            carries.definition = {"type": "function", "name": "weather", "parameters": {"type": "object"}}

            @tool
            def marked(text: str, times: int = 1) -> str:
                """Say it again.

                Args:
                    text: what to say
                    times: how
                        often
                """
                return text * times

            @tool(name="renamed", description="Another one.", seconds=0.5)
            async def other() -> None: ...

            def plain(x: float) -> float:
                """Just a function in the list."""
                return x

            nested = {"type": "function", "function": {"name": "nested", "parameters": {"type": "object"}}}
            mcp = {"type": "mcp", "server_label": "shop", "server_url": "https://mcp.example.org"}
            tools = [
                ({"type": "function", "name": "pair", "description": "A pair.",
                  "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}}, pair),
                (nested, pair), carries, plain, mcp,
            ]
            ''',
        )
    )
    assert set(tools.local) == {"pair", "nested", "weather", "marked", "renamed", "plain"}
    assert [tool["server_label"] for tool in tools.remote] == ["shop"]
    definitions = {definition.get("name"): definition for definition in tools.definitions}
    assert definitions["pair"]["description"] == "A pair."
    assert all("function" not in definition for definition in tools.definitions), "flat, as the interface wants it"
    marked = definitions["marked"]
    assert marked["description"] == "Say it again."
    assert marked["parameters"]["properties"]["text"] == {"type": "string", "description": "what to say"}
    assert marked["parameters"]["properties"]["times"]["description"] == "how often"
    assert marked["parameters"]["required"] == ["text"]
    assert definitions["renamed"]["description"] == "Another one."
    assert answer(tools, "pair", '{"x": 7}') == (7, True)
    assert answer(tools, "weather", '{"city": "Graz"}') == ("Graz", True)
    assert answer(tools, "marked", '{"text": "ha", "times": 3}') == ("hahaha", True)
    assert answer(tools, "renamed") == (None, True)


def test_a_schema_says_what_the_types_say(tmp_path: Path) -> None:
    tools = load(
        written(
            tmp_path,
            '''
            from enum import Enum
            from typing import Literal

            class Size(Enum):
                small = "s"
                large = "l"

            def order(call, kind: Literal["pizza", "pasta"], size: Size, toppings: list[str], note: str | None = None):
                """Order.

                :param kind: what
                """

            tools = [order]
            ''',
        )
    )
    parameters = tools.local["order"].parameters
    assert set(parameters["properties"]) == {"kind", "size", "toppings", "note"}, "whose call it is, no model fills in"
    assert parameters["properties"]["kind"]["enum"] == ["pizza", "pasta"]
    assert parameters["properties"]["kind"]["description"] == "what"
    assert parameters["required"] == ["kind", "size", "toppings"]
    assert answer(tools, "order", '{"kind": "soup", "size": "s", "toppings": []}')[1] is False


# What they answer


def test_results_are_json_and_encoded_once(tmp_path: Path) -> None:
    tools = load(
        written(
            tmp_path,
            """
            import dataclasses, datetime, decimal, uuid

            @dataclasses.dataclass
            class Order:
                number: int
                on: datetime.date

            def text(): return "plain words"
            def document(): return '{"already": "JSON"}'
            def rich(): return Order(5, datetime.date(2026, 1, 2))
            def price(): return decimal.Decimal("1.50")
            def nothing(): return None
            def cyclic():
                one = []
                one.append(one)
                return one
            def no_json(): return {1, object()}
            tools = [text, document, rich, price, nothing, cyclic, no_json]
            """,
        )
    )
    assert answer(tools, "text") == ("plain words", True)
    assert answer(tools, "document") == ({"already": "JSON"}, True)
    assert answer(tools, "rich") == ({"number": 5, "on": "2026-01-02"}, True)
    assert answer(tools, "price") == ("1.50", True)
    assert answer(tools, "nothing") == (None, True)
    for name in ("cyclic", "no_json"):
        told, ok = answer(tools, name)
        assert not ok
        assert set(told) == {"error"}


def test_whatever_a_tool_raises_is_an_answer(tmp_path: Path) -> None:
    tools = load(
        written(
            tmp_path,
            """
            def stops(): raise StopIteration
            def exits(): raise SystemExit(1)
            def interrupts(): raise KeyboardInterrupt
            async def a_stops(): raise StopAsyncIteration
            async def a_exits(): raise SystemExit(1)
            def generator(): yield 1
            tools = [stops, exits, interrupts, a_stops, a_exits, generator]
            """,
        )
    )
    for name in ("stops", "exits", "interrupts", "a_stops", "a_exits"):
        told, ok = answer(tools, name)
        assert (ok, set(told)) == (False, {"error"}), name
    assert answer(tools, "generator") == ([1], True), "and what it yields is no error"


@pytest.mark.parametrize("seconds", [86_401, float("inf"), float("nan"), 0, -1, "'ten'"])
def test_a_time_limit_that_is_none_is_refused(tmp_path: Path, seconds: object) -> None:
    source = f"""
        from callflow import tool
        inf, nan = float("inf"), float("nan")

        @tool(seconds={seconds})
        def slow(): ...
        """
    with pytest.raises(ToolsError, match="its seconds must be a number above 0, and 86400 at most"):
        load(written(tmp_path, source))


def test_a_tool_with_a_time_limit_of_its_own(tmp_path: Path) -> None:
    source = """
        import time
        from callflow import tool

        @tool(seconds=0.1)
        def slow():
            time.sleep(1)
        """
    began = time.monotonic()
    told, ok = answer(load(written(tmp_path, source)), "slow", seconds=60)
    assert not ok
    assert "0.1 seconds" in told["error"]
    assert time.monotonic() - began < 0.8


async def test_a_cancelled_run_is_cancelled_and_nothing_comes_of_it(tmp_path: Path) -> None:
    tools = load(
        written(
            tmp_path,
            """
            import asyncio, pathlib

            async def long(name: str):
                try:
                    await asyncio.sleep(60)
                finally:
                    pathlib.Path(name).write_text("cancelled")

            tools = [long]
            """,
        )
    )
    trace = tmp_path / "trace"
    arguments = json.dumps({"name": str(trace)})
    running = asyncio.create_task(tools.run("long", arguments, ToolContext(), seconds=60))
    await asyncio.sleep(0.1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with asyncio.timeout(2):
        while not trace.exists():  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)


@pytest.mark.process
def test_a_tool_that_hangs_keeps_no_process_from_ending(tmp_path: Path) -> None:
    written(tmp_path, "import time\ndef hangs(): time.sleep(600)\ntools = [hangs]\n")
    program = textwrap.dedent(
        """
        import asyncio, pathlib
        from callflow.tools.loader import load
        from callflow.tools.registry import ToolContext
        tools = load(pathlib.Path("tools.py"))
        print(asyncio.run(tools.run("hangs", "{}", ToolContext(), seconds=0.1)).output)
        """
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=10, check=True,
    )  # fmt: skip
    assert "did not answer" in ended.stdout


def test_the_definitions_are_made_once_for_all_calls_of_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = load(written(tmp_path, "def one(number: int): return number\ntools = [one]\n"))
    first = CallToolset(tools, Caller("c", "", ""), {"end_call": print})

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a schema is made for a call")

    for each in ("describe", "Schema", "checked", "check_encodable"):
        monkeypatch.setattr(f"callflow.tools.registry.{each}", never)
    second = CallToolset(tools, Caller("d", "", ""), {"end_call": repr})
    assert second.definitions is first.definitions
    assert [each["name"] for each in second.definitions] == ["get_current_time", "end_call", "one"]
    assert len(CallToolset(tools, Caller("e", "", ""), {}).definitions) == 2, "that line cannot end the call"


# What every agent can do


def of_a_call(**acts: Any) -> CallToolset:
    return CallToolset(Tools(), Caller("c", "+15550100001", "+15550100002"), acts)


def run_of(tools: CallToolset, name: str, **arguments: Any) -> Any:
    call = ToolCall("id", name, json.dumps(arguments))
    return json.loads(asyncio.run(tools.run(call, 2.0)).output)


def test_what_the_line_cannot_do_is_not_offered() -> None:
    def names(tools: CallToolset) -> set[str]:
        return {definition["name"] for definition in tools.definitions}

    assert names(of_a_call(end_call=print)) == {"get_current_time", "end_call"}
    everything = of_a_call(end_call=print, transfer_call=print, send_dtmf=print)
    assert names(everything) == {"get_current_time", "end_call", "transfer_call", "send_dtmf"}


def test_the_built_in_tools_do_what_they_say() -> None:
    done: list[Any] = []

    def transfer(destination: str, summary: str) -> tuple[str, str]:
        done.append((destination, summary))
        return "warm", "" if destination == "sales" else "The caller is on hold."

    tools = of_a_call(end_call=done.append, transfer_call=transfer, send_dtmf=done.append)
    assert run_of(tools, "end_call", reason="all said")["ok"]
    assert run_of(tools, "transfer_call", destination="sales", summary="Wants a boat.")["ok"]
    refused = run_of(tools, "transfer_call", destination="nobody", summary="")
    assert refused == {"error": "That is not possible now. The caller is on hold."}
    assert run_of(tools, "send_dtmf", digits="12#")["ok"]
    assert done == ["all said", ("sales", "Wants a boat."), ("nobody", ""), "12#"]
    assert run_of(tools, "get_current_time", timezone="Asia/Tokyo")["time"].endswith("+09:00")
    assert run_of(tools, "get_current_time")["weekday"].endswith("day")
    assert "error" in run_of(tools, "get_current_time", timezone="Nowhere/Land")


def test_the_model_is_told_to_whom_a_call_may_go() -> None:
    tools = of_a_call(transfer_call=TransferAction(["sales", "front desk"], lambda target, summary: ("warm", "")))
    (definition,) = [each for each in tools.definitions if each["name"] == "transfer_call"]
    assert definition["parameters"]["properties"]["destination"]["enum"] == ["sales", "front desk"]
    assert run_of(tools, "transfer_call", destination="sales", summary="")["ok"]
    assert "error" in run_of(tools, "transfer_call", destination="+15550100003", summary="")


def test_a_tool_of_the_file_takes_the_place_of_one_of_ours(tmp_path: Path) -> None:
    tools = load(written(tmp_path, "def get_current_time(): return 'noon'\ntools = [get_current_time]\n"))
    of_call = CallToolset(tools, Caller("c", "", ""), {})
    assert [definition["name"] for definition in of_call.definitions] == ["get_current_time"]
    assert run_of(of_call, "get_current_time") == "noon"
