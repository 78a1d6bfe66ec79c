"""What a function says of itself, as the schema that a model is given: from its type hints and its docstring."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import Field, TypeAdapter, create_model


CONTEXT: Final = "call"
"""A parameter of this name is no part of the schema: it is given the `ToolContext`."""
_SECTION: Final = re.compile(r"^\s*(args|arguments|parameters|params)\s*:?\s*$", re.IGNORECASE)
_OTHER_SECTION: Final = re.compile(r"^\s*(returns?|raises?|yields?|examples?|notes?)\s*:?\s*$", re.IGNORECASE)
_GOOGLE: Final = re.compile(r"^\s+(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_SPHINX: Final = re.compile(r"^\s*:param\s+(?:[\w\[\]., |]+\s+)?(\w+)\s*:\s*(.*)$")


def describe(function: Callable[..., Any]) -> tuple[str, dict[str, Any]]:
    """Description and JSON schema of the parameters. Raises TypeError for a signature that a model cannot fill in."""
    text, of_parameters = _docstring(inspect.getdoc(function) or "")
    hints = typing.get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name == CONTEXT:
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(f"parameter {name!r} has no name that a model could give a value to")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints.get(name, str), Field(default, description=of_parameters.get(name)))
    schema = TypeAdapter(create_model("Arguments", **fields)).json_schema()
    schema.pop("title", None)
    for each in schema.get("properties", {}).values():
        each.pop("title", None)
    return text, {"type": "object", "properties": {}, **schema}


def _docstring(text: str) -> tuple[str, Mapping[str, str]]:
    """The first paragraph, and what is said of each parameter."""
    first = text.strip().split("\n\n", 1)[0]
    parameters: dict[str, str] = {}
    inside, last = False, ""
    for line in text.splitlines():
        if _SECTION.match(line):
            inside, last = True, ""
        elif _OTHER_SECTION.match(line):
            inside = False
        elif sphinx := _SPHINX.match(line):
            last = sphinx[1]
            parameters[last] = sphinx[2].strip()
        elif inside and (google := _GOOGLE.match(line)):
            last = google[1]
            parameters[last] = google[2].strip()
        elif inside and last and line.strip():
            parameters[last] = f"{parameters[last]} {line.strip()}"
    if ":param" in first:
        first = first.split(":param", 1)[0]
    return " ".join(first.split()), parameters
