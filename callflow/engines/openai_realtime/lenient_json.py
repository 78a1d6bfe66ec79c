"""What an engine says in JSON that a strict reader refuses, read as far as it can be read. Pure.

Half a surrogate pair in a name, bytes that are no UTF-8, NaN, a line break inside a string, a number where text is due:
none of them is worth a sentence of the caller's. Asked only once the fast reader has failed.
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
    """An object without lone surrogates, NaN and endless numbers, within the bounds of `plain_json`.

    Raises ValueError or RecursionError."""
    text = message.decode("utf-8-sig", "replace") if isinstance(message, bytes) else message
    value = json.loads(text, strict=False, parse_constant=lambda _: None)
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    bounded_json.check(value)
    found: dict[str, Any] = _whole(value)
    return found


def text(value: Any) -> str | None:
    """Text, or a number as text; of anything else nothing."""
    if isinstance(value, str):
        return value
    found = number(value)
    return None if found is None else str(found)


def number(value: Any) -> float | None:
    """A number, or text that says one."""
    if isinstance(value, str) and len(value) <= _MOST_DIGITS:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < _MOST_INTEGER else None


def integer(value: Any) -> int | None:
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def _whole(value: Any) -> Any:
    """`plain_json` has bounded how deep this goes."""
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
