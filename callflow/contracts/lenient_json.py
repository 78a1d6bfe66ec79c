"""Reads JSON that the strict decoder refuses, as far as it can be read. Pure.

Half a surrogate pair in a name, bytes that are not UTF-8, NaN, a line break inside a string or a number in place of
text must not cost the caller a sentence. It is slow, and used only when the strict decoder has failed.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from callflow.contracts import bounded_json
from callflow.contracts.printable import whole


_MOST_DIGITS: Final = 20
_MOST_INTEGER: Final = 1 << 63


def read(message: bytes | str) -> dict[str, Any]:
    """Read a JSON object without lone surrogates, NaN and infinite numbers, within the bounds of `bounded_json`.

    Raises ValueError or RecursionError.
    """
    text = message.decode("utf-8-sig", "replace") if isinstance(message, bytes) else message
    value = json.loads(text, strict=False, parse_constant=lambda _: None)
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    bounded_json.check(value)
    found: dict[str, Any] = _whole(value)
    return found


def text(value: Any) -> str | None:
    """Return text, or a number as text; None for anything else."""
    if isinstance(value, str):
        return value
    found = number(value)
    return None if found is None else str(found)


def number(value: Any) -> float | None:
    """Return a number, or the number that a text contains; None for anything else."""
    if isinstance(value, str) and len(value) <= _MOST_DIGITS:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < _MOST_INTEGER else None


def integer(value: Any) -> int | None:
    """Return a whole number, as `number`; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def _whole(value: Any) -> Any:
    """Replace what JSON does not allow. `bounded_json` limits how deep this goes."""
    match value:
        case str():
            return whole(value)
        case dict():
            return {whole(name): _whole(each) for name, each in value.items()}
        case list():
            return [_whole(each) for each in value]
        case float() if not math.isfinite(value):
            return None
        case int() if abs(value) >= _MOST_INTEGER:
            return None
    return value
