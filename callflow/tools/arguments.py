"""Reads the arguments that a model gives a tool: JSON text into a dict that fits the tool's JSON schema.

A schema is prepared once, when its tool is loaded. What most tools have, named arguments of simple types, is checked
here; for other schemas `json_schema.py` is loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from callflow.contracts.errors import Abandoned, ArgumentsError
from callflow.contracts.printable import whole
from callflow.contracts.tools import MOST_ARGUMENTS
from callflow.tools.results import never


if TYPE_CHECKING:
    from callflow.tools.json_schema import AnySchema

_MOST_ERRORS: Final = 50
"""Errors of which the most relevant one is chosen."""
_MOST_MESSAGE: Final = 500
"""Characters of an error's message."""
_KINDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}
"""The types of JSON Schema, for values as JSON is decoded."""
_ABOUT: Final = {"title", "description", "default"}
"""Keywords that constrain nothing."""


class Schema:
    """A JSON schema (draft 2020-12), prepared to check arguments."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises TypeError if it is not a valid JSON schema."""
        self._plain = PlainSchema(schema) if is_plain(schema) else None
        self._any: AnySchema | None = None
        if self._plain is None:
            module: Any = importlib.import_module("callflow.tools.json_schema")
            self._any = module.AnySchema(schema)

    @property
    def needs_process(self) -> bool:
        """Return whether its patterns need an engine that may take exponential time."""
        return self._any is not None and self._any.needs_process

    def violation(self, given: Mapping[str, Any], is_over: Callable[[], bool] = never) -> str:
        """Return what is wrong with these arguments, in one sentence; "" if they fit.

        `is_over`: whether nobody waits for the result any more; then Abandoned is raised.
        """
        if self._plain is None:
            assert self._any is not None
            return self._any.violation(given, is_over)
        if is_over():
            raise Abandoned
        try:
            return self._plain.violation(given)
        except RecursionError:
            return "the arguments are nested too deeply"


class PlainSchema:
    """A schema of named arguments of simple types. It says what `jsonschema` would say, without loading it."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """The schema is plain: see `is_plain`."""
        self._schema = dict(schema)

    def violation(self, given: Mapping[str, Any]) -> str:
        """See `Schema.violation`."""
        worst: tuple[str | None, str] | None = None
        for at, message in islice(self._errors(given), _MOST_ERRORS):
            # What is wrong with all of them comes before what is wrong with one; of those, the last name.
            if worst is None or (worst[0] is not None and (at is None or at > worst[0])):
                worst = at, message
        if worst is None:
            return ""
        where = f" at {worst[0]}" if worst[0] else ""
        return f"the arguments do not fit{where}: {worst[1]}"[:_MOST_MESSAGE]

    def _errors(self, given: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        """Yield each argument that does not fit (None: all of them) and why, in the order of the schema's keywords."""
        for keyword, value in self._schema.items():
            if keyword == "properties":
                for name, about in value.items():
                    kind = about.get("type")
                    if kind and name in given and not _KINDS[kind](given[name]):
                        yield name, f"{given[name]!r} is not of type {kind!r}"
            elif keyword == "required":
                yield from ((None, f"{name!r} is a required property") for name in value if name not in given)
            elif keyword == "additionalProperties" and not value:
                extras = sorted(given.keys() - self._schema.get("properties", {}).keys())
                if extras:
                    were = "was" if len(extras) == 1 else "were"
                    names = ", ".join(map(repr, extras))
                    yield None, f"Additional properties are not allowed ({names} {were} unexpected)"


def is_plain(schema: Any) -> bool:
    """Return whether `PlainSchema` can check arguments by this schema, which is valid then."""
    if not isinstance(schema, Mapping) or schema.get("type") != "object" or not _is_json(schema):
        return False
    properties, required = schema.get("properties", {}), schema.get("required", [])
    return (
        schema.keys() <= _ABOUT | {"type", "properties", "required", "additionalProperties"}
        and _has_texts(schema)
        and isinstance(schema.get("additionalProperties", True), bool)
        and isinstance(properties, dict)
        and all(isinstance(name, str) and _is_simple(about) for name, about in properties.items())
        and isinstance(required, list)
        and all(isinstance(name, str) for name in required)
        and len({*required}) == len(required)
    )


def _is_simple(about: Any) -> bool:
    """Return whether the schema of one argument names a type, or nothing."""
    if not isinstance(about, dict) or not about.keys() <= _ABOUT | {"type"} or not _has_texts(about):
        return False
    kind = about.get("type", "null")
    return isinstance(kind, str) and kind in _KINDS


def _has_texts(about: Mapping[str, Any]) -> bool:
    return all(isinstance(about.get(name, ""), str) for name in ("title", "description"))


def _is_json(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False
    return True


def read(text: str, schema: Schema, is_over: Callable[[], bool] = never) -> dict[str, Any]:
    """Read the arguments that a model has written as JSON; empty text means no arguments.

    Raises ArgumentsError, whose message is for the model, and Abandoned (see `Schema.violation`).
    """
    if len(text) > MOST_ARGUMENTS:
        raise ArgumentsError(f"the arguments are too long: more than {MOST_ARGUMENTS} characters")
    try:
        given = msgspec.json.decode(whole(text).encode()) if text.strip() else {}
    except RecursionError:
        raise ArgumentsError("the arguments are nested too deeply") from None
    except (msgspec.DecodeError, UnicodeError):
        raise ArgumentsError("the arguments are not valid JSON") from None
    if not isinstance(given, dict):
        raise ArgumentsError("the arguments must be a JSON object")
    problem = schema.violation(given, is_over)
    if problem:
        raise ArgumentsError(problem)
    return given
