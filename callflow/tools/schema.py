"""Describes a function to the model: what it does and its parameters, from its docstring and its type hints.

The decorator `@tool` and `from_function`, which use this, are in `registry.py`.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

import docstring_parser
from pydantic import Field, TypeAdapter, create_model


CONTEXT: Final = "call"
"""A parameter of this name is not part of the schema: it receives the `ToolContext`."""
_SECTION: Final = re.compile(
    r"^\s*(args|arguments|parameters|params)\s*:?[ \t]*$(?!\n\s*-)", re.IGNORECASE | re.MULTILINE
)
"""A heading "Args:" in the forms in which people write it, but not that of NumPy's style."""
_CONTINUED: Final = re.compile(r"^[ \t]+(?=[^\s:][^:\n]*$)", re.MULTILINE)
"""The indentation of a line that begins no parameter."""


def describe(function: Callable[..., Any]) -> tuple[str, dict[str, Any]]:
    """Return the description and the JSON schema of a function's parameters.

    The docstring may be in Google's, Sphinx's, NumPy's or Epytext's style. Raises TypeError for a signature that a
    model cannot fill in, and whatever evaluating the type hints raises.
    """
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
    """Return the first paragraph, and the description of each parameter, each on one line."""
    # The parser knows one spelling of the heading, and a continued line without indentation costs it all parameters.
    text = _CONTINUED.sub(lambda indentation: indentation[0] * 2, _SECTION.sub("Args:", text))
    try:
        parsed = docstring_parser.parse(text)
    except Exception:  # it fails on a few texts that are in no style, such as ": :"
        return " ".join(text.split("\n\n", 1)[0].split()), {}
    first = parsed.short_description or ""
    if not parsed.blank_after_short_description:
        first += " " + (parsed.long_description or "").split("\n\n", 1)[0]
    parameters = {each.arg_name.strip(): " ".join((each.description or "").split()) for each in parsed.params}
    return " ".join(first.split()), parameters
