"""Describes media frames that break the rules, for the log, by their shape. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec


_MOST_SHAPE: Final = 200
_MOST_READ: Final = 4096
_MOST_DEPTH: Final = 3


def shape_of(message: str | bytes) -> str:
    """Describe a frame by its names and types, without any value, so that it can be logged."""
    if not isinstance(message, str):
        return f"{len(message)} bytes"
    if len(message) > _MOST_READ:
        return f"{len(message)} characters"
    try:
        return _shape(msgspec.json.decode(message), 0)[:_MOST_SHAPE]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return f"{len(message)} characters that are no JSON"


def _shape(value: Any, depth: int) -> str:
    match value:
        case dict() if depth < _MOST_DEPTH:
            return "{" + ", ".join(f"{name[:40]}: {_shape(each, depth + 1)}" for name, each in value.items()) + "}"
        case str():
            return f"text of {len(value)}"
        case None:
            return "null"
        case list():
            return f"list of {len(value)}"
    return {"bool": "yes or no", "int": "number", "float": "number"}.get(type(value).__name__, type(value).__name__)
