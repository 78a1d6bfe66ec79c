"""Reads the definition of a tool that an operator has written on the page, and says what is wrong with it. Pure, but
for loading `jsonschema` where a schema needs it: not for the event loop.

Such a tool has no function: in a call, an operator answers it (see `registry.answered_by_operator`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from callflow.contracts import bounded_json
from callflow.contracts.errors import OutOfBounds
from callflow.contracts.printable import quoted
from callflow.tools.builtin import BUILT_IN
from callflow.tools.registry import OPERATOR_SECONDS, Tool, answered_by_operator


MOST_TEXT: Final = 16_000
"""Characters of one definition."""
MOST_DESCRIPTION: Final = 1024
_KNOWN: Final = ("type", "name", "description", "parameters", "seconds", "answered_by", "function")
_MOST_NAMED: Final = 10


@dataclass(frozen=True)
class Problem:
    """What is wrong, in a sentence, and where in the text: line and column from 1; 0: nowhere in particular."""

    text: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class Reading:
    """What a definition came to. Without problems there is a tool."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    """What can be kept like that, and could be better."""
    definition: Mapping[str, Any] = field(default_factory=dict)
    """As it is kept: flat, and nothing but what is known."""
    tool: Tool | None = None


def read_text(text: str) -> Reading:
    """Read a definition as it stands in an editor."""
    if not text.strip():
        return Reading((Problem("Nothing is written here yet: begin with a template."),))
    if len(text) > MOST_TEXT:
        return Reading((Problem(f"It is longer than {MOST_TEXT} characters."),))
    twice: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(found)
        twice.extend(name for name in made if sum(each == name for each, _ in found) > 1)
        return made

    try:
        value = json.loads(text, object_pairs_hook=pairs)
        bounded_json.check(value)
    except json.JSONDecodeError as error:
        return Reading((Problem(f"This is no JSON: {error.msg}.", error.lineno, error.colno),))
    except RecursionError:
        return Reading((Problem("It is nested too deep."),))
    except OutOfBounds as error:
        return Reading((Problem(f"{str(error)[:1].upper()}{str(error)[1:]}."),))
    if twice:
        return Reading(tuple(Problem(f"{quoted(name)} stands in one object twice.") for name in twice[:_MOST_NAMED]))
    return read(value)


def read(value: Any) -> Reading:
    """Read a definition, flat or with its parts under `function`."""
    if not isinstance(value, Mapping):
        return Reading((Problem('It must be an object: {"name": …, "description": …, "parameters": {…}}.'),))
    inner = value.get("function")
    flat = {**value, **inner} if isinstance(inner, Mapping) else value
    problems = _problems(flat)
    if problems:
        return Reading(tuple(map(Problem, problems)))
    definition = {
        "name": flat["name"],
        "description": " ".join(flat.get("description", "").split()),
        "parameters": flat.get("parameters") or {"type": "object", "properties": {}},
        "seconds": flat.get("seconds", OPERATOR_SECONDS),
    }
    if len(json.dumps(definition)) > MOST_TEXT:
        return Reading((Problem(f"It is longer than {MOST_TEXT} characters."),))
    try:
        tool = answered_by_operator(definition)
    except TypeError as error:
        said = str(error).removeprefix(f"tool {definition['name']}: ")
        return Reading((Problem(f"{said[:1].upper()}{said[1:]}.".replace("..", ".")),))
    return Reading(warnings=tuple(_warnings(flat, definition)), definition=definition, tool=tool)


def _problems(flat: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the outer parts of a definition."""
    found = []
    name, about, parameters = flat.get("name"), flat.get("description", ""), flat.get("parameters")
    if flat.get("type", "function") != "function":
        found.append('Its type must be "function": MCP servers are named in the tools file.')
    if flat.get("answered_by", "operator") != "operator":
        found.append('answered_by can only be "operator": nobody else answers a tool that is defined here.')
    if not isinstance(name, str) or not name:
        found.append("It needs a name, such as ask_the_kitchen.")
    elif name in BUILT_IN:
        found.append(f"{quoted(name)} is a tool that every agent has: choose another name.")
    if not isinstance(about, str):
        found.append("Its description must be a text.")
    elif len(about) > MOST_DESCRIPTION:
        found.append(f"Its description must not be longer than {MOST_DESCRIPTION} characters.")
    if parameters is not None and not isinstance(parameters, Mapping):
        found.append("Its parameters must be a JSON schema: an object.")
    elif parameters and parameters.get("type") != "object":
        found.append('The type of its parameters must be "object": they are named arguments.')
    return found


def _warnings(flat: Mapping[str, Any], definition: Mapping[str, Any]) -> list[str]:
    found = []
    if unknown := [name for name in flat if name not in _KNOWN]:
        found.append(f"Left out, because nothing here knows it: {', '.join(map(quoted, unknown[:_MOST_NAMED]))}.")
    if not definition["description"]:
        found.append("Without a description the model only has the name to know when to call it.")
    schema = definition["parameters"]
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if missing := [name for name in required if name not in properties]:
        found.append(f"Required, but not among its properties: {', '.join(map(quoted, missing[:_MOST_NAMED]))}.")
    return found
