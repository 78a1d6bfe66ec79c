"""Definitions of tools as an operator writes them: what is wrong, and where."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callflow.tools import own
from callflow.tools.templates import TEMPLATES


def said(text: str) -> str:
    (problem,) = own.read_text(text).problems
    return problem.text


def test_every_template_can_be_kept_as_it_is() -> None:
    assert [each["name"] for each in TEMPLATES] == [
        "get_weather", "ping_no_args", "get_user_nested_args", "calculate_route_more_properties",
    ]  # fmt: skip
    for each in TEMPLATES:
        reading = own.read_text(json.dumps(each, indent=2))
        assert (reading.problems, reading.warnings) == ((), ()), each["name"]
        assert reading.tool is not None
        assert reading.tool.by_operator
        assert reading.definition == {**each, "seconds": 60}


def test_broken_json_is_told_with_its_place() -> None:
    (problem,) = own.read_text('{\n  "name": "a",\n  oops\n}').problems
    assert (problem.line, problem.column) == (3, 3)
    assert problem.text.startswith("This is no JSON: ")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], "It must be an object"),
        ({"description": "x"}, "It needs a name"),
        ({"name": "end_call"}, "is a tool that every agent has"),
        ({"name": "a b"}, "is no name for a tool"),
        ({"name": "a", "type": "mcp"}, "MCP servers are named in the tools file"),
        ({"name": "a", "parameters": []}, "must be a JSON schema"),
        ({"name": "a", "parameters": {"type": "string"}}, 'must be "object"'),
        ({"name": "a", "parameters": {"type": "object", "properties": {"b": {"type": "txt"}}}}, "no JSON schema"),
        ({"name": "a", "seconds": 601}, "its seconds must be a number above 0"),
    ],
)
def test_what_is_wrong_is_said_in_words(given: Any, expected: str) -> None:
    assert expected.lower() in said(json.dumps(given)).lower()


def test_what_could_be_better_is_a_warning() -> None:
    nested = {"type": "function", "function": {"name": "a", "strict": True, "parameters": {"type": "object",
              "properties": {}, "required": ["b"]}}}  # fmt: skip
    reading = own.read(nested)
    assert reading.problems == ()
    assert len(reading.warnings) == 3
    assert said('{"name": "a", "name": "b"}') == '"name" stands in one object twice.'
    assert "nested" in said("[" * 5000)
