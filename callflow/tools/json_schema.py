"""Checks values by any JSON schema (draft 2020-12), with the library `jsonschema`. Loaded for schemas that
`arguments.py` does not check itself: it takes 5 MB and 0.04 s.

Schemas are not trusted to be fast: patterns are matched by an engine whose time grows linearly with the text (Python's
own takes exponential time for some patterns, and blocks all threads meanwhile). The few patterns that this engine does
not know are checked in a separate process, which can be killed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError as NoJSONSchema
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend
from pydantic_core import SchemaError as NoPattern
from pydantic_core import SchemaValidator, core_schema
from referencing import Registry

from callflow.contracts.errors import Abandoned
from callflow.tools.results import never


_MOST_ERRORS: Final = 50
"""Errors of which the most relevant one is chosen."""
_MOST_MESSAGE: Final = 500
"""Characters of an error's message."""
_PROCESS_SECONDS: Final = 5.0
_PROCESS: Final = "from callflow.tools.json_schema import _check_stdin; _check_stdin()"
_watch: Final = threading.local()
"""`is_over` of the check that runs in this thread."""


class AnySchema:
    """A JSON schema, prepared to check arguments."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises TypeError if it is not a valid JSON schema."""
        try:
            self._schema = dict(schema)
            Draft202012Validator.check_schema(self._schema)
            self._encoded = msgspec.json.encode(self._schema)
        except NoJSONSchema as error:
            raise TypeError(error.message) from None
        except (re.error, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise TypeError(str(error)) from None
        self.needs_process = not _is_linear(self._schema)
        """Its patterns need an engine that may take exponential time."""
        self._validator = _Timed(self._schema, registry=Registry())

    def violation(self, given: Mapping[str, Any], is_over: Callable[[], bool] = never) -> str:
        """Return what is wrong with these arguments, in one sentence; "" if they fit.

        `is_over`: whether nobody waits for the result any more; then Abandoned is raised.
        """
        if self.needs_process:
            return _check_in_process(self._encoded, given)
        _watch.is_over = is_over
        try:
            return _message(self._validator.iter_errors(given))
        except RecursionError:
            return "the arguments are nested too deeply"


def _message(errors: Iterator[ValidationError]) -> str:
    worst = best_match(islice(errors, _MOST_ERRORS))
    if worst is None:
        return ""
    where = ".".join(str(part) for part in worst.absolute_path)
    return f"the arguments do not fit{f' at {where}' if where else ''}: {worst.message}"[:_MOST_MESSAGE]


# Keywords of JSON Schema that take linear time, and stop when nobody waits


def _timed(keyword: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if _watch.is_over():
            raise Abandoned
        yield from keyword(validator, value, instance, schema) or ()

    return check


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not _matcher(pattern)(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    for pattern, inner in patterns.items() if validator.is_type(instance, "object") else ():
        for name in filter(_matcher(pattern), instance):
            yield from validator.descend(instance[name], inner, path=name, schema_path=pattern)


def _additional(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        known, matchers = schema.get("properties", {}), [*map(_matcher, schema.get("patternProperties", {}))]
        rest = {
            name: value
            for name, value in instance.items()
            if name not in known and not any(matches(name) for matches in matchers)
        }
        yield from Draft202012Validator.VALIDATORS["additionalProperties"](validator, allowed, rest, {})


def _unique(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if wanted and validator.is_type(instance, "array") and len({*map(_frozen, instance)}) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


def _frozen(value: Any) -> Any:
    """Return a hashable value, equal for values that are equal in JSON Schema: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, dict):
        return "object", frozenset((name, _frozen(each)) for name, each in value.items())
    if isinstance(value, list):
        return "array", tuple(map(_frozen, value))
    return ("boolean", value) if isinstance(value, bool) else value


_Timed: Final = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        name: _timed(keyword)
        for name, keyword in {
            **Draft202012Validator.VALIDATORS,
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "additionalProperties": _additional,
            "uniqueItems": _unique,
        }.items()
    },
)


@lru_cache(maxsize=1000)
def _matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that says whether a text contains a match.

    Raises NoPattern for a pattern that this engine, which does not backtrack, does not know.
    """
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")).isinstance_python


def _is_linear(schema: Any) -> bool:
    """Prepare the schema's patterns. Returns whether all of them can be matched in linear time."""
    patterns = list(_patterns(schema))
    try:
        for pattern in patterns:
            _matcher(pattern)
    except NoPattern:
        return False
    return not (patterns and "unevaluatedProperties" in str(schema))  # jsonschema matches those by itself


def _patterns(schema: Any) -> Iterator[str]:
    """Yield the patterns of a schema and of all schemas in it, and perhaps texts that only look like patterns."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        if isinstance(schema.get("patternProperties"), Mapping):
            yield from schema["patternProperties"]
    for each in schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ():
        yield from _patterns(each)


# In a separate process


def _check_in_process(schema: bytes, given: Mapping[str, Any]) -> str:
    try:
        ended = subprocess.run(
            [sys.executable, "-c", _PROCESS],
            input=msgspec.json.encode([msgspec.Raw(schema), given]),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, timeout=_PROCESS_SECONDS, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "the arguments could not be checked: that took too long"
    except (subprocess.SubprocessError, OSError):
        return "the arguments could not be checked"
    return ended.stdout.decode()


def _check_stdin() -> None:
    schema, given = msgspec.json.decode(sys.stdin.buffer.read())
    errors = Draft202012Validator(schema, registry=Registry()).iter_errors(given)
    sys.stdout.buffer.write(_message(errors).encode())
