"""Which of the model's tool calls get past the edge: those that are complete and can be answered, and not too long."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callflow.contracts.tools import MOST_ARGUMENTS, ToolCall
from callflow.engines.openai_realtime import server_events


def item(**fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}", "status": "completed", **fields}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in item().items() if name not in names}


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        (item(), "{}"),
        (without("status"), "{}"),
        (item(status=None), "{}"),
        (item(status="of.next.year"), "{}"),
        (item(arguments='{"a": '), '{"a": '),
        (item(arguments=None), ""),
        (without("arguments"), ""),
        (item(arguments={"a": [1, None]}), '{"a":[1,null]}'),
        (item(arguments=[1]), "[1]"),
        (item(arguments=17), "17"),
        (item(arguments="x" * MOST_ARGUMENTS), "x" * MOST_ARGUMENTS),
        (item(arguments="x" * 300_000), "x" * (MOST_ARGUMENTS + 1)),
        (item(arguments={"a": "x" * 300_000}), '{"a":"' + "x" * (MOST_ARGUMENTS - 5)),
    ],
    ids=range(13),
)
def test_a_complete_call_is_taken(given: dict[str, Any], arguments: str) -> None:
    assert server_events.tool_calls([given]) == [ToolCall("c", "look", arguments)]
    assert not server_events.has_nameless_calls([given])


@pytest.mark.parametrize("status", ["incomplete", "in_progress"])
def test_the_arguments_of_a_call_that_is_not_complete_may_break_off_anywhere(status: str) -> None:
    assert server_events.tool_calls([item(status=status)]) == []
    assert not server_events.has_nameless_calls([item(status=status, call_id="")])


@pytest.mark.parametrize("field", ["call_id", "name"])
@pytest.mark.parametrize("value", ["", " ", "\n", None, 5, ["c"], {"id": "c"}, "x" * 201, "missing"], ids=range(9))
def test_a_call_that_cannot_be_answered_is_refused(field: str, value: Any) -> None:
    given = without(field) if value == "missing" else item(**{field: value})
    assert server_events.tool_calls([given, item(call_id="d")]) == [ToolCall("d", "look", "{}")]
    assert server_events.has_nameless_calls([given, item(call_id="d")])


@pytest.mark.parametrize("items", [None, {}, "x", 5, [None, "x", 5, [], {}], [{"type": "message"}]], ids=range(6))
def test_what_is_no_call_is_none(items: Any) -> None:
    assert server_events.tool_calls(items) == []
    assert not server_events.has_nameless_calls(items)


def test_arguments_that_nest_without_an_end_are_no_json_and_end_nothing() -> None:
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    (call,) = server_events.tool_calls([item(arguments=nested)])
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(call.arguments)
    while nested:
        nested = nested.pop()
